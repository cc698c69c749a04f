"""Reports: tracks, features and forecasts as one HTML file that needs nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack._files import shown, write_bytes
from solartrack._optional import require

if TYPE_CHECKING:
    import pandas as pd

    from solartrack.viz.report_html import Line
    from solartrack.viz.report_tables import Content

__all__ = ["Result", "report"]

_BOX = ["x0", "y0", "x1", "y1"]

# A report must stay small enough to be sent and to be opened on a phone. What is left out is said.
_MAX_TRACKS, _MAX_ROWS, _MAX_ERRORS = 200, 100, 20
_MOVIE_SIDE, _MOVIE_FRAMES = 720, 120

#: Features whose curves are drawn, of each set, and what they are; all of them are in the table.
_DRAWN = {
    "flux_unsigned": "Unsigned flux",
    "gradient_max": "Largest gradient",
    "gradient_mean": "Mean gradient",
    "nl_length": "Length of the neutral lines",
    "nl_strong_length": "Length of the neutral lines of strong gradient",
    "r_value": "R, the flux near strong-field neutral lines (logarithm)",
    "wlsg": "WLsg, gradient-weighted length of the strong-field neutral lines",
    "flux_positive": "Positive flux",
    "flux_negative": "Negative flux",
    "USFLUX": "Total unsigned flux",
    "TOTUSJZ": "Total unsigned vertical current",
    "TOTUSJH": "Total unsigned current helicity",
    "TOTPOT": "Total free energy density",
    "SAVNCPP": "Modulus of the net current of each polarity, summed",
    "R_VALUE": "R, the flux near strong-field neutral lines (logarithm)",
    "MEANGBZ": "Mean gradient of the vertical field",
    "SHRGT45": "Area with a shear angle above 45 degrees",
}
_MAX_CHARTS = 6


@dataclass(frozen=True, eq=False)
class Result:
    """A table for `report`, with what belongs to it.

    Attributes
    ----------
    table : DataFrame or path
        See `report`.
    truth : DataFrame or path, optional
        True boxes of a track, by frame.
    images : path or iterable of paths, optional
        Images of the tracks, for a movie.
    text : str
        A sentence or two above it; plain text.
    errors : DataFrame, optional
        What could not be done: ``reason``, and ``event`` and ``file`` where they are known. Default: the
        errors of the run, if `table` is its folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from solartrack import viz
    >>> track = pd.DataFrame({"frame": [0, 1], "x0": [0, 2], "y0": 0, "x1": [10, 12], "y1": 10})
    >>> viz.report("report.html", {"NOAA 12670": viz.Result(track, truth=track, text="A perfect track.")})
    >>> "A perfect track." in Path("report.html").read_text(encoding="utf-8")
    True
    """

    table: pd.DataFrame | str | os.PathLike[str]
    truth: pd.DataFrame | str | os.PathLike[str] | None = None
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None
    text: str = ""
    errors: pd.DataFrame | None = None


def report(
    path: str | os.PathLike[str],
    results: Mapping[str, Any],
    *,
    truth: pd.DataFrame | str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    title: str = "solartrack report",
    text: str = "",
    facts: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Write tables of tracks, features and forecasts as one HTML file with curves and movies.

    The file needs no network, has no script and adapts itself to phones and to dark screens. Whatever
    stands in the tables is shown as text.

    Parameters
    ----------
    path : path
        Ends in ``.html`` or ``.htm``; replaced, once the report is complete.
    results : mapping of str to Result, DataFrame or path
        A section each, by its heading. A path is a table (CSV, Parquet; tracks also ``.txt`` and ``.ann``) or
        the folder of a run (`solartrack.archive.track_archive`, `solartrack.features.extract`,
        `solartrack.archive.forecast_archive`). What a table is, its columns tell:

        - tracks: ``frame``, ``x0``, ``y0``, ``x1``, ``y1``, and what else `solartrack.track` has; ``id`` or
          ``event`` if there are several;
        - features: columns of the 29 complexity features, the physical ones or the SHARP keywords;
        - forecasts: ``probability``, or the columns of `solartrack.flares.forecast`.

        Features and forecasts are drawn over ``time``, by ``region``; both come from ``file`` if the table
        has no such columns. Without times they are drawn over the row number.
    truth : DataFrame or path, optional
        True boxes, by frame, of all tracks whose `Result` has none of its own.
    images : path or iterable of paths, optional
        Images of all tracks whose `Result` has none of its own, for movies.
    title, text : str
        Above all sections.
    facts : mapping of str to mapping, optional
        More sections, at the end: names and values, such as timings.

    Raises
    ------
    ValueError
        If there are no results, a table cannot be read, has no rows or is of no known kind, a column that
        should hold numbers does not, a probability is outside 0 to 1, `truth` or `images` are given and
        there is no track, `truth` shares no frame with a track or its table has several tracks, or none of
        the images of a track is there.
    FileNotFoundError
        If a file or the folder of `path` is not there.
    ImportError
        If matplotlib is missing, or with `images` what writes movies (the extra ``viz``). These errors
        come before anything is written.

    Notes
    -----
    To stay small, a report draws the 6 longest tracks or regions of a table, lists 200 tracks, 100 rows
    and 20 errors, and has a movie of the longest track with at most 120 images. Each limit that is reached is
    stated where it applies; the counts in words are of the whole table.

    Examples
    --------
    >>> viz.report("report.html", {"NOAA 12670": viz.Result("track.csv", images="aia171/")})  # doctest: +SKIP
    """
    require("matplotlib", extra="viz", purpose="a report")
    if not isinstance(results, Mapping):
        raise TypeError(f"results must map headings to tables, got {type(results).__name__}")
    if not results:
        raise ValueError("results must have at least one table, got none")
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report must end in .html, got {shown(target.name)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {shown(target.parent)} of the report does not exist; make it first"
        )
    from solartrack.viz import report_html

    read = {str(heading): _read(str(heading), one, truth, images) for heading, one in results.items()}
    for name, given in (("truth", truth), ("images", images)):
        if given is not None and not any(content.kind == "tracks" for content, _ in read.values()):
            raise ValueError(f"{name} is for tracks, and none of the tables is one of tracks")
    sections = {heading: _section(heading, *one) for heading, one in read.items()}
    for heading, values in (facts or {}).items():
        sections[heading] = report_html.facts(values)
    from solartrack import __version__

    made = f"Made by solartrack {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Times are UTC."
    page = report_html.page(title, text, sections, made)
    write_bytes(target, page.encode("utf-8"))


