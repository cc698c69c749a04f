"""FITS images: plain, gzipped or tile-compressed."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from solartrack.errors import ImageError, ImageWarning
from solartrack.images._fits_checks import check_fits
from solartrack.images.array_header import array_header, move_to_part
from solartrack.images.cut import Cut, block_mean

__all__ = ["read_fits", "read_fits_pixels"]


def read_fits(path: Path, cut: Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    """Pixels and header of the first 2-D image in a FITS file; without pixels if `cut` is None."""
    check_fits(path, pixels=cut is not None)
    with fits.open(path, memmap=False) as hdus:
        hdu = _first_image(hdus)
        cards, dropped = [], []
        for card in hdu.header.cards:
            try:
                _ = card.value
                card.verify("silentfix")  # harmless slips, such as 1e5 for 1E5
                cards.append(card)
            except (fits.VerifyError, ValueError):
                dropped.append(card.keyword)
        ny, nx = hdu.shape
        header = array_header(cards, nx, ny)
        array = None
        if cut is not None:
            x0, y0, x1, y1 = cut.within(nx, ny)
            array = block_mean(_pixels(hdu, (x0, y0, x1, y1)), cut.reduce)
            move_to_part(header, x0, y0, cut.reduce, array, centre=(cut.reduce - 1) / 2)
    if dropped:
        warnings.warn(
            f"{path}: dropped header cards that cannot be read: {', '.join(dropped)}",
            ImageWarning,
            stacklevel=3,  # who called solartrack.images.read
        )
    return array, header


def read_fits_pixels(path: Path) -> NDArray[Any]:
    """Only the pixels of the first 2-D image in a FITS file."""
    check_fits(path, pixels=True)
    with fits.open(path, memmap=False) as hdus:
        return _pixels(_first_image(hdus))


def _first_image(hdus: Any) -> Any:
    """The first HDU that holds a 2-D image."""
    others = []
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"] == 2:
            return hdu
        if hdu.is_image and hdu.header["NAXIS"]:
            others.append(hdu.shape)
    found = f"images of shape {others}" if others else "no image"
    raise ImageError(
        f"needs a 2-D image, but the file holds {found}; "
        "cut a plane from a cube first, or fetch the file again if it should have one"
    )


def _pixels(hdu: Any, window: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
    """Pixels in native byte order."""
    ny, nx = hdu.shape
    if not (nx and ny):
        raise ImageError(f"the image has no pixels, its shape is {hdu.shape}")
    x0, y0, x1, y1 = window or (0, 0, nx, ny)
    array = np.asarray(hdu.data[y0:y1, x0:x1])
    return array.astype(array.dtype.newbyteorder("="))
