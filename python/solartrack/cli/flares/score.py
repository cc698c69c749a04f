"""``solartrack flares score``: forecasts against what happened."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import LOG, add_messages, say
from solartrack.cli._options import OK, add_command
from solartrack.cli._tables import is_table, read_table, write_table
from solartrack.cli.flares._sources import add_events_option, events_of, groups_of, taken, with_samples

if TYPE_CHECKING:
    import pandas as pd

_NOTES = """
examples:
  Forecasts for the test regions; what counts as "yes" is chosen on those for the validation regions:
    solartrack flares score test.csv --validation validation.csv -o scores
  Both in one table, as 'solartrack flares predict' writes it, with other forecasts beside:
    solartrack flares score forecasts.csv --parts --baseline text=text_probability -o scores
  Beside the forecasts of another model for the same samples:
    solartrack flares score images.csv --parts --name network --baseline svm=forecasts.csv -o scores
  What came of a forecast, for flares of M1.0 and above:
    solartrack flares forecast 2014_SRS.tar.gz --events 2014_events.tar.gz --time 2014-01-07 -o day.csv
    solartrack flares label day.csv --events 2014_events.tar.gz --threshold M1.0 -o known.csv
    solartrack flares score known.csv --probability M_24h --threshold 0.3 -o scores
  Beside what anybody can forecast: persistence, rates by McIntosh class, the forecast from text
    solartrack flares score forecasts.csv --parts --events 2014_events.tar.gz --regions 2014_SRS.tar.gz \\
        -o scores

A forecast of climatology, the share of events, is always beside. Samples for which one of the forecasts has
no probability are left out of all, and counted. Intervals are those of a bootstrap that draws whole regions.

results in the output folder:
  report.txt   what is printed
  report.csv   a row for each score of each forecast
  report.json  all, with the reliability curve and the settings
  report.png   reliability diagram, ROC, TSS against the threshold, economic value
