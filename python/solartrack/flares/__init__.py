"""Flare forecasts: regions, events, labels, models and honest scores.

============= ====================================================================
classes       flare classes as numbers
events        flares as they are reported: event reports, event lists, flare lists, compared
labels        does a region flare within the next hours: yes, no, unknown
patches       names of magnetogram patches: the published scheme
published     files of the published scripts: features, weights, labels, splits, statistics
regions       active regions: Solar Region Summaries and the list of regions, read and written
splits        training, validation and test, by region
============= ====================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.flares import classes, events, labels, patches, published, regions, splits
    from solartrack.flares.classes import flare_class, peak_flux
    from solartrack.flares.events import (
        Events,
        compare_events,
        read_event_list,
        read_events,
        read_flare_list,
        write_event_list,
    )
    from solartrack.flares.labels import label, selection_report
    from solartrack.flares.patches import format_name, parse_names
    from solartrack.flares.regions import read_ar_list, read_srs, write_ar_list, write_srs

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "Events": "events",
    "classes": "",
    "compare_events": "events",
    "events": "",
    "flare_class": "classes",
    "format_name": "patches",
    "label": "labels",
    "labels": "",
    "parse_names": "patches",
    "patches": "",
    "peak_flux": "classes",
    "published": "",
    "read_ar_list": "regions",
    "read_event_list": "events",
    "read_events": "events",
    "read_flare_list": "events",
    "read_srs": "regions",
    "regions": "",
    "selection_report": "labels",
    "splits": "",
    "write_ar_list": "regions",
    "write_event_list": "events",
    "write_srs": "regions",
}

__all__ = [
    "Events",
    "classes",
    "compare_events",
    "events",
    "flare_class",
    "format_name",
    "label",
    "labels",
    "parse_names",
    "patches",
    "peak_flux",
    "published",
    "read_ar_list",
    "read_event_list",
    "read_events",
    "read_flare_list",
    "read_srs",
    "regions",
    "selection_report",
    "splits",
    "write_ar_list",
    "write_event_list",
    "write_srs",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
