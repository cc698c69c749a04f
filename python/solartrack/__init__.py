"""Track solar regions through images and measure the complexity of magnetograms.

Nothing heavy is imported here: every public name is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack import (
        archive,
        boxes,
        coordinates,
        crop,
        demo,
        errors,
        features,
        flares,
        images,
        inference,
        metrics,
        models,
        sequence,
        simulate,
        sources,
        tracking,
        viz,
    )
    from solartrack.errors import SolartrackError
    from solartrack.tracking import track

__version__ = "0.1.0"

# public name -> module that defines it ("" for a public module)
_PUBLIC = {
    "archive": "",
    "boxes": "",
    "coordinates": "",
    "crop": "",
    "demo": "",
    "errors": "",
    "features": "",
    "flares": "",
    "images": "",
    "inference": "",
    "metrics": "",
    "models": "",
    "sequence": "",
    "simulate": "",
    "sources": "",
    "tracking": "",
    "viz": "",
    "track": "tracking",
    "SolartrackError": "errors",
}

__all__ = [  # noqa: RUF022  (the order of _PUBLIC, which the test compares)
    "archive",
    "boxes",
    "coordinates",
    "crop",
    "demo",
    "errors",
    "features",
    "flares",
    "images",
    "inference",
    "metrics",
    "models",
    "sequence",
    "simulate",
    "sources",
    "tracking",
    "viz",
    "track",
    "SolartrackError",
]


def __getattr__(name: str) -> Any:
    try:
        home = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module 'solartrack' has no attribute {name!r}") from None
    if not home:
        return import_module(f"solartrack.{name}")
    value = getattr(import_module(f"solartrack.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
