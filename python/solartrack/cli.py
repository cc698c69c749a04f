"""The command line: parses, calls, prints. All work is in the library."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack import __version__
from solartrack.errors import SolartrackError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from solartrack.coordinates import ImageGeometry
    from solartrack.metrics.single_track import Aligned
    from solartrack.tracking import Tracker

_BOX = ["x0", "y0", "x1", "y1"]

# Exit status; 2 (wrong usage) is argparse's own.
OK, FAILED, INCOMPLETE, INTERRUPTED = 0, 1, 3, 130

_EPILOG = """
exit status:
  0  done
  1  could not be done; the reason is on standard error
  2  wrong usage
  3  done, but some images could not be used; their rows say why
130  interrupted; the rows made until then are written
"""

_TRACK_EXAMPLES = """
examples:
  Full-disk images with FITS headers (FITS or Helioviewer JP2), box on the first one:
    solartrack track images/ --box 2180,1460,2590,1720 -o track.csv
  Pictures without headers, one every 4 hours, Sun's centre at (512, 512), radius 394.5 px, B0 0.8 deg:
    solartrack track frames/ --box 157,461,239,500 --start 66 --times 4h --disk 512,512,394.5,0.8

Boxes are x0,y0,x1,y1 in pixels from the corner of the first stored pixel: the middle
of a 1024 px image is 512. Row 0 is the top of PNG, JPG and JP2, the bottom of FITS.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``solartrack`` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        Exit status, see ``solartrack --help``.
    """
    arguments = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    form = warnings.formatwarning
    # One line, not a line of source, for people who look at progress bars.
    warnings.formatwarning = lambda message, *_, **__: f"solartrack: warning: {message}\n"
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # "| head" has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)
        return OK
    except (SolartrackError, OSError, ValueError, ImportError) as error:
        print(f"solartrack: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("solartrack: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.formatwarning = form
    return status


def _joined(argv: Sequence[str]) -> list[str]:
    """Take ``--box -10,0,5,5`` as a value, where argparse would see another option."""
    words: list[str] = []
    for word in argv:
        lists = words and words[-1] in ("--box", "--box-arcsec", "--disk")
        if lists and re.match(r"-[\d.]", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _writable(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse an output that could only fail after the work is done."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path}: the suffix must be one of {', '.join(suffixes)}")
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: no permission")


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="solartrack",
        formatter_class=form,
        epilog=_EPILOG,
        description="Track solar regions through images and measure the magnetic complexity of magnetograms. "
        "'solartrack demo' shows it at work.",
    )
    parser.add_argument("--version", action="version", version=f"solartrack {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    one = commands.add_parser(
        "track",
        help="follow a box through images",
        formatter_class=form,
        epilog=_TRACK_EXAMPLES + _EPILOG,
        description="Follow a box through images and write a table with a row for each of them.",
    )
    _add_images(one)
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--box", type=_four, metavar="X0,Y0,X1,Y1", help="the box on the start image, pixels")
    where.add_argument(
        "--box-arcsec",
        type=_four,
        metavar="TX0,TY0,TX1,TY1",
        help="the same in helioprojective arcsec (west and north positive)",
    )
    one.add_argument(
        "--start",
        metavar="FRAME",
        help="frame number or file name of the start image (default: the first in time); a frame's number is "
        "that in its name if all names are numbers, else its place from 0",
    )
    _add_tracker(one)
    one.add_argument(
        "--times",
        metavar="CADENCE|START/CADENCE|FILE",
        help="when the images were taken, if they do not say: the time between them such as 4h or 12min; "
        "with the first one's time, 2014-02-03T00:00:00/4h; or a CSV file of frame (or file) and time",
    )
    one.add_argument(
        "--disk",
        type=_disk_numbers,
        metavar="X,Y,RADIUS[,B0]",
        help="where the Sun is, if the images do not say: centre and radius in pixels, latitude of "
        "the centre in degrees (default 0)",
    )
    one.add_argument(
        "--row0",
        choices=("top", "bottom"),
        help="with --disk: where the first stored row is shown (default: bottom for FITS, else top)",
    )
    one.add_argument("--forward", action="store_true", help="leave out the images before the start image")
    one.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("track.csv"),
        metavar="FILE",
        help="table to write: .csv, .parquet, .txt (frame x y w h) or .ann (default: %(default)s)",
    )
    _add_quiet(one)
    one.set_defaults(run=_track)

    scores = commands.add_parser(
        "evaluate",
        help="score a track against the truth",
        formatter_class=form,
        epilog=_EPILOG,
        description="Score a track against true boxes of the same frame numbers.",
    )
    scores.add_argument("track", type=Path, metavar="TRACK", help="table of 'solartrack track', or .txt")
    _add_truth(scores, required=True)
    scores.add_argument(
        "--frames",
        choices=("later", "all"),
        default="later",
        help="score the frames after the start frame, or all but it (default: %(default)s); "
        "files without a start frame are scored on all frames",
    )
    scores.add_argument(
        "--thresholds", type=_numbers, default=[0.5], metavar="T,T,...", help="IoU thresholds (default: 0.5)"
    )
    scores.add_argument(
        "--convention",
        choices=("standard", "sarker2019"),
        default="standard",
        help="sarker2019 reproduces the published tables' own definitions (default: %(default)s)",
    )
    scores.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="also draw IoU over time and the success curve: .png, .pdf, .svg",
    )
    scores.add_argument("--json", action="store_true", help="print JSON instead of a table")
    scores.set_defaults(run=_evaluate)

    draw = commands.add_parser(
        "draw",
        help="draw the boxes into a movie or picture",
        formatter_class=form,
        epilog=_EPILOG,
        description="Draw the track (red) and the truth (white) into the images.",
    )
    _add_images(draw)
    draw.add_argument(
        "--track", type=Path, required=True, metavar="TRACK", help="table of 'solartrack track', or .txt"
    )
    draw.add_argument(
        "--track-scale", type=_positive, default=1.0, metavar="S", help="multiply its boxes by S"
    )
    _add_truth(draw, required=False)
    draw.add_argument("--frame", type=int, metavar="N", help="only this frame; the output is then a picture")
    draw.add_argument(
        "--size", type=_side, default=1024, help="longer side of the result, pixels (default: %(default)s)"
    )
    draw.add_argument("--fps", type=_positive, default=6.0, help="frames per second (default: %(default)s)")
    draw.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".mp4 or .gif; with --frame .png or .jpg",
    )
    _add_quiet(draw)
    draw.set_defaults(run=_draw)

    demo = commands.add_parser(
        "demo",
        help="simulate, track, evaluate and draw a short sequence",
        formatter_class=form,
        epilog=_EPILOG,
        description="Render a short sequence of a simulated Sun, track one of its regions, score the track, "
        "draw the movie, and say where everything is.",
    )
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("solartrack-demo"),
        metavar="FOLDER",
        help="folder for the results; it is made (default: %(default)s)",
    )
    demo.add_argument("--images", type=int, default=24, help="how many images (default: %(default)s)")
    demo.add_argument(
        "--size", type=int, default=512, help="side of the images, pixels (default: %(default)s)"
    )
    demo.add_argument("--seed", type=int, default=1, help="which Sun (default: %(default)s)")
    _add_tracker(demo)
    _add_quiet(demo)
    demo.set_defaults(run=_demo)
    _add_features(commands)
    _add_track_archive(commands)
    return parser


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="folders or files: FITS, PNG, JPG, JP2")


def _add_tracker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracker",
        default="solar",
        metavar="NAME",
        help="solar: the Sun's rotation and a network; rotation: without pixels; goturn: the network alone "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="the network of solar and goturn: goturn-lite, or an .onnx file of your own training "
        "(default: goturn-lite)",
    )
    parser.add_argument(
        "--device", help="where it runs: auto (a GPU if one works), cpu, cuda or cuda:N (default: auto)"
    )


def _tracker(arguments: argparse.Namespace) -> Tracker:
    from solartrack import tracking

    options = {name: getattr(arguments, name) for name in ("model", "device")}
    given = {name: value for name, value in options.items() if value is not None}
    return tracking.make_tracker(arguments.tracker, **given)


def _add_truth(parser: argparse.ArgumentParser, *, required: bool) -> None:
    kinds = "true boxes: .ann, .csv with frame,x0,y0,x1,y1, .parquet or .txt"
    if required:
        parser.add_argument("truth", type=Path, metavar="TRUTH", help=kinds)
    else:
        parser.add_argument("--truth", type=Path, metavar="TRUTH", help=kinds)
    parser.add_argument(
        "--truth-scale",
        type=_positive,
        default=1.0,
        metavar="S",
        help="multiply the true boxes by S, for images that were reduced (0.25 for 4096 to 1024)",
    )


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, got {text!r}") from None


def _positive(text: str) -> float:
    (value, *rest) = _numbers(text)
    if rest or not 1e-6 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def _side(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 16 <= int(text) <= 16384:
        raise argparse.ArgumentTypeError(f"expected 16 to 16384 pixels, got {text!r}")
    return int(text)


def _four(text: str) -> list[float]:
    values = _numbers(text)
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers x0,y0,x1,y1, got {text!r}")
    return values


def _disk_numbers(text: str) -> list[float]:
    values = _numbers(text)
    if len(values) not in (3, 4):
        raise argparse.ArgumentTypeError(f"expected x,y,radius or x,y,radius,b0, got {text!r}")
    return values


def _track(arguments: argparse.Namespace) -> int:
    from solartrack import images, tracking

    _writable(arguments.output, (".csv", ".parquet", ".txt", ".ann"))
    files = images.find_images(arguments.images)
    if not files:
        raise FileNotFoundError(
            f"no images found in {', '.join(arguments.images)}; expected FITS, PNG, JPG or JP2"
        )
    times, cadence = _times(arguments.times, files)
    start: Any = arguments.start
    if start is not None and start.isascii() and start.isdigit():
        start = int(start)

    rows: list[dict[str, Any]] = []
    status = OK
    try:
        for row in tracking.iter_track(
            files,
            arguments.box if arguments.box is not None else arguments.box_arcsec,
            arcsec=arguments.box is None,
            start=start,
            tracker=_tracker(arguments),
            times=times,
            cadence=cadence,
            geometry=_geometry(arguments, files),
            both_ways=not arguments.forward,
            progress=not arguments.quiet,
        ):
            rows.append(row)
    except BaseException as error:
        if not rows:
            raise
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        print(f"solartrack: {why}; writing the rows made until now", file=sys.stderr)
        status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
    table = tracking.as_table(rows)
    try:
        tracking.write_track(table, arguments.output)
    except OSError as error:  # a full disk, say: the rows are worth more than the place
        rescue = Path(tempfile.mkdtemp(prefix="solartrack-")) / f"{arguments.output.stem}.csv"
        tracking.write_track(table, rescue)
        raise OSError(f"{error}; the rows are in {rescue}") from error
    unusable = table[table["state"].isin(tracking.UNUSABLE)]
    for bad in unusable.itertuples():
        print(f"solartrack: frame {bad.frame}: {bad.state}: {bad.message}", file=sys.stderr)
    if not arguments.quiet:
        counts = ", ".join(f"{n} {state}" for state, n in table["state"].value_counts(sort=False).items())
        print(f"{len(table)} images: {counts}")
        print(f"wrote {arguments.output}")
    return status or (INCOMPLETE if len(unusable) else OK)


def _geometry(arguments: argparse.Namespace, files: Sequence[Path]) -> ImageGeometry | None:
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
            with contextlib.suppress(ImageError, OSError):  # its row will say so
                kinds.add(images.row0(path))
        if len(kinds) == 2:
            raise ValueError(
                "FITS and pictures store their rows the other way round; give --row0, or one kind"
            )
        row0 = kinds.pop() if kinds else "top"
    return ImageGeometry.from_disk((x, y), radius, b0_deg=b0[0] if b0 else 0.0, row0=row0)


def _times(text: str | None, files: Sequence[Path]) -> tuple[Any, str | None]:
    """``--times`` as (times, cadence)."""
    from solartrack import tracking

    if text is None:
        return None, None
    if not Path(text).is_file():
        first, slash, cadence = text.partition("/")
        if slash and not (first and cadence):
            raise ValueError(f"--times {text!r} is not a file, a cadence (4h) or START/CADENCE")
        return (first, cadence) if slash else (None, text)
    import pandas as pd

    try:
        table = pd.read_csv(text, dtype=str, keep_default_na=False)
    except Exception as error:  # pandas raises many kinds
        raise ValueError(f"--times {text} is not a CSV file: {error}") from error
    key = next((c for c in ("file", "frame") if c in table), None)
    if key is None or "time" not in table:
        raise ValueError(f"--times {text} needs the columns time and file or frame, got {', '.join(table)}")
    own = [p.name for p in files] if key == "file" else [str(n) for n in tracking.frame_numbers(files)]
    theirs = [word.strip() for word in table[key]]
    if key == "frame":
        theirs = [word.lstrip("0") or "0" for word in theirs]
    if len(set(theirs)) < len(theirs):
        twice = next(word for word in theirs if theirs.count(word) > 1)
        raise ValueError(f"--times {text} has {key} {twice} more than once")
    known = dict(zip(theirs, table["time"], strict=True))
    return [known.get(name) for name in own], None


def _evaluate(arguments: argparse.Namespace) -> int:
    import json

    import numpy as np

    from solartrack import metrics, tracking

    if arguments.plot:
        _writable(arguments.plot, (".png", ".pdf", ".svg"))
    track, truth = tracking.read_track(arguments.track), tracking.read_track(arguments.truth)
    truth[_BOX] *= arguments.truth_scale
    started = track["state"] == "start"
    unscored = 0
    if started.any():
        first = track.index[started][0]
        number = track.at[first, "frame"]
        track = track.loc[first + 1 :] if arguments.frames == "later" else track.drop(index=first)
        # True frames that the track does not speak of are not its failures, but are told.
        known = truth["frame"].isin(track["frame"])
        unscored = int((~known & (truth["frame"] > number)).sum())
        truth = truth[known]
    if not truth["frame"].isin(track["frame"]).any():
        raise ValueError(f"{arguments.track} and {arguments.truth} have no frame number in common to score")
    pairs = metrics.align(truth["frame"], truth[_BOX], track["frame"], track[_BOX])
    scores = metrics.score(
        pairs.truth, pairs.boxes, thresholds=arguments.thresholds, convention=arguments.convention
    )
    iou = _frame_iou(pairs)
    mean = float(np.nan_to_num(iou).mean())
    if arguments.json:
        print(json.dumps({"mean_iou": mean, "n_unscored": unscored, **scores.as_dict()}))
    else:
        print(f"mean IoU {mean:.4f} over {len(iou)} frames, a frame without a box counting 0")
        print(scores)
    if unscored:
        print(f"solartrack: {unscored} true frames after the start are not in the track", file=sys.stderr)
    if arguments.plot:
        _plot(arguments.plot, arguments.track.stem, pairs.frames, iou)
        if not arguments.json:
            print(f"wrote {arguments.plot}")
    return OK


def _frame_iou(pairs: Aligned) -> NDArray[np.float64]:
    import numpy as np

    from solartrack import metrics

    reported = np.isfinite(pairs.boxes).all(axis=1)
    iou = np.full(len(pairs.truth), np.nan)
    iou[reported] = metrics.iou(pairs.boxes[reported], pairs.truth[reported])
    return iou


def _plot(path: Path, name: str, frames: NDArray[np.generic], iou: NDArray[np.float64]) -> None:
    from solartrack import viz
    from solartrack._optional import require

    figures = require("matplotlib.figure", extra="viz", purpose="drawing plots")
    figure = figures.Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    viz.plot_iou(frames, {name: iou}, ax=left)
    viz.plot_success({name: iou}, ax=right)
    figure.savefig(path, dpi=120)


def _draw(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from solartrack import images, tracking, viz

    files = images.find_images(arguments.images)
    if not files:
        raise FileNotFoundError(
            f"no images found in {', '.join(arguments.images)}; expected FITS, PNG, JPG or JP2"
        )
    _writable(arguments.output, (".mp4", ".gif") if arguments.frame is None else (".png", ".jpg", ".jpeg"))
    track = tracking.read_track(arguments.track)
    track[_BOX] *= arguments.track_scale
    left_out: list[int] = []
    truth = tracking.read_track(arguments.truth) if arguments.truth else track.iloc[:0]
    drawn = _overlays(files, track, truth, arguments, left_out)
    if arguments.frame is None:
        viz.movie(arguments.output, drawn, fps=arguments.fps)
    else:
        picture = next(drawn, None)
        if picture is None and left_out:
            return FAILED
        if picture is None:
            raise ValueError(f"there is no frame {arguments.frame} in both the images and {arguments.track}")
        Image.fromarray(picture).save(arguments.output)
    if not arguments.quiet:
        print(f"wrote {arguments.output}")
    return INCOMPLETE if left_out else OK


def _overlays(
    files: Sequence[Path],
    track: pd.DataFrame,
    truth: pd.DataFrame,
    arguments: argparse.Namespace,
    left_out: list[int],
) -> Iterator[NDArray[np.uint8]]:
    import numpy as np
    from PIL import Image, ImageOps
    from tqdm import tqdm

    from solartrack import images, tracking, viz
    from solartrack.errors import ImageError

    # A track knows the paths of its images, or at least their names if they were moved;
    # other tables of boxes only know numbers.
    paths = {path.resolve(): path for path in files}
    names = {path.name: path for path in files}
    unique = len(names) == len(files)
    numbers = dict(zip(tracking.frame_numbers(files), files, strict=True))
    true = dict(zip(truth["frame"], truth[_BOX].to_numpy() * arguments.truth_scale, strict=True))
    rows = track if arguments.frame is None else track[track["frame"] == arguments.frame]
    limits, size = None, None
    for row in tqdm(rows.itertuples(), total=len(rows), disable=arguments.quiet, unit="image"):
        if row.file:
            path = paths.get(Path(row.file).resolve()) or (names.get(Path(row.file).name) if unique else None)
        else:
            path = numbers.get(row.frame)
        if path is None:
            if row.file:  # of other tables, frames that are not among the images are no loss
                left_out.append(row.frame)
                print(f"solartrack: frame {row.frame} left out: no image {row.file}", file=sys.stderr)
            continue
        try:
            array = images.read(path).array
        except (ImageError, OSError) as error:
            left_out.append(row.frame)
            print(f"solartrack: frame {row.frame} left out: {error}", file=sys.stderr)
            continue
        if size is None:  # one range of brightness for the whole movie, or it flickers
            limits = viz.display_limits(array)
        picture = viz.overlay(
            array,
            box=[row.x0, row.y0, row.x1, row.y1],
            truth=true.get(row.frame),
            label=f"frame {row.frame}",
            time=None if row.time != row.time else row.time.strftime("%Y-%m-%d %H:%M:%S"),
            state=None if row.state in ("", "tracked") else row.state.replace("_", " "),
            size=arguments.size,
            limits=limits,
            row0=images.row0(path),
        )
        size = size or picture.shape[1::-1]
        if picture.shape[1::-1] != size:  # an image of another shape: all of it, in a frame of the first's
            picture = np.array(ImageOps.pad(Image.fromarray(picture), size))
        yield picture


def _demo(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from solartrack import simulate, tracking
    from solartrack._optional import require

    for module in ("imageio_ffmpeg", "matplotlib"):
        require(module, extra="viz", purpose="the demo's movie and plot")
    folder: Path = arguments.output
    sky = folder / "images"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; choose another folder with -o, or delete it")
    if arguments.images < 2:
        raise ValueError(f"--images must be at least 2, got {arguments.images}")
    tracker = _tracker(arguments)

    say = (lambda *_: None) if arguments.quiet else print
    say(f"rendering {arguments.images} images of a simulated Sun, 4 hours apart")
    frames = simulate.sequence(arguments.seed, arguments.images, 4.0, size=arguments.size)
    everything = simulate.write(
        sky, tqdm(frames, total=arguments.images, disable=arguments.quiet, unit="image")
    )

    # Of the regions that are seen longest, the one that stays nearest to the middle of the disk.
    frames_seen = everything.groupby("id")["frame"].nunique()
    longest = everything[everything["id"].map(frames_seen) == frames_seen.max()]
    distance = (longest[["x0", "x1"]].mean(axis=1) - arguments.size / 2).abs()
    region = distance.groupby(longest["id"]).mean().idxmin()
    truth = everything[everything["id"] == region].reset_index(drop=True)
    truth[["frame", *_BOX]].to_csv(folder / "truth.csv", index=False)

    say(f"tracking the region that passes the middle of the disk, with the tracker {tracker.name!r}")
    table = tracking.track(
        sky,
        truth.loc[0, _BOX].to_numpy(float),
        start=str(truth.loc[0, "file"]),
        tracker=tracker,
        progress=not arguments.quiet,
    )
    tracking.write_track(table, folder / "track.csv")

    say("\nscores on the images after the first:")
    quiet = ["--quiet"] if arguments.quiet else []
    track_file, truth_file = str(folder / "track.csv"), str(folder / "truth.csv")
    draw = ["draw", str(sky), "--track", track_file, "--truth", truth_file, *quiet]
    with contextlib.redirect_stdout(io.StringIO()) if arguments.quiet else contextlib.nullcontext():
        status = main(["evaluate", track_file, truth_file, "--plot", str(folder / "scores.png")])
    status = status or main([*draw, "-o", str(folder / "movie.mp4")])
    last = str(table["frame"].iloc[-1])
    status = status or main([*draw, "--frame", last, "-o", str(folder / "last.png")])
    if status == OK:
        say(
            f"\nin {folder}: images/ (FITS), truth.csv, track.csv, scores.png, movie.mp4, last.png\n"
            "again, with your own images:  solartrack track IMAGES --box X0,Y0,X1,Y1   "
            "(solartrack track --help)"
        )
    return status


_FEATURES_EXAMPLES = """
examples:
  All patches under a folder, with labels (file name, class label, flare class):
    solartrack features archive/ --labels labels.csv -o features
  Run it again after an interruption: what is complete is kept.

