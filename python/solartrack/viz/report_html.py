"""The parts of an HTML report: text, tables, curves, pictures, the page around them.

Everything that comes from data passes `text`. The page needs nothing from elsewhere and has no script, and
its content security policy forbids both, should the escaping ever fail.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from solartrack._optional import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MAX_LINES",
    "Line",
    "chart",
    "charts",
    "details",
    "facts",
    "listed",
    "movie",
    "note",
    "page",
    "paragraph",
    "table",
    "text",
]

#: Lines in one chart: as many as there are colours that can be told apart.
MAX_LINES = 6
# Okabe and Ito's colours. What matplotlib writes as one of these becomes a variable of the page's style
# sheet, which has a set for dark pages, too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_INK, _FAINT = "#010203", "#040506"  # text and axes; the grid
_MAX_POINTS = 1500  # of a line: more than there are pixels across
_LONGEST = 300  # characters of a value


class Line(NamedTuple):
    """A curve: its name, times or numbers, and values; NaN leaves a gap."""

    name: str
    x: NDArray[Any]
    y: NDArray[np.float64]


def text(value: object, longest: int | None = _LONGEST) -> str:
    """A value as escaped text: numbers short, times to the minute, a dash for nothing."""
    import pandas as pd

    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    words = str(value)
    if longest is not None and len(words) > longest:
        words = f"{words[:longest]} …"
    return html.escape("".join(one if one.isprintable() else _visible(one) for one in words))


def _visible(one: str) -> str:
    """Line breaks as blanks; marks that reverse or hide text, and bytes that are none, as their numbers."""
    return " " if one.isspace() else f"\\u{ord(one):04x}"


def paragraph(words: object) -> str:
    """A paragraph."""
    return f"<p>{text(words, longest=None)}</p>"


def note(words: object) -> str:
    """What was left out, or went wrong."""
    return f'<p class="note">{text(words)}</p>'


def details(summary: str, content: str) -> str:
    """What is folded until it is asked for."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>" if content else ""


def facts(values: Mapping[str, object]) -> str:
    """Names and values, one below the other."""
    rows = "".join(f"<div><dt>{text(key)}</dt><dd>{text(value)}</dd></div>" for key, value in values.items())
    return f"<dl>{rows}</dl>" if rows else ""


def listed(items: Sequence[object], limit: int) -> str:
    """A list, of which only the beginning may be shown."""
    rows = "".join(f"<li>{text(one)}</li>" for one in items[:limit])
    more = note(f"{len(items) - limit} more are not shown.") if len(items) > limit else ""
    return f"<ul>{rows}</ul>{more}"


def table(frame: pd.DataFrame, label: str, *, limit: int, percent: Iterable[str] = ()) -> str:
    """A table whose column names are the heads.

    `limit` is the number of rows that are shown, with a note if there are more. The columns `percent` hold
    probabilities, drawn as bars, too.
    """
    bars = set(percent)
    numeric = {name for name in frame if frame[name].dtype.kind in "iuf"}
    heads = "".join(
        f"<th{' class=n' if name in numeric else ''} scope=col>{text(name)}</th>" for name in frame
    )
    rows = []
    for values in frame.head(limit).itertuples(index=False, name=None):
        cells = (
            _bar(value)
            if name in bars
            else f"<td{' class=n' if name in numeric else _wrapped(value)}>{text(value)}</td>"
            for name, value in zip(frame, values, strict=True)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    cut = note(f"The first {limit} of {len(frame)} rows are shown.") if len(frame) > limit else ""
    # Those who have no mouse must be able to scroll, too.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{cut}"
    )


def _wrapped(value: object) -> str:
    return " class=w" if isinstance(value, str) and len(value) > 28 else ""


def _bar(probability: float) -> str:
    if not 0 <= probability <= 1:
        return f'<td class="n">{text(probability)}</td>'
    per_cent = 100 * probability
    shown = "&lt;1" if 0 < per_cent < 0.5 else "&gt;99" if 99.5 <= per_cent < 100 else f"{per_cent:.0f}"
    return f'<td class="n bar" style="--p:{per_cent:.1f}%">{shown} %</td>'