def _read(heading: str, result: Any, truth: Any, images: Any) -> tuple[Content, Result]:
    """The table of a result, and the rest of it with all tables read."""
    from solartrack import tracking
    from solartrack.viz import report_tables

    if not isinstance(result, Result):
        result = Result(result)
    table, errors = result.table, result.errors
    if isinstance(table, str | os.PathLike):
        table, of_run = report_tables.read(Path(table))
        errors = of_run if errors is None else errors
    content = report_tables.content_of(table, heading)
    if content.kind == "tracks":
        truth = truth if result.truth is None else result.truth
        images = images if result.images is None else result.images
    else:
        truth, images = result.truth, result.images
        if truth is not None or images is not None:
            raise ValueError(f"{heading} is a table of {content.kind}; truth and images are for tracks")
    if isinstance(truth, str | os.PathLike):
        truth = tracking.read_track(truth)
    n_tracks = content.table["track"].nunique() if truth is not None else 1
    if n_tracks > 1:
        raise ValueError(
            f"{heading} has {n_tracks} tracks, and a truth is of one; score them with "
            "solartrack.metrics.score_many"
        )
    if images is not None:
        for module in ("imageio", "imageio_ffmpeg"):
            require(module, extra="viz", purpose="the movie of a report")
    return content, Result(content.table, truth, images, result.text, errors)


