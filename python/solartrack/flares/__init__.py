"""Flare forecasts: regions, events, labels, models and honest scores.

============= ====================================================================
classes       flare classes as numbers
exchange      forecasts of the CCMC Flare Scoreboard, read and written
operational   tables of forecasts in percent, and what happened in their windows
scores        scores with intervals, curves, baselines, the report
============= ====================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.flares import classes, exchange, operational, scores
    from solartrack.flares.classes import flare_class, peak_flux
    from solartrack.flares.scores import choose_threshold, evaluate

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "choose_threshold": "scores",
    "classes": "",
    "evaluate": "scores",
    "exchange": "",
    "flare_class": "classes",
    "operational": "",
    "peak_flux": "classes",
    "scores": "",
}

__all__ = [
    "choose_threshold",
    "classes",
    "evaluate",
    "exchange",
    "flare_class",
    "operational",
    "peak_flux",
    "scores",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
