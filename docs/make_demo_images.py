"""Make the images of the real Sun that `solartrack demo` follows: reduced copies of Helioviewer's files.

    python docs/make_demo_images.py

reads ../shared/data/aia171_2017_08 (4096 x 4096 pixels) and writes python/solartrack/samples/aia171. Each
pixel is the mean of 8 x 8; the header has the cards that say when and where, and what was done.
"""

import re
from pathlib import Path

import glymur
import numpy as np
from lxml.etree import fromstring

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT.parent / "shared/data/aia171_2017_08"
TARGET = ROOT / "python/solartrack/samples/aia171"
#: Every 16 hours; the region is two days from the west limb at the end.
NUMBERS = [1 + 16 * i for i in range(8)]
REDUCE = 8
RATIO = 4  # of the compression: about 65 kB a file

#: Cards that are kept.
KEPT = (
    *("ORIGIN", "TELESCOP", "INSTRUME", "DATE-OBS", "T_OBS", "EXPTIME", "WAVELNTH", "WAVEUNIT", "QUALITY"),
    *("CTYPE1", "CUNIT1", "CRVAL1", "CTYPE2", "CUNIT2", "CRVAL2", "CROTA2"),
    *("DSUN_OBS", "DSUN_REF", "RSUN_REF", "RSUN_OBS"),
    *("CRLN_OBS", "CRLT_OBS", "HGLN_OBS", "HGLT_OBS", "CAR_ROT"),
)
#: How those change that are about pixels. The first pixel's centre is 1.
CHANGED = {
    "NAXIS1": lambda n: n // REDUCE,
    "NAXIS2": lambda n: n // REDUCE,
    "CRPIX1": lambda x: (x - 0.5) / REDUCE + 0.5,
    "CRPIX2": lambda x: (x - 0.5) / REDUCE + 0.5,
    "CDELT1": lambda x: x * REDUCE,
    "CDELT2": lambda x: x * REDUCE,
    "R_SUN": lambda x: x / REDUCE,
}
NOTE = (
    "Courtesy of NASA/SDO and the AIA, EVE, and HMI science teams, and Helioviewer. Reduced by solartrack "
    f"from 4096 x 4096 pixels: means of {REDUCE} x {REDUCE}, compressed with loss."
)


def main() -> None:
    """Write all images."""
    TARGET.mkdir(exist_ok=True)
    for number in NUMBERS:
        make(SOURCE / f"source_{number:03}.jp2", TARGET)


def make(source: Path, folder: Path) -> None:
    """Write one image, named by its time as Helioviewer does."""
    text = source.read_bytes()
    cards = dict(re.findall(r"<([A-Z0-9_-]+)>([^<]*)</\1>", text[:20_000].decode("ascii", "replace")))
    pixels = glymur.Jp2k(source)[:].astype(np.float64)
    side = pixels.shape[0] // REDUCE
    small = np.rint(pixels.reshape(side, REDUCE, side, REDUCE).mean(axis=(1, 3))).astype(np.uint8)
    kept = {name: cards[name] for name in KEPT} | {"HISTORY": NOTE}
    for name, change in CHANGED.items():
        number = int(cards[name]) if name.startswith("NAXIS") else float(cards[name])
        kept[name] = f"{change(number):.10g}"
    xml = "".join(f"<{name}>{value}</{name}>\n" for name, value in kept.items())
    time = re.sub(r"[-:.]", "_", cards["T_OBS"].rstrip("Z").replace("T", "__"))
    target = folder / f"{time}__SDO_AIA_AIA_171.jp2"
    image = glymur.Jp2k(target, data=small, cratios=[RATIO])
    tree = fromstring(f"<meta>\n<fits>\n{xml}</fits>\n</meta>").getroottree()
    image.append(glymur.jp2box.XMLBox(tree))


if __name__ == "__main__":
    main()
