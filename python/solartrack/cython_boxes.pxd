# Scalar box operations for other Cython code:  from solartrack.cython_boxes cimport iou
# No header and no library is needed to compile against this file.
cpdef double area(double x0, double y0, double x1, double y1) noexcept nogil
cpdef double intersection(double ax0, double ay0, double ax1, double ay1,
                          double bx0, double by0, double bx1, double by1) noexcept nogil
cpdef double iou(double ax0, double ay0, double ax1, double ay1,
                 double bx0, double by0, double bx1, double by1) noexcept nogil
cpdef double giou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil
cpdef double diou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil
cpdef double ciou(double ax0, double ay0, double ax1, double ay1,
                  double bx0, double by0, double bx1, double by1) noexcept nogil
cpdef double coverage(double bx0, double by0, double bx1, double by1,
                      double tx0, double ty0, double tx1, double ty1) noexcept nogil
cpdef double area_ratio(double bx0, double by0, double bx1, double by1,
                        double tx0, double ty0, double tx1, double ty1) noexcept nogil
