"""Flare forecasts: regions, events, labels, models and honest scores.

============= ====================================================================
classes       flare classes as numbers
dataset       which patches a data set has, and why not the others: manifest and layout
events        flares as they are reported: event reports, event lists, flare lists, compared
patches       names of magnetogram patches: the published scheme
regions       active regions: Solar Region Summaries and the list of regions, read and written
============= ====================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.flares import classes, dataset, events, patches, regions
    from solartrack.flares.classes import flare_class, peak_flux
    from solartrack.flares.dataset import lay_out, read_manifest, select, write_manifest
    from solartrack.flares.events import (
        Events,
        compare_events,
        read_event_list,
        read_events,
        read_flare_list,
        write_event_list,
    )
    from solartrack.flares.patches import format_name, parse_names
    from solartrack.flares.regions import read_ar_list, read_srs, write_ar_list, write_srs

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "Events": "events",
    "classes": "",
    "compare_events": "events",
    "dataset": "",
    "events": "",
    "flare_class": "classes",
    "format_name": "patches",
    "lay_out": "dataset",
    "parse_names": "patches",
    "patches": "",
    "peak_flux": "classes",
    "read_ar_list": "regions",
    "read_event_list": "events",
    "read_events": "events",
    "read_flare_list": "events",
    "read_manifest": "dataset",
    "read_srs": "regions",
    "regions": "",
    "select": "dataset",
    "write_ar_list": "regions",
    "write_event_list": "events",
    "write_manifest": "dataset",
    "write_srs": "regions",
}

__all__ = [
    "Events",
    "classes",
    "compare_events",
    "dataset",
    "events",
    "flare_class",
    "format_name",
    "lay_out",
    "parse_names",
    "patches",
    "peak_flux",
    "read_ar_list",
    "read_event_list",
    "read_events",
    "read_flare_list",
    "read_manifest",
    "read_srs",
    "regions",
    "select",
    "write_ar_list",
    "write_event_list",
    "write_manifest",
    "write_srs",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