def _section(heading: str, content: Content, result: Result) -> str:
    from solartrack.viz import report_html as page

    shown_as = {"tracks": _tracks, "features": _features, "forecasts": _forecasts}
    lead = page.paragraph(result.text) if result.text else ""
    return lead + shown_as[content.kind](heading, content, result) + _errors(result.errors)


# -- tracks ------------------------------------------------------------------------


def _tracks(heading: str, content: Content, result: Result) -> str:
    from solartrack.viz import report_html as page

    table = content.table
    groups = {str(name): rows for name, rows in table.groupby("track", sort=False)}
    longest = _longest(groups)
    parts = [page.paragraph(_count(table, len(groups)))]
    scored = None if result.truth is None else _scored(heading, table, result.truth)
    movie = ""
    if result.images is not None:
        name = next(iter(longest))
        movie = _movie(heading, name if len(groups) > 1 else "", longest[name], result)
    iou = [] if scored is None else [_iou(scored, table)]
    parts.append(page.charts(iou + _track_charts(longest), movie))
    if len(groups) > len(longest):
        parts.append(page.note(f"The {len(longest)} longest of {len(groups)} tracks are drawn."))
    if scored is not None:
        parts.append(page.facts(_scores(scored)))
    if len(groups) > 1:
        parts.append(page.table(_summary(groups), f"{heading}: tracks", limit=_MAX_TRACKS))
    else:
        shown_rows = page.table(_rows(table, scored), f"{heading}: rows", limit=_MAX_ROWS)
        parts.append(page.details(f"Table: {_n(len(table), 'image')}", shown_rows))
    parts.append(page.details("Messages", _messages(table)))
    parts.append(_settings(table))
    return "".join(parts)


