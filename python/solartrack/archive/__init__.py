"""Work on whole archives: in worker processes or on a Dask cluster, in constant memory, resumable.

`track_archive` follows the events of a catalogue through an archive of images. The features of the
patches of an archive are made by `solartrack.features.extract`, forecasts for them by `forecast_archive`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.archive.forecasts import forecast_archive
    from solartrack.archive.tracks import track_archive

_PUBLIC = {"forecast_archive": "forecasts", "track_archive": "tracks"}

__all__ = ["forecast_archive", "track_archive"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
