"""What the metrics of one track mean, frame by frame in plain Python.

`truth` is a list of boxes, `boxes` a list of boxes or None.
"""

from itertools import pairwise
from math import floor, hypot, inf


def side(low, high, extra=0):
    return max(0.0, high - low + extra)


def area(b, extra=0):
    return side(b[0], b[2], extra) * side(b[1], b[3], extra)


def intersection(a, b, extra=0):
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])), extra)


def iou(g, t):
    if t is None or intersection(g, t) == 0:
        return 0.0
    return intersection(g, t) / (area(g) + area(t) - intersection(g, t))


def centre(b):
    return (b[0] + b[2]) / 2, (b[1] + b[3]) / 2


def matches(g, t, theta):
    return iou(g, t) > 0 and iou(g, t) >= theta


def counts(truth, boxes, theta):
    tp = fp = fn = 0
    for g, t in zip(truth, boxes, strict=True):
        if t is None:
            fn += 1
        elif matches(g, t, theta):
            tp += 1
        else:
            fp += 1
            fn += 1
    return tp, fp, fn


def f_measure(tp, fp, fn):
    if tp == 0:
        return 0.0
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return 2 * precision * recall / (precision + recall)


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def f_score(truth, boxes, theta):
    return f_measure(*counts(truth, boxes, theta))


def ota(truth, boxes, theta):
    _, fp, fn = counts(truth, boxes, theta)
    return 1 - (fn + fp) / len(truth)


def otp(truth, boxes, theta):
    return mean(iou(g, t) for g, t in zip(truth, boxes, strict=True) if matches(g, t, theta))


def success(truth, boxes, theta):
    return mean(matches(g, t, theta) for g, t in zip(truth, boxes, strict=True))


def deviation(truth, boxes, theta):
    errors = centre_error(truth, boxes, normalized=True)
    matched = [e for g, t, e in zip(truth, boxes, errors, strict=True) if matches(g, t, theta)]
    return 1 - mean(matched) if matched else 0.0


def area_f1(truth, boxes):
    total = 0.0
    for g, t in zip(truth, boxes, strict=True):
        if t is not None and intersection(g, t) > 0:
            p, r = intersection(g, t) / area(t), intersection(g, t) / area(g)
            total += 2 * p * r / (p + r)
    return total / len(truth)


def ata(truth, boxes):
    return mean(iou(g, t) for g, t in zip(truth, boxes, strict=True))


def pbm(truth, boxes):
    total = 0.0
    for g, t in zip(truth, boxes, strict=True):
        if t is not None and intersection(g, t) > 0:
            size = (side(t[0], t[2]) + side(t[1], t[3]) + side(g[0], g[2]) + side(g[1], g[3])) / 2
            (gx, gy), (tx, ty) = centre(g), centre(t)
            total += 1 - (abs(gx - tx) + abs(gy - ty)) / size
    return total / len(truth)


def centre_error(truth, boxes, normalized=False):
    out = []
    for g, t in zip(truth, boxes, strict=True):
        if t is None or (normalized and area(g) == 0):
            out.append(inf)
            continue
        (gx, gy), (tx, ty) = centre(g), centre(t)
        w, h = (g[2] - g[0], g[3] - g[1]) if normalized else (1, 1)
        out.append(hypot((tx - gx) / w, (ty - gy) / h))
    return out


def success_auc(truth, boxes):
    total = 0.0
    for g, t in zip(truth, boxes, strict=True):
        overlap = iou(g, t)
        total += floor(100 * overlap) / 100 + (0.005 if 0 < overlap < 1 else 0)
    return total / len(truth)


def normalized_precision(truth, boxes):
    errors = centre_error(truth, boxes, normalized=True)
    curve = [mean(e <= k / 200 for e in errors) for k in range(101)]
    return sum((a + b) / 2 for a, b in pairwise(curve)) / 100


def failures(truth, boxes, threshold):
    count, tracking = 0, True
    for g, t in zip(truth, boxes, strict=True):
        if iou(g, t) >= threshold:
            tracking = True
        elif tracking:
            tracking = False
            count += 1
    return count


def expected_overlap(fragments, length):
    """`fragments`: (list of IoU, failed). None if no fragment counts."""
    means = []
    for overlaps, failed in fragments:
        if failed or len(overlaps) >= length:
            means.append(sum(overlaps[:length]) / length)
    return mean(means) if means else None


def sarker2019(truth, boxes, theta):
    n = len(truth)
    tp = fp = fn = covered = exact = 0
    f1 = ata = otp = pbm = 0.0
    for g, t in zip(truth, boxes, strict=True):
        if t is None:
            fn += 1
            continue
        inner, g_plus, t_plus = intersection(g, t), area(g, 1), area(t, 1)
        overlap = inner / (g_plus + t_plus - intersection(g, t, 1))
        if inner / g_plus >= theta:
            tp += 1
        else:
            fp += 1
            fn += 1
        if inner > 0:
            p, r = inner / t_plus, inner / g_plus
            f1 += 2 * p * r / (p + r)
        ata += overlap
        if intersection(g, t, 1) / g_plus >= 0.99:
            covered += 1
            otp += overlap
        exact += tuple(g) == tuple(t)
        size = (side(t[0], t[2]) + side(t[1], t[3]) + side(g[0], g[2]) + side(g[1], g[3])) / 2
        (gx, gy), (tx, ty) = centre(g), centre(t)
        if size > 0:
            term = 1 - ((gx - tx) + (gy - ty)) / size
            pbm += 0 if term > 2 else term
    return {
        "f_score": f_measure(tp, fp, fn),
        "area_f1": f1 / n,
        "ota": 1 - fn / n,
        "otp": otp / covered if covered else 0.0,
        "ata": ata / n,
        "deviation": exact / covered if covered else 0.0,
        "pbm": pbm / n,
    }
