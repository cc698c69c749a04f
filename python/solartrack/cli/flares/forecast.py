"""``solartrack flares forecast``: probabilities of flares from NOAA's texts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, require_writable
from solartrack.cli._tables import SUFFIXES, write_table
from solartrack.cli.flares._sources import add_events_option, events_of

if TYPE_CHECKING:
    import pandas as pd

    from solartrack.flares.text import TextModel

_NOTES = """
examples:
  From the summary of a day alone:
    solartrack flares forecast 20140107SRS.txt
  Better: with the summary of the day before and the reports of flares of the last four days
    solartrack flares forecast 20140106SRS.txt 20140107SRS.txt --events 2014010[3-6]events.txt
  A time within years of them, and the file for the CCMC Flare Scoreboard:
    solartrack flares forecast 2014_SRS.tar.gz --events 2014_events.tar.gz --time 2014-06-10 \\
        --scoreboard forecast.txt

The numbers are probabilities in percent of at least one flare of class C1.0, M1.0 or X1.0 and above that
peaks within 24 or 48 hours. Those of regions count flares that NOAA's lists attribute to the region; those
of the whole disk count all. Where each region was is given for 00:00 UTC of the summary's day.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "forecast",
        help="probabilities of flares from Solar Region Summaries",
        description="Forecast flares with the model that comes with the package, from the text that NOAA "
        "publishes every day.",
        notes=_NOTES,
    )
    parser.add_argument(
        "summaries",
        nargs="+",
        type=Path,
        metavar="SRS-FILE",
        help="Solar Region Summaries: files, folders, tar files",
    )
    add_events_option(parser, "flares of the last four days")
    parser.add_argument(
        "--time", metavar="TIME", help="begin of the windows, UTC (default: 00:00 of the last summary's day)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a model of your own (solartrack.flares.text_training)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the regions as a table: .csv or .parquet"
    )
    parser.add_argument(
        "--scoreboard",
        type=Path,
        metavar="FILE",
        help="write a file of the CCMC Flare Scoreboard: .txt, .xml",
    )
    parser.add_argument(
        "--hours", type=int, choices=(24, 48), default=24, help="window of that file (default: %(default)s)"
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Forecast, write and print."""
    from solartrack import flares
    from solartrack.flares import text

    if arguments.output is not None:
        require_writable(arguments.output, SUFFIXES)
    if arguments.scoreboard is not None:
        require_writable(arguments.scoreboard, (".txt", ".xml"))
    model = text.default_model() if arguments.model is None else text.load(arguments.model)
    events = None if arguments.events is None else events_of(arguments.events)
    regions = text.forecast(arguments.summaries, events, time=arguments.time, model=model)
    disk = text.full_disk(regions, model=model)
    if arguments.output is not None:
        write_table(regions, arguments.output)
    if arguments.scoreboard is not None:
        board = flares.scoreboard_forecast(regions, hours=arguments.hours, model=model)
        flares.exchange.write_scoreboard(arguments.scoreboard, board)
    say(arguments, _told(regions, disk, model), _in_words(regions, disk, model))
    return OK


def _told(regions: pd.DataFrame, disk: pd.DataFrame, model: TextModel) -> dict[str, Any]:
    rows, whole = (
        json.loads(table.to_json(orient="records", date_format="iso", double_precision=6))
        for table in (regions.drop(columns=["inputs"]), disk)
    )
    return {
        "summary": regions.attrs["summary"],
        "inputs": regions.attrs["inputs"],
        "model": {"version": model.card.get("version"), "sha256": model.sha256} | _known_of(regions, model),
        "regions": rows,
        "disk": whole[0] if whole else None,
    }


def _in_words(regions: pd.DataFrame, disk: pd.DataFrame, model: TextModel) -> str:
    from solartrack.flares.text import TARGETS
    from solartrack.sources._srs import place_name

    day, inputs = regions.attrs["summary"], regions.attrs["inputs"]
    source = f"from the summary of {day}{_ALSO[inputs]}"
    version = f"model {model.card.get('version', '')} ({model.sha256[:12]})"
    if not len(regions):
        return f"The summary of {day} has no region on the disk, and the forecast is one of regions."
    rows = [
        [str(one["region"]), place_name(one["lat"], one["lon"]), one["mcintosh"] or "plage", one["mag_class"]]
        + [_percent(one[name]) for name in TARGETS]
        for one in regions.to_dict("records")
    ]
    rows.append(["whole disk", "", "", "", *(_percent(disk[name].iloc[0]) for name in TARGETS)])
    heads = ["region", "place", "McIntosh", "magnetic", *(f">={name[0]}" for name in TARGETS)]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(
            field.ljust(width) if i < 4 else field.rjust(width)
            for i, (field, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [heads, *rows]
    ]
    left = sum(widths[:4]) + 8
    half = sum(widths[4:7]) + 4
    over = " " * left + "within 24 h".ljust(half + 2) + "within 48 h"
    begin = regions["time"].iloc[0]
    return "\n".join(
        [
            f"Flares from {begin:%Y-%m-%d %H:%M} UTC, probabilities in percent,",
            f"{source}; {version}",
            "",
            over,
            *lines,
            *_worth(regions, model),
        ]
    )


def _known_of(regions: pd.DataFrame, model: TextModel) -> dict[str, Any]:
    """First and last day of what the model was fitted to; TSS, BSS and AUC, each with a 95 % interval."""
    skill, period = _skill(regions, model), model.card.get("period")
    return ({"fitted_to": period} if period else {}) | ({"cross_validation": skill} if skill else {})


def _skill(regions: pd.DataFrame, model: TextModel) -> dict[str, Any]:
    """Scores of the model with the inputs of this forecast, if it knows them."""
    found = model.card.get("cross_validation", {})
    return dict(found.get(regions.attrs["inputs"], {})) if isinstance(found, dict) else {}


def _worth(regions: pd.DataFrame, model: TextModel) -> list[str]:
    """Sentences on what the forecast is worth."""
    skill, period = _skill(regions, model), model.card.get("period")
    said = [
        f"{name[0]} TSS {scores['tss'][0]:.2f}, BSS {scores['bss'][0]:.2f}"
        for name, scores in skill.items()
        if name.endswith("_24h")
    ]
    if not said or not period:
        return []
    begin, end = (str(day)[:4] for day in period)
    lines = [
        "",
        f"Scores on regions of {begin} to {end} left out of the fit, 24 h, with these inputs:",
        "; ".join(said),
    ]
    if str(period[0]) <= str(regions.attrs["summary"]) <= str(period[1]):
        lines.append("This day is in those years: the model may have been fitted to it.")
    return lines


#: What else than the summary a forecast was made from.
_ALSO = {
    "summary": " alone",
    "summary, evolution": " and that of the day before, without reports of flares",
    "summary, flares": " and reports of flares, without the summary of the day before",
    "summary, evolution, flares": ", that of the day before, and reports of flares",
}


def _percent(probability: float) -> str:
    if probability != probability:
        return "-"
    if 0 < probability < 0.005:
        return "<1"
    return ">99" if 0.995 <= probability < 1 else f"{100 * probability:.0f}"
