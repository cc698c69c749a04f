"""Work on whole archives: in worker processes or on a Dask cluster, in constant memory, resumable.

`track_archive` follows the events of a catalogue through an archive of images. The features of the
patches of an archive are made by `solartrack.features.extract`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.archive.tracks import track_archive

__all__ = ["track_archive"]


def __getattr__(name: str) -> Any:
    if name != "track_archive":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from solartrack.archive.tracks import track_archive

    return track_archive
