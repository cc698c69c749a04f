"""What the overlap kernels mean, one pair of boxes at a time, in plain Python."""

import math


def area(b):
    return max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1])


def intersection(a, b):
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def union(a, b):
    return area(a) + area(b) - intersection(a, b)


def iou(a, b):
    return intersection(a, b) / union(a, b) if union(a, b) > 0 else 0.0


def _enclosing(a, b):
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def giou(a, b):
    c = area(_enclosing(a, b))
    return iou(a, b) - (c - union(a, b)) / c if c > 0 else iou(a, b)


def diou(a, b):
    x0, y0, x1, y1 = _enclosing(a, b)
    diagonal2 = (x1 - x0) ** 2 + (y1 - y0) ** 2
    dx = (a[0] + a[2]) / 2 - (b[0] + b[2]) / 2
    dy = (a[1] + a[3]) / 2 - (b[1] + b[3]) / 2
    return iou(a, b) - (dx**2 + dy**2) / diagonal2 if diagonal2 > 0 else iou(a, b)


def _aspect(b):
    return math.atan((b[2] - b[0]) / (b[3] - b[1])) if area(b) > 0 else 0.0


def ciou(a, b):
    v = 4 / math.pi**2 * (_aspect(a) - _aspect(b)) ** 2
    rest = 1 - iou(a, b) + v
    return diou(a, b) - (v / rest * v if rest > 0 else 0.0)


def coverage(box, truth):
    return intersection(box, truth) / area(truth) if area(truth) > 0 else 0.0


def area_ratio(box, truth):
    if area(truth) > 0:
        return area(box) / area(truth)
    return math.inf if area(box) > 0 else 0.0
