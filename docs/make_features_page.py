"""Write docs/features.md: run its code on the real active region and put the output behind it.

Run `python docs/make_features_page.py` from the checkout, with the real data in ../shared. The text and
the code are below; the page is never edited by hand. A test compares the page with a new run.
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
<!-- Written by make_features_page.py; edit that. -->
# Magnetic complexity of AR 11158

Active region 11158 on 15 February 2011, at 02:00 TAI: minutes after its X2.2 flare, the first X flare of
solar cycle 24. The data are the SHARP patch HARP 377 of SDO/HMI; the code below has been run on it, and
what it printed stands behind it. Courtesy of NASA/SDO and the HMI science team.

```python
from solartrack import features, viz

patch = "hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits"
```

A patch may be a FITS path, a sunpy map, or an array.

## The picture

```python
figure = viz.plot_magnetogram(patch, title="HARP 377 (AR 11158), 2011-02-15 02:00 TAI")
figure.savefig("features_harp377.png")
```

![Magnetogram of AR 11158 with its neutral line, and its gradient](images/features_harp377.jpg)

The neutral line is the zero contour of the field averaged over 10 x 10 pixels. Where the gradient of
that field is at least 50 G/Mm it is orange. The long bow under the dark spot in the middle, where spots
of opposite polarity slide along each other, is where the flare happened.

## Physical features

```python
p = features.physical(patch)
for name, value in p.as_dict().items():
    print(f"{name:28} {value:.5g}")
```

Lengths and areas come from the file's world coordinates; for an array say `pixel=0.364 * u.Mm`. Pixels
that are NaN are left out. `radial=True` divides the line-of-sight field by mu, `foreshortening=True`
the areas of helioprojective pixels:

```python
print(f"{features.physical(patch, radial=True).flux_unsigned:.5g}")
```

`p.as_row()` gives plain numbers with the unit in the name, ready for a table:

```python
row = p.as_row()
print(list(row)[:3], "...")
```

## The predictors that others publish

With the radial field, the bitmap and the confidence of the disambiguation, two SHARP keywords can be
computed as JSOC does. JSOC's own values in the header are USFLUX = 2.71476e+22 Mx and MEANGBZ = 100.523.
[All keywords](sharp_keywords.md) come from `features.sharp_keywords`.

```python
sharp = [patch.replace("magnetogram", segment) for segment in ("Br", "bitmap", "conf_disambig")]
print(f"{features.usflux(*sharp):.6g}")
print(f"{features.meangbz(*sharp):.6g}")
```

Schrijver's R, as log10 of maxwell, in the unit of the original publication (gauss times pixels of
1.45 Mm), and as JSOC's R_VALUE ([the conventions](sharp_keywords.md) beside each other); and Falconer's
WLsg:

```python
r = features.r_value(patch)
print(f"{r:.3f}  {r - 16.32:.3f}  {features.r_value(patch, convention='jsoc'):.3f}")
print(f"{features.wlsg(patch).to('kG'):.4g}")
```

## The 29 published features

Features of the published data set (Boucheron et al. 2023), for models and tables made from it. Their
definitions are kept as they are, peculiarities included; units are those of the pixels.

```python
c = features.complexity(patch)
for name, value in c.as_dict().items():
    print(f"{name:28} {value:.6g}")
```

## Archives

```python
made = features.extract("*.magnetogram.fits", "results", workers=1)
print(made.rows, "rows,", made.failed, "failed")
```

The same from the command line, on all cores, with a progress bar. Killed and started again it goes on
where it was:

```console
solartrack features archive/ --labels labels.csv -o results
solartrack features archive/ --set physical -o physical
```

`results/features` is a folder of Parquet files that `pandas.read_parquet` reads as one table, with the
region, the HARP and the time beside the features, `results/features.csv` has the published layout (29
values, class label, flare class, file name), and `results/errors.csv` names the files that could not be
used, and why.
"""


def make(folder: Path) -> tuple[str, Path]:
    """The page's text, and the picture, which lies in `folder`.

    The code runs in `folder`, where the region's files are linked.
    """
    for path in DATA.glob("hmi.sharp_cea_720s.377.*.fits"):
        (folder / path.name).symlink_to(path)
    page = with_output(TEMPLATE, folder)
    return page, folder / "features_harp377.png"


def main() -> None:
    """Write the page and its picture."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = make(Path(folder))
        (HERE / "features.md").write_text(page, encoding="utf-8")
        (HERE / "images").mkdir(exist_ok=True)
        with Image.open(picture) as image:
            small = image.convert("RGB").resize((800, round(800 * image.height / image.width)))
            small.save(HERE / "images/features_harp377.jpg", quality=82, optimize=True)
    print("wrote", os.path.relpath(HERE / "features.md"))


if __name__ == "__main__":
    main()
