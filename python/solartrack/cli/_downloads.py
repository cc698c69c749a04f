"""What ``plan`` and ``fetch`` share: what is wanted, said on the command line, as a plan."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import shows_progress
from solartrack.cli._options import add_command
from solartrack.cli._tables import read_table

if TYPE_CHECKING:
    import pandas as pd

#: Kinds of things to download, with a word on each.
KINDS = {
    "events": "events of the HEK: active regions, coronal holes, flares, sigmoids",
    "images": "JPEG 2000 images of Helioviewer for a table of events",
    "magnetograms": "magnetograms of HMI from JSOC, around NOAA regions or by HARP number",
    "reports": "NOAA's Solar Region Summaries and event reports",
}


def add_kinds(parser: argparse.ArgumentParser, further: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare a subcommand for each kind, with its arguments and those that `further` adds."""
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="what")
    for kind, add in (
        ("events", _add_events),
        ("images", _add_images),
        ("magnetograms", _add_magnetograms),
        ("reports", _add_reports),
    ):
        own = add_command(kinds, kind, help=KINDS[kind], description=f"{KINDS[kind].capitalize()}.")
        add(own)
        own.add_argument("--base-url", metavar="URL", help="another server, such as a mirror")
        further(own)


def planned(arguments: argparse.Namespace) -> pd.DataFrame:
    """The plan that the arguments ask for; of events, what would be asked."""
    plans = {"events": _events, "images": _images, "magnetograms": _magnetograms, "reports": _reports}
    return plans[arguments.what](arguments)


def events_found(arguments: argparse.Namespace) -> pd.DataFrame:
    """The events that the arguments ask for."""
    from solartrack.sources import hek

    return hek.search(
        arguments.start,
        arguments.end,
        progress=shows_progress(arguments),
        **_given(arguments, _EVENT_OPTIONS),
    )


_EVENT_OPTIONS = ("event_type", "method", "region", "specific_id", "cache", "base_url")


def _add_events(parser: argparse.ArgumentParser) -> None:
    _add_times(parser)
    parser.add_argument(
        "--type", dest="event_type", metavar="TYPES", help="AR, CH, FL, SG, or several with commas"
    )
    parser.add_argument(
        "--method", action="append", metavar="NAME", help="such as SPoCA or 'HMI SHARP'; may be repeated"
    )
    parser.add_argument("--region", type=int, metavar="N", help="events of this NOAA region only")
    parser.add_argument("--specific-id", metavar="ID", help="events of this object only (frm_specificid)")
    _add_cache(parser)


def _events(arguments: argparse.Namespace) -> pd.DataFrame:
    from solartrack.sources import hek

    return hek.plan(arguments.start, arguments.end, **_given(arguments, _EVENT_OPTIONS))


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "events",
        type=Path,
        metavar="EVENTS",
        help="table, .csv or .parquet: event, start or time, end, event_type (AR or CH)",
    )
    parser.add_argument(
        "--source", metavar="NAME", help="AIA_171, HMI_MAG, ... (default: AIA_171 for AR, AIA_193 for CH)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="images for each event (default: 5)")
    parser.add_argument("--cadence", metavar="TIME", help="images at this cadence instead, such as 4h")
    parser.add_argument(
        "--max-gap", metavar="TIME", help="how far an image may be from its time (default: 6h)"
    )
    parser.add_argument(
        "--published-names", action="store_true", help="ask for Helioviewer's own file names, one by one"
    )
    _add_cache(parser)


def _images(arguments: argparse.Namespace) -> pd.DataFrame:
    from solartrack.sources import helioviewer

    names = ("source", "count", "cadence", "max_gap", "published_names", "cache", "base_url")
    return helioviewer.plan(
        read_table(arguments.events), progress=shows_progress(arguments), **_given(arguments, names)
    )


def _add_magnetograms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "numbers",
        nargs="*",
        type=int,
        metavar="NUMBER",
        help="NOAA regions (default: all of --srs), or HARPs",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--srs",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="Solar Region Summaries: files, folders, tar files",
    )
    which.add_argument("--harp", action="store_true", help="the numbers are HARPs: get their CEA patches")
    parser.add_argument("--size", type=int, default=600, metavar="PX", help="side of cutouts (default: 600)")
    parser.add_argument(
        "--cadence", default="", metavar="TIME", help="of cutouts, such as 96m (default: all)"
    )
    parser.add_argument(
        "--segments", default="magnetogram", metavar="NAMES", help="of patches (default: magnetogram)"
    )


def _magnetograms(arguments: argparse.Namespace) -> pd.DataFrame:
    from solartrack.sources import jsoc, swpc

    if arguments.harp:
        return jsoc.plan_patches(arguments.numbers, segments=arguments.segments.split(","))
    summaries = swpc.read_srs(arguments.srs)
    return jsoc.plan(
        summaries.regions, arguments.numbers or None, size=arguments.size, cadence=arguments.cadence
    )


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("srs", "events"), help="Solar Region Summaries, or event reports")
    _add_times(parser)
    parser.add_argument(
        "--by", choices=("day", "year"), default="day", help="texts of days, or tar files of years"
    )


def _reports(arguments: argparse.Namespace) -> pd.DataFrame:
    from solartrack.sources import swpc

    return swpc.plan(
        arguments.kind, arguments.start, arguments.end, by=arguments.by, base_url=arguments.base_url
    )


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "start", metavar="START", help="first day or time, UTC: 2013-02-01 or 2013-02-01T12:00"
    )
    parser.add_argument("end", metavar="END", help="last one")


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="keep the service's answers: goes on there if interrupted",
    )


def _given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """The options that were given, for functions whose defaults count otherwise."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def described(plan: pd.DataFrame, what: str) -> dict[str, Any]:
    """A plan in numbers."""
    if what == "events":
        return {"queries": len(plan), "cached": int(plan["cached"].sum())}
    files = plan.drop_duplicates(["source", "id"])
    known = files["bytes"].dropna()
    told: dict[str, Any] = {
        "files": len(files),
        "events": int(plan.loc[plan["event"] != "", "event"].nunique()),
        "bytes": int(known.sum()) if len(known) == len(files) else None,
    }
    if what == "magnetograms":
        records = files["records"].dropna() if "records" in files else []
        told["records"] = int(sum(records)) if len(records) == len(files) else None
    return told


def in_words(told: dict[str, Any], what: str) -> str:
    """The same for people."""
    if what == "events":
        return f"{told['queries']} queries, {told['cached']} of them answered by the cache"
    if what == "magnetograms":
        records = "an unknown number of" if told["records"] is None else told["records"]
        return (
            f"{told['files']} exports with {records} records; JSOC makes them one after the other, which "
            "takes minutes for each"
        )
    size = "size unknown" if told["bytes"] is None else f"{told['bytes'] / 1e6:.1f} MB"
    events = f" for {told['events']} events" if told["events"] else ""
    return f"{told['files']} files{events}, {size}"
