"""The one place that imports what may not be installed."""

from importlib import import_module
from typing import Any

_PACKAGE = {
    "distributed": "dask[distributed]",
    "skimage": "scikit-image",
    "imageio_ffmpeg": "imageio-ffmpeg",
}


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import an optional dependency or say how to install it.

    Parameters
    ----------
    module : str
        Module to import, dotted names allowed.
    extra : str
        The extra of solartrack that brings it.
    purpose : str
        What needs it, as the start of the message: "drawing movies".

    Returns
    -------
    module

    Raises
    ------
    ImportError
        Naming the package and the pip command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != top:
            raise  # it is installed, but one of its own imports is broken
        raise ImportError(
            f"{purpose} needs {_PACKAGE.get(top, top)!r}; run: pip install 'solartrack[{extra}]'",
            name=error.name,
        ) from error
