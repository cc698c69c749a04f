"""
Complexity of a magnetogram
===========================

The 29 published features, and others in physical units, of a simulated magnetogram patch. For your own give
the path of a FITS file, or a sunpy Map: the side of a pixel is then taken from its header.
"""

import astropy.units as u
import matplotlib.pyplot as plt

from solartrack import features, simulate, viz

# %%
# One patch a day of six simulated regions; of these the most complex one.

made = simulate.flaring_patches(seed=1, n_regions=6, days=4, size=200)
patch = made.patches[made.samples["complexity"].argmax()]
pixel = 18 / 200 * 12.15 * u.Mm  # 18 degrees of the Sun in 200 pixels

# %%
# The field and its neutral line, orange where the gradient is strong; on the right the gradient.

figure = viz.plot_magnetogram(patch, pixel=pixel, title="The most complex of the patches")
figure.set_size_inches(9, 4.0)
figure

# %%
# Features in physical units: each is an astropy quantity.

measured = features.physical(patch, pixel=pixel)
for name, value in list(measured.as_dict().items())[:8]:
    print(f"{name:28} {value:.4g}")

# %%
# All 29 features of all patches at once, on all cores. Here one of them, beside the probability of a flare
# that the simulation gives each patch.

table = features.complexity_batch(made.patches)
print(table.shape)

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
gradient = table[:, features.COMPLEXITY_NAMES.index("gradient_mean")]
ax.scatter(gradient, made.samples["probability"], c=made.samples["label"], cmap="coolwarm", edgecolor="0.3")
ax.set(xlabel="gradient_mean", ylabel="probability of a flare in 24 h", title="red: it flared")
plt.show()