"""


# Columns of the forecasts that are made here; a table may have one of its own called persistence.
_KNOWN = "{} from --events"


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "score",
        help="score forecasts beside their baselines",
        description="Score forecasts of flares, beside baselines, with intervals and a figure.",
        notes=_NOTES,
    )
    parser.add_argument(
        "forecasts",
        type=Path,
        metavar="FORECASTS",
        help="table, .csv or .parquet: label (1, 0, empty where unknown) and probability",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--validation", type=Path, metavar="FILE", help="choose the thresholds on this table of forecasts"
    )
    which.add_argument(
        "--parts",
        action="store_true",
        help="score rows whose part is test, and choose the thresholds on those whose part is validation",
    )
    which.add_argument(
        "--threshold", type=float, metavar="P", help="probability from which on a flare is forecast"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        type=_named_column,
        metavar="NAME=COLUMN|NAME=FILE",
        help="another forecast: its name, and the column with its probability, or a table of its own with "
        "the same samples; may be repeated",
    )
    parser.add_argument(
        "--probability",
        default="probability",
        metavar="COLUMN",
        help="column with the probability of the forecast, such as M_24h of a table that 'solartrack flares "
        "forecast' wrote and 'solartrack flares label' labelled (default: %(default)s)",
    )
    add_events_option(parser, "score persistence, too, from these flares")
    parser.add_argument(
        "--regions",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="with --events: score forecasts by McIntosh class and from text, too, from these Solar Region "
        "Summaries: files, folders, tar files",
    )
    parser.add_argument(
        "--class",
        dest="flare_class",
        choices=("C1.0", "M1.0", "X1.0"),
        default="C1.0",
        help="with --events: the smallest class that the labels count (default: %(default)s)",
    )
    parser.add_argument(
        "--hours",
        type=int,
        choices=(24, 48),
        default=24,
        help="with --events: the window of the labels (default: %(default)s)",
    )
    parser.add_argument(
        "--base-rate",
        type=float,
        metavar="P",
        help="climatology: share of events in the training data (default: in what is scored)",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="also score the samples of each value of this column; lon: by distance from the central "
        "meridian; time: by phase of the cycle; hours_since_flare: first flares after a quiet day; may be "
        "repeated",
    )
    parser.add_argument(
        "--group",
        default="region",
        metavar="COLUMN",
        help="what the bootstrap draws; 'none' for no intervals (default: %(default)s)",
    )
    parser.add_argument("--name", default="forecast", help="what to call the forecast (default: %(default)s)")
    parser.add_argument(
        "--draws", type=int, default=1000, metavar="N", help="of the bootstrap (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for the report; it is made"
    )
    parser.add_argument("--no-figure", action="store_true", help="no report.png, which needs matplotlib")
    add_messages(parser)
    parser.set_defaults(run=run)


def _named_column(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"expected NAME=COLUMN or NAME=FILE, got {text!r}")
    return name, column


def run(arguments: argparse.Namespace) -> int:
    """Score, write and print."""
    from solartrack._files import replacing, write_bytes
    from solartrack.flares import scores

    if arguments.output.exists() and not arguments.output.is_dir():
        raise NotADirectoryError(f"-o {arguments.output} must be a folder, but this is a file")
    judged, choosing = _tables(arguments)
    both = [one for one in (judged, choosing) if one is not None]
    others = _add_others(arguments.baseline, both)
    forecasts = [(arguments.name, "probability"), *others]
    if arguments.regions and not arguments.events:
        raise ValueError("--regions needs --events, too: the forecast from text knows of past flares")
    if arguments.events:
        forecasts += _add_known(arguments, both)
    columns = dict(forecasts)
    if len(columns) < len(forecasts):
        raise ValueError(f"each forecast must have a name of its own, got {[name for name, _ in forecasts]}")
    for column in ("label", *columns.values(), *arguments.by):
        if column not in judged:
            raise ValueError(f"{arguments.forecasts} lacks the column {column!r}; it has {list(judged)}")
    for path, table in ((arguments.forecasts, judged), (arguments.validation or "validation", choosing)):
        _require_numbers(path, table, ("label", *columns.values()))
    judged = _with_all(judged, columns)
    threshold = arguments.threshold
    if choosing is not None:
        choosing = choosing.dropna(subset=list(columns.values()))
        threshold = {
            name: scores.choose_threshold(choosing["label"], choosing[column])
            for name, column in columns.items()
        }
    groups = None if arguments.group == "none" else arguments.group
    report = scores.evaluate(
        judged,
        threshold=threshold,
        groups=groups,
        baselines={name: judged[column] for name, column in columns.items() if name != arguments.name},
        base_rate=arguments.base_rate,
        by={column: _parts(judged, column) for column in arguments.by},
        name=arguments.name,
        n_boot=arguments.draws,
        seed=arguments.seed,
    )
    figure = None
    if not arguments.no_figure:
        from solartrack import viz

        figure = viz.plot_forecast(
            judged["label"],
            {name: judged[column] for name, column in columns.items()},
            threshold=report.scores[arguments.name].threshold,
            groups=None if groups is None else judged[groups],
            n_boot=arguments.draws,
            seed=arguments.seed,
        )
    home = arguments.output
    home.mkdir(parents=True, exist_ok=True)
    report.to_json(home / "report.json")
    write_bytes(home / "report.txt", f"{report}\n".encode())
    write_table(report.table, home / "report.csv")
    if figure is not None:
        with replacing(home / "report.png") as partial:
            figure.savefig(partial, format="png")
    say(arguments, json.loads((home / "report.json").read_text()), f"{report}\n\nwrote {home}")
    return OK


def _tables(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What is scored, and what thresholds are chosen on."""
    table = _forecasts(arguments.forecasts, arguments.probability)
    if arguments.validation is not None:
        other = _forecasts(arguments.validation, arguments.probability)
        _warn_of_shared([table, other], arguments.group)
        return table, other
    if not arguments.parts:
        return table, None
    if "part" not in table:
        raise ValueError(f"{arguments.forecasts} lacks the column 'part'; 'solartrack flares split' makes it")
    judged, choosing = (
        table[table["part"] == part].reset_index(drop=True) for part in ("test", "validation")
    )
    _warn_of_shared([rows for part, rows in table.groupby("part") if part != ""], arguments.group)
    if not len(judged) or not len(choosing):
        raise ValueError(f"{arguments.forecasts} must have rows of both parts, test and validation")
    return judged, choosing


def _forecasts(path: Path, column: str) -> pd.DataFrame:
    """A table of forecasts, whose column `column` is called probability from here on."""
    table = read_table(path, numbers=True)
    if column != "probability":
        if column not in table:
            raise ValueError(f"{path} lacks the column {column!r}; it has {list(table)}")
        table["probability"] = table[column]
    return table


