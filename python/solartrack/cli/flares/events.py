"""``solartrack flares events``: reports of flares as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, require_writable
from solartrack.cli._tables import SUFFIXES, write_table
from solartrack.cli.flares._sources import EVENT_SOURCES, events_of

_NOTES = """
examples:
  A year of NOAA's event reports:
    solartrack flares events 2014_events.tar.gz -o events.parquet
  The published list of that year, from the same reports:
    solartrack flares events 2014_events.tar.gz --convention published --event-list eventList_2014.txt

A line that is not as it should be costs the value that is wrong, or itself; --troubles lists all of them.
A table does not say on which days there were reports without an event: give 'solartrack flares label' the
reports themselves.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "events",
        help="reports of flares as a table",
        description="Read X-ray flares from NOAA's edited event reports, or from a list, and write them.",
        notes=_NOTES,
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help=EVENT_SOURCES)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a table: .csv or .parquet")
    parser.add_argument(
        "--event-list",
        type=Path,
        metavar="FILE",
        help="write a list as it was published: YYYY MM DD,HHMM,region,class",
    )
    parser.add_argument(
        "--troubles", type=Path, metavar="FILE", help="write the troubles as a table: .csv or .parquet"
    )
    parser.add_argument(
        "--convention",
        choices=("default", "published"),
        default="default",
        help="published: of reports, the events with a region only, all times on the day of the report "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--class-scale",
        choices=("operational", "science"),
        default="operational",
        help="classes as reported, or without the factor 0.7 of GOES 8 to 15 (default: %(default)s)",
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, write, and say what there was."""
    from solartrack import flares

    for path in filter(None, (arguments.output, arguments.troubles)):
        require_writable(path, SUFFIXES)
    events = events_of(arguments.sources, convention=arguments.convention, class_scale=arguments.class_scale)
    if arguments.output is not None:
        write_table(events.table, arguments.output)
    if arguments.event_list is not None:
        flares.write_event_list(events, arguments.event_list)
    if arguments.troubles is not None:
        write_table(events.troubles, arguments.troubles)
    told = {
        "events": len(events.table),
        "without_region": int(events.table["region"].isna().sum()),
        **days_told(events.days),
        "troubles": len(events.troubles),
    }
    words = f"{told['events']} events, {told['without_region']} of them without a region"
    say(arguments, told, f"{words}; {days_in_words(told)}; {told['troubles']} troubles")
    return OK


def days_told(days: Any) -> dict[str, Any]:
    """Days of reports in numbers."""
    import pandas as pd

    gaps = pd.date_range(days.min(), days.max()).difference(days) if len(days) else days
    return {
        "first_day": f"{days.min():%Y-%m-%d}" if len(days) else None,
        "last_day": f"{days.max():%Y-%m-%d}" if len(days) else None,
        "days": len(days),
        "days_without_report": [f"{day:%Y-%m-%d}" for day in gaps],
    }


def days_in_words(told: dict[str, Any]) -> str:
    """The same for people."""
    if not told["days"]:
        return "no days"
    gaps = told["days_without_report"]
    some = f" ({', '.join(gaps[:3])}{', ...' if len(gaps) > 3 else ''})" if gaps else ""
    return (
        f"{told['first_day']} to {told['last_day']}, {told['days']} days, {len(gaps)} without a report{some}"
    )
