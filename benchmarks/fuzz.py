"""Coverage-guided fuzzing of the readers and of the compiled kernels' bindings, by atheris.

    python benchmarks/fuzz.py images|reports|kernels FOLDER [options of libFuzzer]

FOLDER keeps the inputs that reached new code; libFuzzer goes on from them, and from examples made here. An
input may be read, or refused with an error that the function documents. Everything else ends the run and
leaves the input in a file ``crash-*``: another error, a process that dies, an input that takes more than 20 s
(``-timeout=20``) or 4 GB (``-rss_limit_mb=4096``). ``-max_total_time=60`` limits the run.
"""

import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import astropy.units as u
import atheris
import numpy as np
from astropy.io import fits
from PIL import Image

with atheris.instrument_imports(include=["solartrack"]):
    from solartrack.crop import context_crop
    from solartrack.errors import ImageError, SourceError
    from solartrack.features import complexity, r_value
    from solartrack.flares import read_events, read_srs
    from solartrack.images import read
    from solartrack.metrics import ciou, iou

SUFFIXES = (".fits", ".jp2", ".png", ".jpg", ".fits.gz")
DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64", "int64", "bool", "complex64")


def read_image(data: bytes, folder: Path) -> None:
    """An image file; the first byte chooses its suffix."""
    path = folder / f"image{SUFFIXES[data[0] % len(SUFFIXES)] if data else '.fits'}"
    path.write_bytes(data[1:])
    with suppress(ImageError):
        read(path)


def read_report(data: bytes, folder: Path) -> None:
    """A day's region summary or event report; the first byte chooses which."""
    summary = bool(data) and data[0] % 2 == 0
    path = folder / ("20140106SRS.txt" if summary else "20140106events.txt")
    path.write_bytes(data[1:])
    with suppress(SourceError):
        (read_srs if summary else read_events)([path])


def call_kernel(data: bytes, folder: Path) -> None:
    """An array of any shape, type and strides, and boxes of any numbers."""
    given = atheris.FuzzedDataProvider(data)
    shape = [given.ConsumeIntInRange(0, 40) for _ in range(given.ConsumeIntInRange(0, 3))]
    dtype = np.dtype(DTYPES[given.ConsumeIntInRange(0, len(DTYPES) - 1)])
    wanted = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer(given.ConsumeBytes(wanted).ljust(wanted, b"\0"), dtype).reshape(shape)
    array = array[tuple(slice(None, None, given.PickValueInList([1, 1, 2, -1])) for _ in shape)]
    boxes = np.array([given.ConsumeFloat() for _ in range(4 * given.ConsumeIntInRange(0, 4))]).reshape(-1, 4)
    calls = (
        lambda: complexity(array, nan_policy="zero"),
        lambda: context_crop(array, boxes),
        lambda: iou(boxes, boxes, pairwise=False),
        lambda: ciou(boxes, boxes[::-1]),
        lambda: r_value(array, pixel=1.0 * u.Mm),
    )
    with suppress(ValueError, TypeError):
        calls[given.ConsumeIntInRange(0, len(calls) - 1)]()


def image_examples() -> list[bytes]:
    """A small file of each kind that can be made here."""
    pixels = np.arange(400, dtype=np.int16).reshape(20, 20)
    made = []
    for hdu in (fits.PrimaryHDU(pixels), fits.CompImageHDU(pixels, compression_type="RICE_1")):
        out = io.BytesIO()
        fits.HDUList([hdu] if isinstance(hdu, fits.PrimaryHDU) else [fits.PrimaryHDU(), hdu]).writeto(out)
        made.append(b"\0" + out.getvalue())
    for index, kind in ((1, "JPEG2000"), (2, "PNG"), (3, "JPEG")):
        out = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(out, kind)
        made.append(bytes([index]) + out.getvalue())
    return made


def report_examples() -> list[bytes]:
    """Texts in the form of NOAA's reports."""
    summary = """:Product: 0106SRS.txt
:Issued: 2014 Jan 06 0030 UTC
I.  Regions with Sunspots.  Locations Valid at 05/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
1936 N16W43   157  0240 Eai  11   20 Beta-Gamma
IA. H-alpha Plages without Spots.
Nmbr  Location  Lo
1937 S12W46   160
II. Regions Due to Return 06 Jan to 08 Jan
Nmbr Lat    Lo
None
"""
    events = """:Product: 20140106events.txt
#Event    Begin    Max       End  Obs  Q  Type  Loc/Frq   Particulars  Reg#
#--------------------------------------------------------------------------
1000 +     0352   0356      0404  G15  5   XRA  1-8A      C1.1    7.5E-04   1936
"""
    return [b"\0" + summary.encode(), b"\1" + events.encode()]


TARGETS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]]]] = {
    "images": (read_image, image_examples),
    "reports": (read_report, report_examples),
    "kernels": (call_kernel, lambda: [bytes(range(256)) * 8]),
}


def main() -> None:
    """Write the examples and hand over to libFuzzer."""
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    target, examples = TARGETS[sys.argv[1]]
    corpus = Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for k, example in enumerate(examples()):
        (corpus / f"example-{k}").write_bytes(example)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        options = ["-timeout=20", "-rss_limit_mb=4096", *sys.argv[3:]]
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-artifact_prefix={corpus}/", *options],
            lambda data: target(data, Path(folder)),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
