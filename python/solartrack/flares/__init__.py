"""Flare forecasts: regions, events, labels, models and honest scores.

============ ====================================================================
classes      flare classes as numbers
regions      active regions: Solar Region Summaries and the list of regions, read and written
events       flares as they are reported: event reports, event lists, flare lists, compared
patches      names of magnetogram patches: the published scheme
dataset      which patches a data set has, and why not the others: manifest and layout
labels       does a region flare within the next hours: yes, no, unknown
splits       training, validation and test, by region
published    files of the published scripts: features, weights, labels, splits, statistics
mcintosh     flare rates by McIntosh class: the baseline that every forecaster knows
text         the default model: probabilities from NOAA's texts
feature_sets sets of features by name: complexity, physical, SHARP keywords, texts
svm          support vector machines on these sets: train, tune, judge, forecast, store
vgg          networks on magnetogram patches: train, judge, forecast
keywords     tables of SHARP and SMARP keywords, and models trained on them
scores       scores with intervals, curves, baselines, the report
exchange     forecasts of the CCMC Flare Scoreboard, read and written
operational  tables of forecasts in percent, and what happened in their windows
============ ====================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.flares import (
        classes,
        dataset,
        events,
        exchange,
        feature_sets,
        keywords,
        labels,
        mcintosh,
        operational,
        patches,
        published,
        regions,
        scores,
        splits,
        svm,
        text,
        vgg,
    )
    from solartrack.flares._scoreboard import scoreboard_forecast
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
    from solartrack.flares.labels import label, selection_report
    from solartrack.flares.patches import format_name, parse_names
    from solartrack.flares.regions import read_ar_list, read_region_table, read_srs, write_ar_list, write_srs
    from solartrack.flares.scores import choose_threshold, evaluate
    from solartrack.flares.svm import SvmModel
    from solartrack.flares.text import forecast
    from solartrack.flares.vgg import ImageModel

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "Events": "events",
    "ImageModel": "vgg",
    "SvmModel": "svm",
    "choose_threshold": "scores",
    "classes": "",
    "compare_events": "events",
    "dataset": "",
    "evaluate": "scores",
    "events": "",
    "exchange": "",
    "feature_sets": "",
    "flare_class": "classes",
    "forecast": "text",
    "format_name": "patches",
    "keywords": "",
    "label": "labels",
    "labels": "",
    "lay_out": "dataset",
    "mcintosh": "",
    "operational": "",
    "parse_names": "patches",
    "patches": "",
    "peak_flux": "classes",
    "published": "",
    "read_ar_list": "regions",
    "read_event_list": "events",
    "read_events": "events",
    "read_flare_list": "events",
    "read_manifest": "dataset",
    "read_region_table": "regions",
    "read_srs": "regions",
    "regions": "",
    "scoreboard_forecast": "_scoreboard",
    "scores": "",
    "select": "dataset",
    "selection_report": "labels",
    "splits": "",
    "svm": "",
    "text": "",
    "vgg": "",
    "write_ar_list": "regions",
    "write_event_list": "events",
    "write_manifest": "dataset",
    "write_srs": "regions",
}

__all__ = [
    "Events",
    "ImageModel",
    "SvmModel",
    "choose_threshold",
    "classes",
    "compare_events",
    "dataset",
    "evaluate",
    "events",
    "exchange",
    "feature_sets",
    "flare_class",
    "forecast",
    "format_name",
    "keywords",
    "label",
    "labels",
    "lay_out",
    "mcintosh",
    "operational",
    "parse_names",
    "patches",
    "peak_flux",
    "published",
    "read_ar_list",
    "read_event_list",
    "read_events",
    "read_flare_list",
    "read_manifest",
    "read_region_table",
    "read_srs",
    "regions",
    "scoreboard_forecast",
    "scores",
    "select",
    "selection_report",
    "splits",
    "svm",
    "text",
    "vgg",
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