def chart(
    title: str, lines: Sequence[Line], *, y: str, x: str, limits: tuple[float, float] | None = None
) -> str:
    """Curves, and their names if there are several; times are UTC."""
    names = ""
    if len(lines) > 1:
        keys = (f'<li style="--c:var(--c{i})">{text(line.name)}</li>' for i, line in enumerate(lines))
        names = f'<ul class="key">{"".join(keys)}</ul>'
    said = f"{title}: {y} over {x}"
    return (
        f"<figure><figcaption>{text(title)}</figcaption>"
        f'<div role="img" aria-label="{text(said)}">{_svg(lines, y, x, limits)}</div>{names}</figure>'
    )


def charts(drawn: Sequence[str], beside: str = "") -> str:
    """Charts side by side, as many as there is room for; the first two right of a movie."""
    if not beside:
        return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""
    return f'<div class="side">{beside}{charts(drawn[:2])}</div>{charts(drawn[2:])}'


def _svg(lines: Sequence[Line], y: str, x: str, limits: tuple[float, float] | None) -> str:
    matplotlib = require("matplotlib", extra="viz", purpose="a report")
    figures = require("matplotlib.figure", extra="viz", purpose="a report")
    dates = require("matplotlib.dates", extra="viz", purpose="a report")
    style = {
        "svg.fonttype": "none",  # letters stay text, in the font of the page
        "svg.hashsalt": "solartrack",
        "text.parse_math": False,
        "font.size": 10,
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _INK,
        "xtick.color": _INK, "ytick.color": _INK, "grid.color": _FAINT,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = figures.Figure(figsize=(4.8, 2.7))
        # Room for labels of five digits; a layout that measures them takes as long as the drawing.
        axes = figure.add_axes((0.15, 0.19, 0.82, 0.73))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5), useOffset=False)
        for line, colour in zip(lines, _COLOURS, strict=False):
            step = -(-len(line.y) // _MAX_POINTS)
            few = np.isfinite(line.y).sum() <= 60  # also shows a point between two gaps
            axes.plot(*_drawable(line.x[::step], line.y[::step]), color=colour, linewidth=1.6,
                      marker="o" if few else None, markersize=3)  # fmt: skip
        if lines and lines[0].x.dtype.kind == "M":
            locator = dates.AutoDateLocator(minticks=3, maxticks=7)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        elif lines and lines[0].x.dtype.kind in "iu":
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=x, ylabel=y)
        if limits is not None:
            axes.set_ylim(*limits)
        axes.grid(linewidth=0.6)
        out = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _styled(out.getvalue())


def _drawable(x: NDArray[Any], y: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The points without those at which matplotlib fails: near the largest double, in years 1 and 9999."""
    y = np.where(np.abs(y) < 1e100, y, np.nan)
    if x.dtype.kind == "M":
        known = (x > np.datetime64("1000-01-01")) & (x < np.datetime64("3000-01-01"))
        x = np.where(known, x, np.datetime64("NaT"))
    return x, y


def _styled(svg: str) -> str:
    """The drawing with the colours and the font of the page, as it can stand in it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r' height="[^"]*pt"', "", svg, count=1))
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    svg = svg.replace(_INK, "currentColor").replace(_FAINT, "var(--grid)")
    for i, colour in enumerate(_COLOURS):
        svg = svg.replace(colour, f"var(--c{i})")
    return svg


def movie(content: bytes, poster: Image.Image, caption: str) -> str:
    """An MP4 movie, and the picture that is shown before it is played."""
    still = io.BytesIO()
    poster.save(still, format="JPEG", quality=85)
    return (
        f'<figure class="movie"><video controls loop muted playsinline preload="metadata" '
        f'width="{poster.width}" height="{poster.height}" poster="{_uri("image/jpeg", still.getvalue())}" '
        f'src="{_uri("video/mp4", content)}"></video><figcaption>{text(caption)}</figcaption></figure>'
    )


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def page(title: str, lead: str, sections: Mapping[str, str], foot: str) -> str:
    """The whole page; the contents of the sections are HTML, all else is text."""
    ids = {heading: f"s{i}" for i, heading in enumerate(sections)}
    links = "".join(f'<a href="#{ids[heading]}">{text(heading)}</a>' for heading in sections)
    body = "".join(
        f'<section id="{ids[heading]}"><h2>{text(heading)}</h2>{content}</section>'
        for heading, content in sections.items()
    )
    nav = f"<nav>{links}</nav>" if len(sections) > 1 else ""
    style = (resources.files("solartrack.viz") / "report.css").read_text("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style>
{style}</style>
</head>
<body>
<header><h1>{text(title)}</h1>{paragraph(lead) if lead else ""}{nav}</header>
<main>{body}</main>
<footer>{paragraph(foot)}</footer>
</body>
</html>
"""
