"""The label of one sample, flare by flare in plain Python.

The times are datetime64; events are (region, peak, class).
"""

import numpy as np

HOUR = np.timedelta64(3600 * 10**6, "us")


def flux(flare_class):
    return float(flare_class[1:]) * {"A": 1e-8, "B": 1e-7, "C": 1e-6, "M": 1e-5, "X": 1e-4}[flare_class[0]]


def label_one(region, time, events, threshold, hours, covered):
    """Label, largest class ("" for none), hours to it, number, and hours since the last; None if unknown."""
    counts = [(peak, c) for r, peak, c in events if r == region and flux(c) >= flux(threshold)]
    inside = sorted((p, c) for p, c in counts if time < p < time + hours * HOUR)
    past = [p for p, _ in counts if p <= time]
    known, day = True, time.astype("datetime64[D]")
    while day < time + hours * HOUR:
        known, day = known and day in covered, day + 1
    peak, largest = max(inside, key=lambda one: flux(one[1])) if inside else (None, "")
    return (
        1 if inside else 0 if known else None,
        largest,
        (peak - time) / HOUR if inside else None,
        len(inside) if known else None,
        (time - max(past)) / HOUR if past else None,
    )