def _add_others(given: Sequence[tuple[str, str]], tables: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """Other forecasts: their names, and columns, those included that are taken from their own tables."""
    found = []
    for name, source in given:
        path = Path(source)
        if source in tables[0] or not is_table(path):
            found.append((name, source))
            continue
        other = with_samples(read_table(path, numbers=True), source)
        _require_numbers(path, other, ("probability",))
        out = other.loc[~other["probability"].between(0, 1), "probability"].dropna()
        if len(out):
            raise ValueError(
                f"{path}: the column 'probability' must be from 0 to 1, got {out.iloc[0]:g}; divide "
                "percentages by 100"
            )
        column = f"{name} from {source}"
        for table in tables:
            rows = with_samples(table, "the table of forecasts")
            both = [one for one in ("probability", "label") if one in other]
            theirs = taken(rows, other, both, path)
            table[column] = theirs["probability"].to_numpy()
            if "label" in theirs and "label" in table:
                _warn_of_labels(table["label"], theirs["label"], path)
        found.append((name, column))
    return found


def _warn_of_labels(ours: pd.Series, theirs: pd.Series, path: Path) -> None:
    """Say how many labels are others in the table of another forecast, which may be of another question."""
    import pandas as pd

    numbers = [pd.to_numeric(one, errors="coerce").to_numpy() for one in (ours, theirs)]
    known = ~pd.isna(numbers[0]) & ~pd.isna(numbers[1])
    if others := int((numbers[0][known] != numbers[1][known]).sum()):
        LOG.warning(
            f"{path} has other labels for {others} of {int(known.sum())} samples: is it a "
            "forecast of the same class and hours? Those of the table of forecasts count"
        )


def _add_known(arguments: argparse.Namespace, tables: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """Forecasts that anybody can make: their names, and columns that the table did not have before."""
    from solartrack.flares import read_srs, scores

    events = events_of(arguments.events)
    regions = read_srs(arguments.regions).regions if arguments.regions else None
    names: list[str] = []
    for table in tables:
        known = scores.known_forecasts(
            table, events, regions, threshold=arguments.flare_class, hours=arguments.hours
        )
        names = list(known)
        for name in names:
            table[_KNOWN.format(name)] = known[name]
    return [(name, _KNOWN.format(name)) for name in names]


def _require_numbers(path: Path | str, table: pd.DataFrame | None, columns: Sequence[str]) -> None:
    from pandas.api.types import is_numeric_dtype

    if table is None:
        return
    for column in columns:
        if column not in table:
            raise ValueError(f"{path} lacks the column {column!r}; it has {list(table)}")
        given = table[column].dropna()
        if len(given) and not is_numeric_dtype(given):
            raise ValueError(f"{path}: the column {column!r} must be numbers, got {given.iloc[0]!r}")


def _warn_of_shared(parts: Sequence[pd.DataFrame], column: str) -> None:
    """Say how many regions are on more than one side: they make a forecast look better than it is."""
    import pandas as pd

    column = "region" if column == "none" else column
    if parts and all(column in part for part in parts):
        sides = pd.concat([groups_of(part, column).drop_duplicates() for part in parts]).dropna()
        if shared := int((sides.value_counts() > 1).sum()):
            what = "regions" if column == "region" else f"values of {column}"
            LOG.warning(
                f"{shared} {what} are on more than one side of the split, so the scores are not "
                "those of new ones; 'solartrack flares split' keeps sides apart"
            )


def _with_all(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows with a probability of all forecasts, by name and column; how many lack one is said."""
    lacking = table[list(columns.values())].isna().set_axis(list(columns), axis=1)
    if lacking.any(axis=None):
        of_each = ", ".join(f"{name} {count}" for name, count in lacking.sum().items() if count)
        LOG.warning(
            f"{lacking.any(axis=1).sum()} of {len(table)} samples are left out: there is no "
            f"probability for them ({of_each})"
        )
    return table[~lacking.any(axis=1)].reset_index(drop=True)


def _parts(table: pd.DataFrame, column: str) -> Any:
    """What the samples are parted by: ranges of what is continuous, else the values."""
    import numpy as np
    import pandas as pd

    from solartrack.flares import scores

    values = table[column]
    if column == "lon":
        names = ["up to 30 deg", "30 to 60 deg", "60 to 90 deg", "beyond 90 deg"]
        return pd.cut(values.abs(), [0, 30, 60, 90, 180], labels=names, include_lowest=True)
    if column == "time":
        return scores.cycle_phase(values)
    if column == "hours_since_flare":
        return np.where(values < 24, "a flare", "quiet")
    return values