def _n(number: int, thing: str, things: str = "") -> str:
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def _longest(groups: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The groups with most rows, in their order, as many as can be told apart in a chart."""
    from solartrack.viz.report_html import MAX_LINES

    order = sorted(groups, key=lambda name: -len(groups[name]))[:MAX_LINES]
    return {name: groups[name] for name in order}


def _count(table: pd.DataFrame, n_tracks: int) -> str:
    states = table["state"].replace("", "without a state").value_counts()
    what = f"{n_tracks} tracks, {len(table)} rows" if n_tracks > 1 else _n(len(table), "image")
    known = table["time"].dropna()
    when = f" from {known.min():%Y-%m-%d %H:%M} to {known.max():%Y-%m-%d %H:%M} UTC" if len(known) else ""
    by = ", ".join(sorted({one for one in table["tracker"] if one}))
    counted = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in states.items())
    return f"{what}{when}: {counted}.{f' Tracker: {by}.' if by else ''}"


def _scored(heading: str, table: pd.DataFrame, truth: pd.DataFrame) -> Any:
    from solartrack import metrics

    try:
        return metrics.score_track(truth, table)
    except ValueError as error:
        raise ValueError(f"{heading} cannot be scored: {error}") from error


def _iou(scored: Any, table: pd.DataFrame) -> str:
    from solartrack.viz.report_html import Line, chart

    rows = table.set_index("frame").reindex(scored.frames)
    x, label = _axis(rows, by_time=bool(rows["time"].notna().all()))
    line = Line("IoU", x, scored.iou)
    return chart("Agreement with the truth", [line], y="IoU", x=label, limits=(0.0, 1.02))


def _scores(scored: Any) -> dict[str, object]:
    names = {
        "mean_iou": "mean IoU",
        "success@0.5": "share of images with IoU of 0.5 or more",
        "success_auc": "area under the success curve",
        "normalized_precision": "normalised precision",
        "failures": "failures (IoU below 0.1)",
    }
    values = scored.as_dict()
    said: dict[str, object] = {names[key]: values[key] for key in names}
    said[names["success@0.5"]] = f"{values['success@0.5']:.0%}"
    return said | {"scored images": len(scored.iou)}


def _track_charts(longest: Mapping[str, pd.DataFrame]) -> list[str]:
    from solartrack.viz.report_html import Line, chart

    quantities = [
        ("lon", "Longitude from the central meridian", "degrees west"),
        ("lat", "Latitude", "degrees north"),
        ("middle", "Middle of the box", "pixels from the left edge"),
        ("score", "Confidence of the tracker", "score"),
    ]
    placed = {name: rows.assign(middle=(rows["x0"] + rows["x1"]) / 2) for name, rows in longest.items()}
    drawn = []
    for column, title, unit in quantities:
        if column == "middle" and any(rows["lon"].notna().any() for rows in placed.values()):
            continue
        if not any(rows[column].notna().any() for rows in placed.values()):
            continue
        lines, label = [], ""
        by_time = all(rows["time"].notna().any() for rows in placed.values())
        for name, rows in placed.items():
            x, label = _axis(rows, by_time)
            lines.append(Line(name, x, rows[column].to_numpy(np.float64)))
        limits = {"score": (0.0, 1.02), "lat": _latitudes(lines)}.get(column)
        drawn.append(chart(title, lines, y=unit, x=label, limits=limits))
    return drawn


def _latitudes(lines: Iterable[Line]) -> tuple[float, float]:
    """Limits of an axis of latitudes: at least 6 degrees, or a box that breathes a little seems to jump."""
    values = np.concatenate([line.y for line in lines])
    values = values[np.abs(values) <= 90]
    if not values.size:
        return -90.0, 90.0
    low, high = values.min(), values.max()
    half = max(3.0, 0.55 * (high - low))
    return float((low + high) / 2 - half), float((low + high) / 2 + half)


def _axis(rows: pd.DataFrame, by_time: bool = True) -> tuple[Any, str]:
    """What curves are drawn over: times where there are some, else frame numbers."""
    if by_time and rows["time"].notna().any():
        return rows["time"].to_numpy("datetime64[us]"), "time (UTC)"
    return np.asarray(rows.get("frame", rows.index)), "frame number"


def _summary(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each track."""
    import pandas as pd

    rows = []
    for name, track in groups.items():
        boxed = track[track["x0"].notna()]
        first, last = (boxed.iloc[0], boxed.iloc[-1]) if len(boxed) else (None, None)
        rows.append(
            {
                "track": name,
                "rows": len(track),
                "with a box": len(boxed),
                "from": None if first is None else first["time"],
                "to": None if last is None else last["time"],
                "longitude": np.nan if first is None else first["lon"],
                "to longitude": np.nan if last is None else last["lon"],
                "latitude": np.nan if first is None else first["lat"],
                "mean score": boxed["score"].mean(),
                "ends": track["state"].iloc[-1].replace("_", " "),
            }
        )
    return pd.DataFrame(rows)


def _rows(table: pd.DataFrame, scored: Any) -> pd.DataFrame:
    """What is shown of each image."""
    rows = table[["frame", "time", "state", "lon", "lat", *_BOX, "score"]].copy()
    rows["state"] = rows["state"].str.replace("_", " ")
    if scored is not None:
        rows["IoU"] = rows["frame"].map(dict(zip(scored.frames, scored.iou, strict=True)))
    rows["image"] = table["file"].map(lambda file: file.replace("\\", "/").rpartition("/")[2])
    return rows.drop(columns=[name for name in rows if rows[name].isna().all() or (rows[name] == "").all()])


def _messages(table: pd.DataFrame) -> str:
    """What the rows say, each message once."""
    from solartrack.viz.report_html import listed

    counts = table.loc[table["message"] != "", "message"].value_counts(sort=False)
    said = [text if n == 1 else f"{text} ({n} times)" for text, n in counts.items()]
    return listed(said, _MAX_ERRORS) if said else ""


def _settings(table: pd.DataFrame) -> str:
    """The settings of the tracker."""
    from solartrack.viz.report_html import details, facts, note

    values = table.attrs.get("settings")
    if not values:
        return ""
    if not isinstance(values, dict):
        return details("Settings", note("The settings cannot be read."))
    flat: dict[str, object] = {}
    for key, one in values.items():
        inner = (
            {f"{key}: {name}": value for name, value in one.items()} if isinstance(one, dict) else {key: one}
        )
        flat |= {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in inner.items()}
    return details("Settings", facts(flat))


def _movie(heading: str, name: str, track: pd.DataFrame, result: Result) -> str:
    """A movie of one track; a sentence says which, and which images are in it."""
    from solartrack.viz.movies import movie
    from solartrack.viz.report_html import movie as embedded
    from solartrack.viz.report_html import note
    from solartrack.viz.tracks import draw_track

    assert result.images is not None
    step = -(-len(track) // _MOVIE_FRAMES)
    left_out: list[str] = []
    pictures = draw_track(
        result.images, track.iloc[::step], result.truth, size=_MOVIE_SIDE,
        on_problem=lambda frame, reason: left_out.append(reason),
    )  # fmt: skip
    poster = None
    n_shown = -(-len(track) // step)

    def kept() -> Iterable[Any]:
        nonlocal poster
        for i, picture in enumerate(pictures):
            poster = picture if i <= n_shown // 2 else poster
            yield picture

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "movie.mp4"
        try:
            movie(file, kept(), fps=float(np.clip(n_shown / 6, 2, 12)))
        except ValueError as error:
            if poster is not None:
                raise
            why = f": {left_out[0]}" if left_out else ""
            raise ValueError(f"{heading}: none of the images of the track is there{why}") from error
        content = file.read_bytes()
    assert poster is not None
    who = f"Track {name}, the longest: " if name else "Movie: "
    boxes = "red is the tracked box" + (", white the true one" if result.truth is not None else "")
    thinned = f"; one image in {step}" if step > 1 else ""
    missing = note(f"{_n(len(left_out), 'image')} missing: {left_out[0]}") if left_out else ""
    return embedded(content, poster, f"{who}{boxes}{thinned}.") + missing


# -- features and forecasts --------------------------------------------------------


def _features(heading: str, content: Content, result: Result) -> str:
    from solartrack.features import COMPLEXITY_NAMES, PHYSICAL_UNITS, SHARP_UNITS
    from solartrack.viz import report_html as page

    table, names = content.table, content.names
    units: dict[str, str] = {}
    if names[0] in SHARP_UNITS or not set(names) <= set(COMPLEXITY_NAMES):
        units = {name: str(unit) for name, unit in {**PHYSICAL_UNITS, **SHARP_UNITS}.items()}
    drawn = [name for name in _DRAWN if name in names and table[name].notna().any()]
    curves = []
    regions, cut = _by_region(table)
    for name in drawn[:_MAX_CHARTS]:
        lines, label = _lines(regions, name)
        curves.append(
            page.chart(f"{_DRAWN[name]} ({name})", lines, y=_axis_unit(units.get(name, "")), x=label)
        )
    values = table[list(names)]
    finite = values.where(np.isfinite(values))
    import pandas as pd

    summary = pd.DataFrame(
        {
            "feature": list(names),
            "median": finite.median().to_numpy(),
            "least": finite.min().to_numpy(),
            "largest": finite.max().to_numpy(),
            "unit": [units.get(name, "") for name in names],
            "missing": (len(table) - finite.count()).to_numpy(),
        }
    )
    if not units:
        summary = summary.drop(columns="unit")
    text = f"{_n(len(table), 'patch', 'patches')}{_when(table)}{_of_regions(table)}."
    if curves:
        text += f" {len(curves)} of the {len(names)} features are drawn."
    folded = page.details(
        f"Table: {_n(len(names), 'feature')}", page.table(summary, f"{heading}: features", limit=_MAX_ROWS)
    )
    return page.paragraph(text) + page.charts(curves) + cut + folded


def _axis_unit(unit: str) -> str:
    """A unit as a reader writes it, Mx or G/Mm."""
    return unit.replace(" / ", "/").replace("2", "²").replace("3", "³")


def _forecasts(heading: str, content: Content, result: Result) -> str:
    from solartrack.viz import report_html as page

    table, names = content.table, content.names
    missing = int(table[list(names)].isna().all(axis=1).sum())
    text = f"{_n(len(table), 'forecast')}{_when(table)}{_of_regions(table)}."
    if missing:
        text += f" {_n(missing, 'row')} without a probability."
    curves = []
    regions, cut = _by_region(table)
    if any(len(rows) > 1 for rows in regions.values()):
        for name in names[:_MAX_CHARTS]:
            lines, label = _lines(regions, name)
            curves.append(page.chart(_meant(name), lines, y="probability", x=label, limits=(0.0, 1.02)))
    else:
        cut = ""
    lead = ["region", *(["time"] if table["time"].nunique() > 1 else [])]
    if not (table["region"] != "").any():
        lead[0] = next((name for name in ("file", "name") if name in table), "region")
    others = ("flare", "label", "lat", "lon", "mcintosh", "mag_class", "area", "model", "inputs")
    order = table.sort_values(names[0], ascending=False, kind="stable") if len(table) > _MAX_ROWS else table
    renamed = {name: _meant(name) for name in names} | {"mcintosh": "McIntosh", "mag_class": "magnetic class"}
    rows = order[[one for one in (*lead, *names, *others) if one in names or _says(table, one)]].rename(
        columns=renamed
    )
    said = page.note("The most probable rows come first.") if len(table) > _MAX_ROWS else ""
    return (
        page.paragraph(text) + page.charts(curves) + cut + said
        + page.table(rows, f"{heading}: forecasts", limit=_MAX_ROWS, percent=[_meant(name) for name in names])
    )  # fmt: skip


def _says(table: pd.DataFrame, name: str) -> bool:
    """Whether a column is there and not empty."""
    return name in table and bool((table[name].notna() & (table[name] != "")).any())


def _meant(name: str) -> str:
    """A column of probabilities in words."""
    from solartrack.flares.text import TARGETS

    if name not in TARGETS:
        return name
    threshold, hours = TARGETS[name]
    return f"≥{threshold}, {hours} h"


def _when(table: pd.DataFrame) -> str:
    known = table["time"].dropna()
    if not len(known):
        return ""
    first, last = known.min(), known.max()
    if first == last:
        return f" of {first:%Y-%m-%d %H:%M} UTC"
    return f" from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _of_regions(table: pd.DataFrame) -> str:
    n = table.loc[table["region"] != "", "region"].nunique()
    return f" of {_n(n, 'region')}" if n else ""


def _by_region(table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], str]:
    """The rows of the regions that are drawn, and what was left out, as HTML."""
    from solartrack.viz.report_html import note

    groups = {str(name): rows for name, rows in table.groupby("region", sort=False)}
    longest = _longest(groups)
    cut = (
        note(f"The {len(longest)} of {len(groups)} regions with most rows are drawn.")
        if len(groups) > len(longest)
        else ""
    )
    return longest, cut


def _lines(regions: Mapping[str, pd.DataFrame], name: str) -> tuple[list[Line], str]:
    """Curves over time, or over the row where not all rows have one."""
    from solartrack.viz.report_html import Line

    by_time = all(rows["time"].notna().all() for rows in regions.values())
    lines = []
    for region, rows in regions.items():
        if by_time:
            rows = rows.sort_values("time", kind="stable")
        x = rows["time"].to_numpy("datetime64[us]") if by_time else np.asarray(rows.index)
        lines.append(Line(region or "without a region", x, rows[name].to_numpy(np.float64)))
    return lines, "time (UTC)" if by_time else "row"


def _errors(errors: pd.DataFrame | None) -> str:
    """What a run could not do."""
    from solartrack.viz.report_html import details, table

    if errors is None or not len(errors):
        return ""
    shown_errors = errors[[name for name in ("event", "file", "reason") if name in errors]]
    return details(_n(len(errors), "error"), table(shown_errors, "errors", limit=_MAX_ERRORS))
