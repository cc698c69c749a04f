"""Definition of the 29 `boucheron2023` features in NumPy, SciPy, scikit-image and PyWavelets.

Written for meaning, with the building blocks and the per-contour Python loops of the published
pipeline; it is the parity oracle of the kernel and the peer in its benchmark. The order of sums in
`scipy.signal.convolve2d` is part of the definition where window sums cancel: it is that of SciPy 1.16
and later, with which the golden values were made.
"""

import math

import numpy as np
import pywt
from scipy import ndimage, signal
from skimage import measure

FEATURES = (
    *(f"gradient_{s}" for s in ("mean", "std", "median", "min", "max", "skewness", "kurtosis")),
    *("nl_length", "nl_fragments", "nl_gradient_weighted_length"),
    *(f"nl_curvature_{s}" for s in ("mean", "std", "median", "min", "max")),
    *(f"nl_bending_energy_{s}" for s in ("mean", "std", "median", "min", "max")),
    *(f"wavelet_energy_l{level}" for level in range(1, 6)),
    *("flux_positive", "flux_negative", "flux_signed", "flux_unsigned"),
)


def gradient_magnitude(b):
    gx = signal.convolve2d(b, np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]), mode="same")
    gy = signal.convolve2d(b, np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]), mode="same")
    return np.sqrt(gx**2 + gy**2)


def gradient_features(magnitude):
    m = magnitude.ravel()
    if m.min() == m.max():
        skewness = kurtosis = math.nan
    else:
        d = m - m.mean()
        m2 = np.mean(d**2)
        skewness, kurtosis = np.mean(d**3) / m2**1.5, np.mean(d**4) / m2**2 - 3
    return [m.mean(), m.std(), np.median(m), m.min(), m.max(), skewness, kurtosis]


def smooth(b):
    return signal.convolve2d(b, np.ones((10, 10)) / 100, mode="same")


def zero_contours(smoothed):
    if min(smoothed.shape) < 2:
        return []  # no 2 x 2 cell
    return measure.find_contours(smoothed, level=0, fully_connected="low")


def contour_angles(contour):
    angles = []
    for i in range(len(contour)):
        here, there = contour[i], contour[(i + 1) % len(contour)]
        dr = np.round(there[0]) - np.round(here[0])
        dc = np.round(there[1]) - np.round(here[1])
        if dr != 0:
            angles.append(np.arctan(dc / dr))
        elif dc < 0:
            angles.append(3 * np.pi / 2)
        else:
            angles.append(np.pi / 2)
    return angles


def bending_energy(angles):
    total = 0.0
    for i in range(len(angles)):
        total += (angles[i] - angles[(i + 1) % len(angles)]) ** 2
    return total / len(angles)


def neutral_line_mask(shape, contours):
    mask = np.zeros(shape)
    for contour in contours:
        for row, col in contour:
            mask[int(np.round(row)), int(np.round(col))] = 1
    return mask


def threshold(magnitude, mask):
    weighted = magnitude * mask
    return weighted >= 0.2 * np.max(np.abs(weighted))


def five_numbers(values):
    return [np.mean(values), np.std(values), np.median(values), np.min(values), np.max(values)]


def neutral_line_features(magnitude, contours):
    if not contours:
        return [0.0] * 13
    mask = neutral_line_mask(magnitude.shape, contours)
    strong = threshold(magnitude, mask)
    _, fragments = ndimage.label(strong, structure=np.ones((3, 3)))
    angles = [contour_angles(contour) for contour in contours]
    energies = [bending_energy(a) for a in angles]
    return [
        np.count_nonzero(strong),
        fragments,
        np.count_nonzero(mask),
        *five_numbers(np.concatenate(angles)),
        *five_numbers(energies),
    ]


def wavelet_features(b):
    energies, approximation = [], b
    for _ in range(5):
        approximation, details = pywt.dwt2(approximation, "haar", mode="symmetric")
        energies.append(sum(np.abs(band).sum() for band in details))
    return energies


def flux_features(b):
    positive, negative = b[b > 0].sum(), b[b < 0].sum()
    return [positive, negative, positive + negative, positive - negative]


def complexity(patch):
    """The 29 features of a patch without NaN, in the order of `FEATURES`."""
    b = np.asarray(patch, dtype=np.float64)
    magnitude = gradient_magnitude(b)
    contours = zero_contours(smooth(b))
    return np.array(
        [
            *gradient_features(magnitude),
            *neutral_line_features(magnitude, contours),
            *wavelet_features(b),
            *flux_features(b),
        ],
        dtype=np.float64,
    )
