"""Flare forecasts: regions, events, labels, models and honest scores.

============= ====================================================================
classes       flare classes as numbers
labels        does a region flare within the next hours: yes, no, unknown
patches       names of magnetogram patches: the published scheme
published     files of the published scripts: features, weights, labels, splits, statistics
splits        training, validation and test, by region
============= ====================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.flares import classes, labels, patches, published, splits
    from solartrack.flares.classes import flare_class, peak_flux
    from solartrack.flares.labels import label, selection_report
    from solartrack.flares.patches import format_name, parse_names

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "classes": "",
    "flare_class": "classes",
    "format_name": "patches",
    "label": "labels",
    "labels": "",
    "parse_names": "patches",
    "patches": "",
    "peak_flux": "classes",
    "published": "",
    "selection_report": "labels",
    "splits": "",
}

__all__ = [
    "classes",
    "flare_class",
    "format_name",
    "label",
    "labels",
    "parse_names",
    "patches",
    "peak_flux",
    "published",
    "selection_report",
    "splits",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