results in the output folder:
  features/     Parquet, one table in parts, a row for each good file
  features.csv  published layout: 29 values, class label, flare class, file name
  errors.csv    the files without a row, and why
"""


def _add_features(commands: Any) -> None:
    parser = commands.add_parser(
        "features",
        help="measure the magnetic complexity of the patches of an archive",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_FEATURES_EXAMPLES + _EPILOG,
        description="Write a table of the 29 published complexity features of all magnetogram patches.",
    )
    parser.add_argument(
        "images", nargs="+", metavar="DIR", help="folders (with all folders in them), files, patterns"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("features"),
        metavar="FOLDER",
        help="folder for the results; it is made (default: %(default)s)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="CSV: file name, class label, flare class"
    )
    parser.add_argument(
        "--zero",
        type=float,
        metavar="VALUE",
        help="pixel value of zero field (default: 128 for 8-bit pictures, 0 for FITS)",
    )
    parser.add_argument(
        "--nan",
        choices=("raise", "zero"),
        default="raise",
        help="patches with NaN: an error row, or NaN taken as 0 (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each core)")
    _add_quiet(parser)
    parser.set_defaults(run=_features)


def _features(arguments: argparse.Namespace) -> int:
    import warnings

    from solartrack import features

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = features.extract(
            arguments.images,
            arguments.output,
            labels=arguments.labels,
            zero=arguments.zero,
            nan_policy=arguments.nan,
            workers=arguments.workers,
            progress=not arguments.quiet,
        )
    for warning in caught:
        print(f"solartrack: {warning.message}", file=sys.stderr)
    if made.failed:
        print(f"solartrack: {made.failed} files have no features; see {made.errors}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{made.rows} rows in {made.table} and {made.csv}; {made.reused} files were done before")
    return INCOMPLETE if made.failed else OK


_ARCHIVE_EXAMPLES = """
examples:
  Every event of a table, through folders of Helioviewer JP2, on all cores:
    solartrack track-archive events.csv --images 'aia171/2014/**' -o tracks-2014
  The same command again goes on where it was stopped. On a Dask cluster:
    solartrack track-archive events.csv --images /data/aia171 --scheduler tcp://head:8786 -o tracks-2014

