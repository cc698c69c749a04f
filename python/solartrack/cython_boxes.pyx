# cython: language_level=3, freethreading_compatible=True
"""Scalar box operations that other Cython code can ``cimport``.

Boxes are ``(x0, y0, x1, y1)`` in pixel-edge coordinates, passed as separate
doubles; an empty or inverted box has area 0. The formulas are those of the
batched kernels (one C++ header serves both), see `solartrack.metrics.overlap`.
From Python use the batched functions: calls with eight numbers are for loops
that are already compiled, where no lock is held and no object is made.
"""

cdef extern from "boxes.hpp" namespace "solartrack" nogil:
    cdef struct Box:
        double x0, y0, x1, y1
    double c_area "solartrack::area"(const Box &) noexcept
    double c_intersection "solartrack::intersection"(const Box &, const Box &) noexcept
    double c_iou "solartrack::iou"(const Box &, const Box &) noexcept
    double c_giou "solartrack::giou"(const Box &, const Box &) noexcept
    double c_diou "solartrack::diou"(const Box &, const Box &) noexcept
    double c_ciou "solartrack::ciou"(const Box &, const Box &) noexcept
    double c_coverage "solartrack::coverage"(const Box &, const Box &) noexcept
    double c_area_ratio "solartrack::area_ratio"(const Box &, const Box &) noexcept


cdef inline Box _box(double x0, double y0, double x1, double y1) noexcept nogil:
    cdef Box box
    box.x0, box.y0, box.x1, box.y1 = x0, y0, x1, y1
    return box


cpdef double area(double x0, double y0, double x1, double y1) noexcept nogil:
    """Area, 0 for an empty or inverted box.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> cython_boxes.area(0, 0, 10, 5)
    50.0
    """
    return c_area(_box(x0, y0, x1, y1))


cpdef double intersection(double ax0, double ay0, double ax1, double ay1,
                          double bx0, double by0, double bx1, double by1) noexcept nogil:
    """Area common to both boxes.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> cython_boxes.intersection(0, 0, 10, 10, 5, 0, 15, 10)
    50.0
    """
    return c_intersection(_box(ax0, ay0, ax1, ay1), _box(bx0, by0, bx1, by1))


cpdef double iou(double ax0, double ay0, double ax1, double ay1,
                 double bx0, double by0, double bx1, double by1) noexcept nogil:
    """Intersection over union, 0 to 1.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> round(cython_boxes.iou(0, 0, 10, 10, 5, 0, 15, 10), 3)
    0.333
    """
    return c_iou(_box(ax0, ay0, ax1, ay1), _box(bx0, by0, bx1, by1))


cpdef double giou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil:
    """Generalized IoU (Rezatofighi et al. 2019), -1 to 1.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> round(cython_boxes.giou(0, 0, 10, 10, 5, 5, 15, 15), 3)
    -0.079
    """
    return c_giou(_box(ax0, ay0, ax1, ay1), _box(bx0, by0, bx1, by1))


cpdef double diou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil:
    """Distance IoU (Zheng et al. 2020), -1 to 1.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> round(cython_boxes.diou(0, 0, 10, 10, 5, 5, 15, 15), 3)
    0.032
    """
    return c_diou(_box(ax0, ay0, ax1, ay1), _box(bx0, by0, bx1, by1))


cpdef double ciou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil:
    """Complete IoU (Zheng et al. 2020).

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> round(cython_boxes.ciou(0, 0, 10, 10, 5, 0, 15, 5), 3)
    0.102
    """
    return c_ciou(_box(ax0, ay0, ax1, ay1), _box(bx0, by0, bx1, by1))


cpdef double coverage(double bx0, double by0, double bx1, double by1,
                      double tx0, double ty0, double tx1, double ty1) noexcept nogil:
    """Share of the second box, the ground truth, that the first covers.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> cython_boxes.coverage(0, 0, 10, 10, 5, 0, 15, 10)
    0.5
    """
    return c_coverage(_box(bx0, by0, bx1, by1), _box(tx0, ty0, tx1, ty1))


cpdef double area_ratio(double bx0, double by0, double bx1, double by1,
                        double tx0, double ty0, double tx1, double ty1) noexcept nogil:
    """Area of the first box over that of the second, the ground truth.

    Examples
    --------
    >>> from solartrack import cython_boxes
    >>> cython_boxes.area_ratio(0, 0, 10, 5, 0, 0, 10, 10)
    0.5
    """
    return c_area_ratio(_box(bx0, by0, bx1, by1), _box(tx0, ty0, tx1, ty1))
