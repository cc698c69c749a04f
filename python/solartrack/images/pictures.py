"""PNG and JPG pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from solartrack.errors import ImageError
from solartrack.images.array_header import array_header, move_to_part
from solartrack.images.cut import Cut, block_mean

__all__ = ["read_picture"]


def read_picture(path: Path, cut: Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    """Grey pixels of a picture and a header with its size; without pixels if `cut` is None."""
    try:
        image = Image.open(path, formats=["PNG", "JPEG"])
    except Image.DecompressionBombError as error:
        raise ImageError(f"{error}; if it is a real image, raise PIL.Image.MAX_IMAGE_PIXELS") from error
    with image:
        header = array_header([], *image.size)
        _refuse_deep_colour(path, image)
        if cut is None:
            return None, header
        x0, y0, x1, y1 = cut.within(*image.size)
        grey: Image.Image = image
        if image.mode in ("P", "PA"):
            # By way of RGBA, because Pillow warns about transparency when it goes to grey directly.
            grey = image.convert("RGBA").convert("L")
        elif image.mode != "L" and not image.mode.startswith("I"):
            grey = image.convert("L")
        array = np.asarray(grey)[y0:y1, x0:x1]
    array = block_mean(array.astype(array.dtype.newbyteorder("=")), cut.reduce)
    move_to_part(header, x0, y0, cut.reduce, array, centre=(cut.reduce - 1) / 2)
    return array, header


def _refuse_deep_colour(path: Path, image: Image.Image) -> None:
    """Refuse 16-bit samples other than plain grey, which Pillow silently cuts to 8 bits."""
    if image.format != "PNG":
        return
    with path.open("rb") as file:
        depth, colour = file.read(26)[24:]  # of the IHDR chunk, which comes first
    if depth == 16 and colour != 0:
        kinds = {2: "RGB", 4: "grey with alpha", 6: "RGB with alpha"}
        raise ImageError(
            f"needs grey or 8-bit pixels, but the PNG is 16-bit {kinds.get(colour, 'colour')}, "
            "which would be cut to 8 bits; convert it to 16-bit grey"
        )
