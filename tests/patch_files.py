"""Small patches in files, whole and broken, for the tests of the networks that read them."""

import numpy as np
from astropy.io import fits
from PIL import Image

from solartrack.models.vgg.backbones import Backbone, Vgg
from solartrack.models.vgg.dataset import Samples

#: Network for them.
TINY = Backbone(16, Vgg(((4,), (6,)), (8, 5)), 1.0, (-103.939, -116.779, -123.68))


def write_png(path, field):
    """A picture as the published ones."""
    grey = np.clip(np.round(field / 5978.7 * 127.5 + 127.5), 0, 255)
    Image.fromarray(grey.astype(np.uint8)).save(path)


def write_patches(folder, count, *, side=20, seed=0):
    """FITS and PNG patches in turn."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(count):
        field = rng.normal(0, 300, (side, side)).astype(np.float32)
        if k % 3 == 2:
            files.append(folder / f"{k:03}.png")
            write_png(files[-1], field)
        else:
            files.append(folder / f"{k:03}.fits")
            fits.writeto(files[-1], field)
    return files


def spoil(folder):
    """Files that cannot be used, with a part of what is said about each."""
    folder.mkdir(parents=True, exist_ok=True)
    nan = np.full((20, 20), np.nan, np.float32)
    fits.writeto(folder / "nan.fits", nan)
    fits.writeto(folder / "small.fits", np.zeros((8, 20), np.float32))
    fits.writeto(folder / "whole.fits", np.zeros((100, 100), np.float32))
    (folder / "truncated.fits").write_bytes((folder / "whole.fits").read_bytes()[:9000])
    (folder / "whole.fits").unlink()
    Image.new("RGB", (20, 20)).save(folder / "colour.png")
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(folder / "deep.png")
    (folder / "empty.fits").touch()
    (folder / "page.fits").write_text("<html>not found</html>")
    return {
        folder / "nan.fits": "400 of 400 pixels are NaN",
        folder / "small.fits": "sides must be from 16",
        folder / "truncated.fits": "truncated",
        folder / "colour.png": "8-bit RGB",
        folder / "deep.png": "16-bit grey",
        folder / "empty.fits": "the file is empty",
        folder / "page.fits": "error page",
        folder / "gone.fits": "no such file",
    }


def write_samples(folder, count, *, seed=0):
    """Samples that a network can tell apart: the field of the flaring ones is stronger."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    labels = rng.random(count) < 0.4
    for k, label in enumerate(labels):
        write_png(folder / f"{k:04}-{label:d}.png", rng.normal(0, 1500 if label else 700, (16, 16)))
    return stored_samples(folder)


def stored_samples(folder):
    """Those that `write_samples` has written."""
    files = sorted(folder.glob("*.png"))
    return Samples(files, [int(file.stem[-1]) for file in files])
