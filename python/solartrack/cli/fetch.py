"""``solartrack fetch``: download, or go on with a download."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._downloads import add_kinds, events_found, planned
from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import INCOMPLETE, INTERRUPTED, OK, add_command
from solartrack.cli._tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

_NOTES = """
examples:
  Coronal holes of a month, with their boxes as tracks, and images of them:
    solartrack fetch events 2013-02-01 2013-03-01 --type CH --method SPoCA -o holes/
    solartrack fetch images holes/boxes.csv -o store/
  The same command again goes on where it was interrupted. A plan, or a colleague's store without the network:
    solartrack fetch plan plan.parquet -o store/
    solartrack fetch plan plan.parquet -o store/ --offline /data/their-store

events makes in its folder: events.parquet (all), catalogue.csv (one row for each object, for
track-archive), boxes.csv (their true boxes), excluded.csv (the others, and why).
JSOC needs the e-mail address that is registered there: set SOLARTRACK_JSOC_EMAIL.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "fetch",
        help="download events, images, magnetograms or reports",
        description="Download into a folder, or go on with an earlier download.",
        notes=_NOTES,
    )
    add_kinds(parser, _further)
    (kinds,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    own = add_command(kinds, "plan", help="what a plan says", description="Download what a plan says.")
    own.add_argument("plan", type=Path, metavar="PLAN", help="as 'solartrack plan' writes it")
    _further(own)
    parser.set_defaults(run=run)


def _further(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="it is made")
    parser.add_argument(
        "--offline", type=Path, metavar="STORE", help="copy from this store instead of asking a server"
    )
    add_messages(parser)


def run(arguments: argparse.Namespace) -> int:
    """Download, and say what became of it."""
    try:
        if arguments.what == "events":
            return _events(arguments)
        return _files(arguments)
    except KeyboardInterrupt:
        LOG.warning("interrupted; the same command goes on from here")
        return INTERRUPTED


def _events(arguments: argparse.Namespace) -> int:
    from solartrack.sources import hek

    if arguments.offline is not None:
        raise ValueError("events have no store: give the --cache of the earlier search instead of --offline")
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = events_found(arguments)
    tracks = hek.tracks(found)
    write_table(found, arguments.output / "events.parquet")
    for name in ("catalogue", "boxes", "excluded"):
        write_table(getattr(tracks, name), arguments.output / f"{name}.csv")
    told = {
        "events": len(found),
        "objects": len(tracks.catalogue),
        "boxes": len(tracks.boxes),
        "excluded": len(tracks.excluded),
    }
    words = "{events} events: {objects} objects with {boxes} boxes, {excluded} events excluded"
    say(arguments, told, words.format(**told) + f"; see {arguments.output}")
    return OK


def _files(arguments: argparse.Namespace) -> int:
    from solartrack import sources

    if arguments.what == "magnetograms" and arguments.base_url:
        os.environ["SOLARTRACK_JSOC_URL"] = arguments.base_url  # exports are asked for later, row by row
    plan = _read_plan(arguments.plan) if arguments.what == "plan" else planned(arguments)
    store = sources.fetch(
        plan, arguments.output, offline=arguments.offline, progress=shows_progress(arguments)
    )
    states = store.manifest["state"].value_counts()
    told = {name: int(states.get(name, 0)) for name in ("done", "absent", "failed", "waiting", "planned")}
    size = int(store.manifest["size"].sum())
    words = ", ".join(f"{count} {name}" for name, count in told.items() if count)
    say(arguments, told | {"bytes": size}, f"{words}; {size / 1e6:.1f} MB in {arguments.output}")
    lost = store.manifest[store.manifest["state"] != "done"]
    if len(lost):
        first = lost.iloc[0]
        LOG.warning(
            f"{len(lost)} files are missing, see {arguments.output / 'manifest.parquet'}; the "
            f"first, {first['name']}: {first['reason']}"
        )
        return INCOMPLETE
    return OK


def _read_plan(path: Path) -> pd.DataFrame:
    """A plan of a file; in a CSV everything is text, and what is missing is empty."""
    import pandas as pd

    table = read_table(path)
    for name in ("source", "id", "url", "name", "check", "event", "request"):
        if name in table:
            table[name] = pd.Series(["" if pd.isna(v) else str(v) for v in table[name]], dtype="str")
    if "bytes" in table:
        table["bytes"] = [_size(value, number) for number, value in enumerate(table["bytes"])]
    return table


def _size(value: Any, number: int) -> int | None:
    """A size, which pandas may have written as 11.0."""
    import pandas as pd

    if pd.isna(value) or value == "":
        return None
    try:
        if float(value).is_integer():
            return int(float(value))
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"row {number + 1} of the plan: bytes must be a whole number or empty, got {value!r}")