The table (CSV or Parquet) has the columns event (a name), time (UTC) and the box in the
image nearest to that time: x0,y0,x1,y1 in pixels or tx0,ty0,tx1,ty1 in arcsec;
optionally end (UTC) or duration (such as 36h).
The folder gets tracks/ (Parquet), errors.parquet (event, file, reason), manifest.json.
"""


def _add_track_archive(commands: Any) -> None:
    many = commands.add_parser(
        "track-archive",
        help="follow all events of a table through an archive of images",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_ARCHIVE_EXAMPLES + _EPILOG,
        description="Follow all events of a table through an archive of images, or go on where it stopped.",
    )
    many.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="table of events: .csv or .parquet")
    many.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="IMAGES",
        help="folders, patterns or files of one channel, with times in their headers or names",
    )
    many.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder of the run; it is made"
    )
    _add_tracker(many)
    many.add_argument(
        "--duration", default="14d", metavar="TIME", help="how long to follow an event (default: %(default)s)"
    )
    many.add_argument(
        "--tolerance",
        default="6h",
        metavar="TIME",
        help="how far the nearest image may be from an event's time (default: %(default)s)",
    )
    many.add_argument("--both-ways", action="store_true", help="follow events as long backwards, too")
    many.add_argument(
        "--disk",
        type=_disk_numbers,
        metavar="X,Y,RADIUS[,B0]",
        help="where the Sun is, if the images do not say: centre and radius in pixels, latitude of "
        "the centre in degrees (default 0)",
    )
    many.add_argument(
        "--row0",
        choices=("top", "bottom"),
        help="with --disk: where the first stored row is shown (default: bottom for FITS, else top)",
    )
    where = many.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="local processes (default: the cores)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="work on this Dask cluster instead")
    _add_quiet(many)
    many.set_defaults(run=_track_archive)


def _track_archive(arguments: argparse.Namespace) -> int:
    from solartrack import archive, images

    files = images.find_images(arguments.images)[:1] if arguments.disk else []
    if arguments.disk and not files:
        raise FileNotFoundError(
            f"no images found in {', '.join(arguments.images)}; expected FITS, PNG, JPG or JP2"
        )
    try:
        manifest = archive.track_archive(
            arguments.catalogue,
            arguments.images,
            arguments.output,
            tracker=_tracker(arguments),
            duration=arguments.duration,
            tolerance=arguments.tolerance,
            both_ways=arguments.both_ways,
            geometry=_geometry(arguments, files),
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            progress=not arguments.quiet,
        )
    except KeyboardInterrupt:
        print("solartrack: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    counts = manifest["counts"]
    if not arguments.quiet:
        print(f"{counts['events']} events: {counts['tracked']} tracked, {counts['failed']} not; ", end="")
        print(f"{counts['rows']} rows in {arguments.output / 'tracks'}")
    if counts["errors"]:
        where = arguments.output / "errors.parquet"
        print(f"solartrack: {counts['errors']} errors, see {where}", file=sys.stderr)
        return INCOMPLETE
    return OK
