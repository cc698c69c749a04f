"""Curves of one track: success over IoU thresholds, precision over centre errors, and their areas."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_theta
from solartrack.metrics._paired import ROUNDING, PairedTrack

__all__ = ["centre_error", "normalized_precision", "precision_curve", "success_auc", "success_curve"]

# 0, 0.01, ..., 1; each the float nearest to k/100, which linspace does not give
IOU_THRESHOLDS = np.arange(101) / 100.0


def centre_error(truth: ArrayLike, boxes: ArrayLike, *, normalized: bool = False) -> Float64Array:
    """Distance of the centres in every frame.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `solartrack.metrics.score`.
    normalized : bool
        Divide x by the width and y by the height of the true box.

    Returns
    -------
    ndarray of float64, shape (n,)
        In pixels, unless `normalized`. Infinite in frames without a report and, if
        `normalized`, in those with an empty true box.

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.metrics.score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.centre_error(truth, boxes)
    array([0., 1., 4.])
    """
    track = PairedTrack.of(truth, boxes)
    return track.normalized_centre_error if normalized else track.centre_error


def success_curve(truth: ArrayLike, boxes: ArrayLike, thresholds: ArrayLike | None = None) -> Float64Array:
    """`solartrack.metrics.success` at each threshold.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `solartrack.metrics.score`.
    thresholds : array_like, shape (k,)
        Increasing, within 0 to 1; by default 0, 0.01, ..., 1.

    Returns
    -------
    ndarray of float64, shape (k,)
        At 0 the share of frames with any overlap, at 1 that of exact boxes.

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.metrics.score`, or if `thresholds` are not increasing.

    References
    ----------
    Wu, Lim and Yang 2013, CVPR, "Online Object Tracking: A Benchmark". It compares with
    ``>``, so that an exact box fails at 1; here it is ``>=``.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.success_curve(truth, boxes, [0.1, 0.5, 0.9]).round(3)
    array([1.   , 0.667, 0.333])
    """
    thetas = _increasing(IOU_THRESHOLDS if thresholds is None else thresholds)
    as_theta(thetas[-1], "the last threshold")
    return success_of_iou(PairedTrack.of(truth, boxes).iou, thetas)


def success_of_iou(iou: Float64Array, thetas: Float64Array) -> Float64Array:
    """Share of the frames that match at each theta, from their IoU (0 where nothing is reported)."""
    # As `reaches` compares: from the smallest float above 0, as frames without overlap do not match at 0.
    at_least = np.maximum(thetas - ROUNDING, np.nextafter(0.0, 1.0))
    below = np.searchsorted(np.sort(iou), at_least, side="left")
    return np.asarray((len(iou) - below) / len(iou))


def success_auc(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Area under `success_curve` by the trapezoid rule over 0, 0.01, ..., 1.

    Differs from the mean IoU by at most 0.005: a frame adds
    ``floor(100 IoU) / 100``, plus 0.005 if ``0 < IoU < 1``.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `solartrack.metrics.score`.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.metrics.score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.success_auc(truth, boxes), 3)
    0.747
    """
    return success_auc_of(PairedTrack.of(truth, boxes))


def success_auc_of(track: PairedTrack) -> float:
    return curve_area(success_of_iou(track.iou, IOU_THRESHOLDS))


def precision_curve(
    truth: ArrayLike, boxes: ArrayLike, thresholds: ArrayLike | None = None, *, normalized: bool = False
) -> Float64Array:
    """Share of the frames with a `centre_error` of at most each threshold (and 1e-9, for rounding).

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `solartrack.metrics.score`.
    thresholds : array_like, shape (k,)
        Increasing; pixels, by default 0, 1, ..., 50, or if `normalized`, multiples of the
        true box's sides, by default 0, 0.005, ..., 0.5.
    normalized : bool
        Divide the error by the true box's width and height.

    Returns
    -------
    ndarray of float64, shape (k,)

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.metrics.score`, or if `thresholds` are negative or not increasing.

    References
    ----------
    Wu, Lim and Yang 2013, CVPR (pixels; its tables give the value at 20).
    Müller et al. 2018, ECCV, "TrackingNet" (normalized).

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.precision_curve(truth, boxes, [1, 5]).round(3)
    array([0.667, 1.   ])
    """
    if thresholds is None:
        thresholds = IOU_THRESHOLDS / 2.0 if normalized else np.arange(51.0)
    radii = _increasing(thresholds)
    return _share_within(centre_error(truth, boxes, normalized=normalized), radii)


def normalized_precision(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Area under the normalized `precision_curve` over 0, 0.005, ..., 0.5.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `solartrack.metrics.score`.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.metrics.score`.

    References
    ----------
    Müller et al. 2018, ECCV, "TrackingNet".

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.normalized_precision(truth, boxes), 3)
    0.67
    """
    return normalized_precision_of(PairedTrack.of(truth, boxes))


def normalized_precision_of(track: PairedTrack) -> float:
    return curve_area(_share_within(track.normalized_centre_error, IOU_THRESHOLDS / 2.0))


def _increasing(thresholds: ArrayLike) -> Float64Array:
    out = np.asarray(thresholds, dtype=np.float64)
    if out.ndim != 1 or len(out) == 0 or not (out[0] >= 0.0 and (np.diff(out) > 0.0).all()):
        raise ValueError(
            f"thresholds must be a list of increasing numbers, none negative, got {thresholds!r}"
        )
    return out


def _share_within(error: Float64Array, radii: Float64Array) -> Float64Array:
    return np.asarray(np.searchsorted(np.sort(error), radii + ROUNDING, side="right") / len(error))


def curve_area(curve: Float64Array) -> float:
    """Trapezoid rule over evenly spaced thresholds, as a share of their range."""
    return float((curve[:-1] + curve[1:]).mean() / 2.0)
