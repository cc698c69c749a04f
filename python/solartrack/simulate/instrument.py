"""What differs between telescopes: scale, exposure, sharpness, noise and quantisation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate._light import Continuum, Passband

__all__ = ["Instrument"]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Instrument:
    """Properties that may differ between telescopes, days and archives.

    Parameters
    ----------
    arcsec_per_pixel : float, optional
        Default: AIA's full frame, 2.4 arcsec at 1024 pixels.
    offset_px : (float, float)
        Disk centre minus image centre, pixels.
    gain : float
        Factor on the intensity, for an aged or differently exposed detector.
    contrast : float
        Exponent of the display value; 1 as Helioviewer, larger is darker.
    blur_arcsec : float
        Sigma of the point-spread function.
    noise : float
        Factor on the noise; 0 for none.
    bit_depth : int
        Of display values: up to 8 gives uint8, 9 to 16 uint16.

    Examples
    --------
    >>> from solartrack import simulate
    >>> dim = simulate.Instrument(gain=0.5, bit_depth=12)
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128, instrument=dim)
    >>> frame.array.dtype, dim.scale_at(128)
    (dtype('uint16'), 19.2)
    """

    arcsec_per_pixel: float | None = None
    offset_px: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    contrast: float = 1.0
    blur_arcsec: float = 1.1
    noise: float = 1.0
    bit_depth: int = 8

    def __post_init__(self) -> None:
        positive = {"gain": self.gain, "contrast": self.contrast}
        if self.arcsec_per_pixel is not None:
            positive["arcsec_per_pixel"] = self.arcsec_per_pixel
        for name, value in positive.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value!r}")
        for name, value in {"blur_arcsec": self.blur_arcsec, "noise": self.noise}.items():
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must not be negative, got {value!r}")
        if self.bit_depth not in range(1, 17):
            raise ValueError(f"bit_depth must be 1 to 16, got {self.bit_depth!r}")
        if len(self.offset_px) != 2 or not np.isfinite(self.offset_px).all():
            raise ValueError(f"offset_px must be two finite numbers, got {self.offset_px!r}")

    def scale_at(self, size: int) -> float:
        """Arcsec per pixel of an image of `size` pixels on a side."""
        return self.arcsec_per_pixel or 2.4 * 1024 / size

    def add_noise(
        self,
        image: Float32,
        band: Passband | Continuum | None,
        arcsec_per_pixel: float,
        rng: np.random.Generator,
    ) -> None:
        """Add noise to an intensity image, or to a magnetogram if there is no passband, in place."""
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        if band is None:
            image += np.float32(2.5 * self.noise) * grain
            return
        if isinstance(band, Continuum):
            # Granules, which live for minutes, and photon noise; both fall where larger pixels average them.
            image *= 1.0 + np.float32(0.02 * self.noise * min(2.4 / arcsec_per_pixel, 1.0)) * grain
            return
        # Photon noise of AIA binned to 2.4 arcsec; more where the pixels are smaller.
        pixels = max(2.4 / arcsec_per_pixel, 1.0) ** 2
        image += np.float32(self.noise) * np.sqrt((0.1 + 0.075 * image) * pixels) * grain

    def display(self, image: Float32, band: Passband | Continuum | None) -> NDArray[Any]:
        """Quantised display values of an intensity image, or of a magnetogram if there is no passband."""
        top = 2**self.bit_depth - 1
        if band is None:
            # Helioviewer shows -100 to 100 G around the middle grey, and black beyond the limb.
            value = np.clip(0.5 + image / 200.0, 1.0 / 255, 1.0)
            value = np.nan_to_num(value, nan=0.0)
        else:
            law, low, high = band.stretch
            change = {"sqrt": np.sqrt, "log": np.log, "linear": np.positive}[law]
            value = (change(np.clip(image, low, high)) - change(low)) / (change(high) - change(low))
        value = value**self.contrast
        dtype = np.uint8 if self.bit_depth <= 8 else np.uint16
        return np.asarray(np.rint(value * top), dtype=dtype)
