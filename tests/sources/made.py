"""Small files of each kind, made here."""

import gzip
import io
import struct
import tarfile

import numpy as np
from astropy.io import fits
from PIL import Image


def fits_bytes(seed=0, side=40, **keywords):
    """A FITS image of noise."""
    pixels = np.random.default_rng(seed).normal(0, 100, (side, side)).astype("f4")
    file = io.BytesIO()
    fits.PrimaryHDU(pixels, fits.Header(keywords)).writeto(file)
    return file.getvalue()


def rice_bytes(seed=0, side=64):
    """A tile-compressed FITS image, as JSOC sends it."""
    pixels = np.random.default_rng(seed).integers(-500, 500, (side, side)).astype("i2")
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type="RICE_1")]).writeto(file)
    return file.getvalue()


def image_bytes(kind="PNG", seed=0, side=64):
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side)).astype("u1")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def jp2_bytes(seed=0, side=64):
    """A JP2 with six resolutions, as Helioviewer's have."""
    return image_bytes("JPEG2000", seed, side)


def tar_bytes(members, packed=False):
    """A tar file of ``{name: content}``."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(file.getvalue(), mtime=0) if packed else file.getvalue()


def helioviewer_bytes(frame):
    """A simulated frame as Helioviewer has images: north up, the header of the bottom-up image as XML."""
    file = io.BytesIO()
    Image.fromarray(frame.array[::-1]).save(file, "JPEG2000")
    data = file.getvalue()
    side = frame.array.shape[0]
    cards = {"NAXIS1": side, "NAXIS2": side, **frame.header}
    fields = "".join(f"<{key}>{value}</{key}>" for key, value in cards.items())
    xml = f'<?xml version="1.0"?><meta><fits>{fields}</fits><helioviewer/></meta>'.encode()
    at = data.index(b"jp2c") - 4  # the box of the codestream
    return data[:at] + struct.pack(">I4s", len(xml) + 8, b"xml ") + xml + data[at:]
