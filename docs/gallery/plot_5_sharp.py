"""
SHARP keywords and maps
=======================

`solartrack.features.sharp_keywords` computes what JSOC writes into the headers of SHARP patches, from your
own segments, with the maps between. The field here is made up; for a real patch see :doc:`/sharp_keywords`.
"""

import astropy.units as u
import numpy as np

from solartrack import features, simulate, viz

# %%
# The radial field is that of a simulated region. Its horizontal field is the potential one, turned by 35
# degrees where the field is strong: a sheared region, with currents and free energy.

made = simulate.flaring_patches(seed=1, n_regions=6, days=4, size=240)
br = made.patches[made.samples["complexity"].argmax()].astype(float)
kx, ky = np.meshgrid(np.fft.fftfreq(240), np.fft.fftfreq(240))
k = np.hypot(kx, ky)
k[0, 0] = 1.0
west, north = (np.fft.ifft2(-1j * component / k * np.fft.fft2(br)).real for component in (kx, ky))
angle = np.radians(35) * np.clip(np.abs(br) / 800, 0, 1)
west, north = west * np.cos(angle) - north * np.sin(angle), west * np.sin(angle) + north * np.cos(angle)

# %%
# ``bt`` points to the south, as in SHARPs. The mask of the vector keywords is where ``bitmap`` is at least
# 30 and ``conf_disambig`` at least 70.

active = np.hypot(br, np.hypot(west, north)) > 100
keywords = features.sharp_keywords(
    *(br, -north, west),
    bitmap=np.where(active, 33, 1),
    conf_disambig=np.where(active, 90, 50),
    pixel=18 / 240 * 12.15 * u.Mm,
    potential="fourier",
    maps=True,
)
for name in ("USFLUX", "MEANGAM", "MEANGBZ", "TOTUSJZ", "TOTUSJH", "MEANSHR", "TOTPOT", "R_VALUE"):
    print(f"{name:8} {keywords[name]:.4g}")

# %%
# R_VALUE needs the line-of-sight field, which was not given: it is NaN. The maps:

figure = viz.plot_sharp(keywords, title="A sheared region")
figure
