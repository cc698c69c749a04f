"""What the commands share: exit status, options, and the checks of their values."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.coordinates import ImageGeometry
    from solartrack.tracking import Tracker

#: Exit status; 2 (wrong usage) is argparse's own.
OK, FAILED, INCOMPLETE, INTERRUPTED = 0, 1, 3, 130

#: What names images on the command line.
IMAGES = "folders, patterns ('folder/**' for all folders in one) or files"

EXIT_STATUS = """
exit status:
    0  done
    1  could not be done; the reason is on standard error
    2  wrong usage
    3  done, but some images or files could not be used; rows or messages say why
  130  interrupted; what was made so far is written, and archive jobs, downloads and training go on from \
there when started again
"""


def add_command(
    commands: Any, name: str, *, help: str, description: str, notes: str = ""
) -> argparse.ArgumentParser:
    """Add a command, whose help ends with `notes` and the exit status."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=notes + EXIT_STATUS,
    )
    return parser


def add_images(parser: argparse.ArgumentParser) -> None:
    """Images as positional arguments."""
    parser.add_argument("images", nargs="+", metavar="IMAGES", help=f"{IMAGES}: FITS, PNG, JPG, JP2")


def images_of(arguments: argparse.Namespace) -> list[Path]:
    """The image files that were named; at least one."""
    from solartrack import images

    files = images.find_images(arguments.images)
    if not files:
        raise FileNotFoundError(images.none_found(arguments.images))
    return files


def add_tracker(parser: argparse.ArgumentParser) -> None:
    """The tracker and the options of its network."""
    parser.add_argument(
        "--tracker",
        metavar="NAME",
        help="solar: the Sun's rotation and a network; rotation or rectangle: the rotation alone, without "
        "pixels; segmentation: what each image's segmentation finds; goturn: the network alone (default: "
        "solar)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="the network of solar and goturn: goturn-lite, or an .onnx file that you trained "
        "(default: goturn-lite)",
    )
    parser.add_argument(
        "--device",
        help="where the network runs: auto (a GPU if one works), cpu, cuda or cuda:N (default: auto)",
    )
    parser.add_argument(
        "--convention",
        choices=("auto", "rectangle", "segmentation"),
        help="of solar, what the start box is: rectangle, one that a catalogue keeps for the region's life "
        "(SHARP); segmentation, one drawn anew around what each image shows (SPoCA); auto, told by the "
        "images (default: auto)",
    )


def tracker_of(arguments: argparse.Namespace) -> Tracker:
    """The tracker that was asked for, of the kind that `--kind` says if it can be of several."""
    from solartrack import tracking

    options = {name: getattr(arguments, name) for name in ("model", "device", "convention")}
    given = {name: value for name, value in options.items() if value is not None}
    kind = getattr(arguments, "kind", None)
    name = arguments.tracker or ("segmentation" if kind == "coronal_hole" else "solar")
    if kind is not None and name == "segmentation":
        given["kind"] = kind
    return tracking.make_tracker(name, **given)


def add_disk(parser: argparse.ArgumentParser) -> None:
    """Where the Sun is in images that do not say so."""
    parser.add_argument(
        "--disk",
        type=disk_numbers,
        metavar="X,Y,RADIUS[,B0]",
        help="where the Sun is, if the images do not say: centre and radius in pixels, latitude of "
        "the centre in degrees (default 0)",
    )
    parser.add_argument(
        "--row0",
        choices=("top", "bottom"),
        help="with --disk: where the first stored row is shown (default: bottom for FITS, else top)",
    )


def geometry_of(arguments: argparse.Namespace, files: Sequence[Path]) -> ImageGeometry | None:
    """The disk that was given, None if none was; `files` decide where row 0 is."""
    from solartrack import images
    from solartrack.coordinates import ImageGeometry
    from solartrack.errors import ImageError

    if arguments.disk is None:
        return None
    x, y, radius, *b0 = arguments.disk
    row0 = arguments.row0
    if row0 is None:
        kinds = set()
        for path in files:
            with contextlib.suppress(ImageError, OSError):  # the row of this image will say so
                kinds.add(images.row0(path))
        if len(kinds) == 2:
            raise ValueError(
                "FITS files and pictures store their rows in opposite order; give --row0, or one kind only"
            )
        row0 = kinds.pop() if kinds else "top"
    return ImageGeometry.from_disk((x, y), radius, b0_deg=b0[0] if b0 else 0.0, row0=row0)


def add_units_row(parser: argparse.ArgumentParser) -> None:
    """Declare ``--units-row``."""
    parser.add_argument(
        "--units-row",
        action="store_true",
        help="in .csv: a row with the units below the header, '# unit' in its first field; solartrack reads "
        "it, pandas needs skiprows=[1]",
    )


def add_truth(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """True boxes: a positional argument if `required`, else an option."""
    parser.add_argument(
        "truth" if required else "--truth",
        type=Path,
        metavar="TRUTH",
        help="true boxes: .ann, .csv with frame,x0,y0,x1,y1, .parquet or .txt",
    )
    parser.add_argument(
        "--truth-scale",
        type=positive,
        default=1.0,
        metavar="S",
        help="multiply the true boxes by S, for images that were reduced (0.25 for 4096 to 1024)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Local processes or a Dask cluster."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="local processes (default: one per core)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="work on this Dask cluster instead")


def archive_told(made: Any) -> dict[str, Any]:
    """What a job on an archive of patches made, in numbers."""
    return {name: getattr(made, name) for name in ("rows", "failed", "reused", "table", "csv", "errors")}


def archive_in_words(made: Any) -> str:
    """The same for people."""
    return f"{made.rows} rows in {made.table} and {made.csv}; {made.reused} files were done before"


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, got {text!r}") from None


def positive(text: str) -> float:
    """A positive number of reasonable size."""
    (value, *rest) = numbers(text)
    if rest or not 1e-6 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def box_numbers(text: str) -> list[float]:
    """The corners of a box."""
    values = numbers(text)
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"expected four finite numbers x0,y0,x1,y1, got {text!r}")
    x0, y0, x1, y1 = values
    if x1 <= x0 or y1 <= y0:
        raise argparse.ArgumentTypeError(
            "expected x0,y0,x1,y1 with x1 > x0 and y1 > y0, two corners and not width and height, "
            f"got {text!r}"
        )
    return values


def disk_numbers(text: str) -> list[float]:
    """Centre, radius and perhaps B0 of the disk."""
    values = numbers(text)
    if len(values) not in (3, 4):
        raise argparse.ArgumentTypeError(f"expected x,y,radius or x,y,radius,b0, got {text!r}")
    return values


def require_writable(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse an output that could only fail after the work is done."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path}: the suffix must be one of {', '.join(suffixes)}")
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: no permission")
