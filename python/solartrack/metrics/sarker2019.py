"""The numbers of the solar GOTURN study's evaluation script, for comparing with its tables only.

They differ from the published definitions (`solartrack.metrics.single_track`), so
never compare the two. Frame i has the true box ``g`` and, where the tracker reported
one, the box ``t``; N is the number of annotated frames. The boxes are those of the
study's files without any conversion: the corners of the ``.ann`` row, and
``(x, y, x + w, y + h)`` of the output row. The rules:

- ``I = w h`` is the intersection measured as ``min(x1) - max(x0)``, 0 if either side
  is not positive; ``I+``, ``|g|+`` and ``|t|+`` are measured with one pixel added to
  each side. The union is ``U = |g|+ + |t|+ - I+``.
- A frame is found at ``theta`` if ``I / |g|+ >= theta``. A reported frame that is not
  found is a false positive and a false negative, one without a report a false negative.
- ``f_score = 2PR / (P + R)``, 0 when undefined; ``ota = 1 - FN / N``.
- ``area_f1`` is the sum of ``2pr / (p + r)``, ``p = I / |t|+``, ``r = I / |g|+``, over N.
- ``ata`` is the sum of ``I / U`` over N.
- ``otp`` is the mean of ``I / U`` over the covered frames, those with
  ``I+ / |g|+ >= 0.99``; 0 if there is none.
- ``deviation`` is the number of frames with ``t`` equal to ``g`` over the number of
  covered frames; 0 if there is none.
- ``pbm`` is the sum over N of ``1 - D / T``, where D is the *signed* sum of the centre
  differences, ``g - t`` in x plus in y, and ``T = (w_t + h_t + w_g + h_g) / 2`` without
  added pixels. A term above 2 becomes 0. A negative one stays, so the result can be
  negative, and above 1.

Frames without a report add nothing to a sum. Where T is 0 (both boxes are points) the
term is 0. Sides of inverted reported boxes count as 0.

Three details cannot be inferred from the published outputs, because none of their tracks
is such a case: ``>=`` or ``>`` at ``theta``, ``deviation`` where some but not all covered
frames are equal, and whether a negative ``pbm`` term stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_theta
from solartrack.metrics._paired import ROUNDING, PairedTrack

__all__ = ["METRICS", "measure"]

#: The study's metrics, in the order of its tables.
METRICS = ("f_score", "area_f1", "ota", "otp", "ata", "deviation", "pbm")


def _area(low: Float64Array, high: Float64Array, extra: float) -> Float64Array:
    return np.asarray(np.prod(np.maximum(high - low + extra, 0.0), axis=1))


def measure(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> dict[str, tuple[float, int]]:
    """Every metric of the convention, with the number of frames (or boxes) it averages over.

    Only ``f_score`` and ``ota`` depend on `theta`. The rules are in the module's docstring.

    Parameters
    ----------
    truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, one row per annotated frame.
    boxes : array_like, shape (n, 4)
        What the tracker reported in those frames; four NaN where it reported nothing.
    theta : float
        Coverage from which a frame is found, 0 to 1.

    Returns
    -------
    dict of str to (float, int)
        Keys are `METRICS`. The second number is the denominator, which is the weight of
        the track when several are pooled.

    Raises
    ------
    ValueError
        As for `solartrack.metrics.score`.

    Examples
    --------
    >>> from solartrack.metrics import sarker2019
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10]]
    >>> found = sarker2019.measure(truth, [[0, 0, 10, 10], [4, 0, 14, 10]], theta=0.5)
    >>> round(found["ata"][0], 3), found["ata"][1]  # and the number of frames
    (0.693, 2)
    """
    return measure_paired(PairedTrack.of(truth, boxes), as_theta(theta))


def measure_paired(track: PairedTrack, theta: float) -> dict[str, tuple[float, int]]:
    """Measure boxes that are validated already, see `measure`."""
    n, reported = track.n_frames, track.reported
    g, t = track.truth[reported], track.boxes[reported]
    low, high = np.maximum(g[:, :2], t[:, :2]), np.minimum(g[:, 2:], t[:, 2:])
    inner, inner_plus = _area(low, high, 0.0), _area(low, high, 1.0)
    g_plus, t_plus = _area(g[:, :2], g[:, 2:], 1.0), _area(t[:, :2], t[:, 2:], 1.0)
    # An inverted side of -1 or less gives t_plus 0, but then the intersections are 0 too.
    overlap = inner / (g_plus + t_plus - inner_plus)
    covered = inner_plus / g_plus >= 0.99

    found = int((inner / g_plus >= theta - ROUNDING).sum())
    sides = np.maximum(g[:, 2:] - g[:, :2], 0.0) + np.maximum(t[:, 2:] - t[:, :2], 0.0)
    size = sides.sum(axis=1) / 2.0
    offset = ((g[:, :2] + g[:, 2:]) - (t[:, :2] + t[:, 2:])).sum(axis=1) / 2.0
    bounded = 1.0 - np.divide(offset, size, out=np.ones_like(size), where=size > 0.0)
    n_covered = int(covered.sum())
    return {
        # 2PR/(P+R) with P = found/reported and R = found/n
        "f_score": (2.0 * found / (len(g) + n), len(g) + n),
        "area_f1": (float((2.0 * inner / (g_plus + t_plus)).sum()) / n, n),
        "ota": (found / n, n),
        "otp": (float(overlap[covered].mean()) if n_covered else 0.0, n_covered),
        "ata": (float(overlap.sum()) / n, n),
        "deviation": (int((g == t).all(axis=1).sum()) / n_covered if n_covered else 0.0, n_covered),
        "pbm": (float(np.where(bounded > 2.0, 0.0, bounded).sum()) / n, n),
    }
