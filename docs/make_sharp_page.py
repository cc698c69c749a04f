"""Write docs/sharp_keywords.md: run its code on the real active region and put the output behind it.

Run `python docs/make_sharp_page.py` from the checkout, with the real data in ../shared. The text and the code
are below; the page is never edited by hand. A test compares the page with a new run.
"""

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from code_blocks import with_output  # noqa: E402

DATA = HERE.parents[1] / "shared/data/hmi"

TEMPLATE = """\
<!-- Written by make_sharp_page.py; edit that. -->
# SHARP and SMARP keywords of AR 11158

The keywords that most flare work stands on, computed from the maps: active region 11158 on 15 February 2011
at 02:00 TAI (HARP 377), beside the values that JSOC wrote into the header. The code below has been run;
what it printed stands behind it. Courtesy of NASA/SDO and the HMI science team.

```python
from solartrack import features, viz

patch = "hmi.sharp_cea_720s.377.20110215_020000_TAI"
keywords = features.sharp_keywords(patch)
print(keywords["USFLUX"], "+-", keywords.error("USFLUX"))
print(keywords["MEANGBZ"], "=", keywords["MEANGBZ"] / keywords.pixel)
```

The argument is what the names of the files begin with; it may also be a folder with the segments of one
patch and time, or the segments one by one: paths, sunpy maps, or arrays (`br, bt, bp, bitmap,
conf_disambig`, and by name `magnetogram, br_err, bt_err, bp_err`). `keywords.as_row()` gives plain numbers
by JSOC's names for a table.

## The maps

```python
true = features.sharp_keywords(patch, potential="fourier", maps=True)
viz.plot_sharp(true, title="HARP 377 (AR 11158), 2011-02-15 02:00 TAI").savefig("sharp_harp377.png")
```

![Br with inversion line and potential field, Jz, shear angle and free energy](images/sharp_harp377.jpg)

In the first panel, orange outlines where strong fields of both signs meet, and blue arrows are the
horizontal potential field, here that of physics and not that of the keywords (see below). What is pale in
the two lower panels lies outside the mask and does not enter the keywords.

## Beside JSOC's own values

```python
from astropy.io import fits

header = fits.getheader(f"{patch}.Br.fits", 1)
print(f"{'keyword':8} {'ours':>14} {'JSOC':>14} {'off by':>8}   {'error':>11} {'JSOC':>11}  unit")
for name in keywords.names:
    error = features.SHARP_ERRORS.get(name, "")
    said = {key: header[key] for key in (name, error) if key in header and key != "R_VALUE"}
    ours, jsoc = keywords.values[name], said.get(name)
    print(
        f"{name:8} {ours:14.8g} {'-' if jsoc is None else format(jsoc, '.8g'):>14} "
        f"{'-' if jsoc is None else format(abs(ours / jsoc - 1), '.0e'):>8}   "
        f"{keywords.errors.get(name, float('nan')):11.5g} {said.get(error, float('nan')):11.5g}  "
        f"{features.SHARP_UNITS[name].to_string() or '-'}"
    )
```

The header's R_VALUE is not a number, and it has not the last three, which JSOC began to write later. The
maps in the files are rounded to 0.01 G, and the header to the digits that stand there. The header's error
of MEANSHR is 0; ours is propagated like the others. MEANJZH in the header is its own sum divided by 45700
pixels, and CMASK is 45703.

## What the numbers are, and are not

- **The mask** of the vector keywords is `bitmap >= 30` and `conf_disambig >= 70`; CMASK counts it. The
  keywords that end with L have `bitmap >= 30` alone for HMI, and `bitmap >= 36` for MDI. NaN pixels and
  derivatives that need them are left out one by one. An empty mask gives NaN, with the reason in
  `keywords.reasons`; so does a missing segment.
- **Derivatives** are central differences. The outermost pixels have none.
- **MEANGBT, MEANGBZ, MEANGBH, MEANGBL** are in gauss per pixel; divide by `keywords.pixel` for G/Mm.
- **SAVNCPP** has JSOC's own scale: multiply it by the square of the pixel in arcsec (0.509 here) for
  amperes.
- **MEANPOT, TOTPOT, MEANSHR, SHRGT45** compare the field with what the pipeline called a potential field.
  Of all depths and windows that were tried, one gives the header's values: monopoles at a depth of 0.001
  pixel, summed over 20 x 20 pixels (offsets -10 to 9). So near below its pixel a monopole outweighs all
  others, and the field is nearly minus the gradient of Br in pixels. These four are measures of their own
  kind, which depend on the pixel; compare them only with each other. That is known of this header, which
  pipeline version 1.19 (2013) wrote; later versions have not been tested. The potential field in the sense
  of physics is `potential="fourier"`:

```python
for name in ("MEANPOT", "TOTPOT", "MEANSHR", "SHRGT45"):
    print(f"{name:8} {keywords[name]:12.5g} {true[name]:12.5g}")
```

- **Errors** are those of first-order propagation with independent errors of the pixels. What neighbouring
  derivatives have in common is left out of account, as in JSOC's, and the potential field is taken as
  exact.

## R: the conventions beside each other

| | `r_value(...)`, "flux" | `r_value(..., convention="jsoc")`, R_VALUE | Schrijver 2007 |
|---|---|---|---|
| field | given | line of sight | line of sight (MDI) |
| coarse pixel | 1.45 Mm, weighted by overlap | n pixels, n = 2 arcsec / pixel rounded | 2 arcsec (MDI) |
| averaged over | the coarse pixel | a box that reaches n // 2 pixels to each side | - |
| strong | above 150 G | above 150 G | above 150 G |
| line | both signs dilated by 3 x 3 meet | the same | the same |
| weight | Gaussian of unit integral, FWHM 15 Mm | the same, FWHM 10 coarse pixels | the same, 15 Mm |
| unit of the sum | Mx | G times coarse pixels | G times pixels |
| result | log10, never negative | log10, 0 if the sum is below 1 | log10 |
| of HARP 377 | below | below (JSOC: 4.607) | - |

```python
magnetogram = f"{patch}.magnetogram.fits"
print(f"flux {features.r_value(magnetogram):.3f}, less 16.32: {features.r_value(magnetogram) - 16.32:.3f}")
print(f"jsoc {features.r_value(magnetogram, convention='jsoc'):.3f}")
```

16.32 is the log10 of the area of a coarse pixel in cm2. The box that reaches n // 2 pixels to each side was
found from the one published value; boxes of n x n pixels side by side give 4.627.

## SMARPs, archives, JSOC's tables

`features.smarp_keywords(magnetogram, bitmap)` gives the keywords of the line-of-sight field. An archive of
segments becomes one table, a row for each patch and time; it resumes where it was interrupted:

```console
solartrack features 'sharps/**' --set sharp -o keywords
```

`flares.keywords.jsoc_table` gives the same columns to keyword tables from JSOC
(`sources.jsoc.read_keywords`, drms, CSV), so that what is trained on one reads the other. The sets of
features are "sharp" (those of Sun et al. 2022) and "sharp_vector" (the others): `solartrack flares train
keywords/features --feature-set sharp+sharp_vector`.

References: Bobra et al. 2014, Solar Physics 289, 3549; Bobra et al. 2021, ApJS 256, 26; Sakurai 1982, Solar
Physics 76, 301; Schrijver 2007, ApJ 655, L117.
"""


def make(folder: Path) -> tuple[str, Path]:
    """The page's text, and the picture, which lies in `folder`.

    The code runs in `folder`, where the region's files are linked.
    """
    for path in DATA.glob("hmi.sharp_cea_720s.377.*.fits"):
        (folder / path.name).symlink_to(path)
    page = with_output(TEMPLATE, folder)
    return page, folder / "sharp_harp377.png"


def main() -> None:
    """Write the page and its picture."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = make(Path(folder))
        (HERE / "sharp_keywords.md").write_text(page, encoding="utf-8")
        (HERE / "images").mkdir(exist_ok=True)
        with Image.open(picture) as image:
            small = image.convert("RGB").resize((1000, round(1000 * image.height / image.width)))
            small.save(HERE / "images/sharp_harp377.jpg", quality=82, optimize=True)
    print("wrote", os.path.relpath(HERE / "sharp_keywords.md"))


if __name__ == "__main__":
    main()
