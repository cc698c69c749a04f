// Overlap of axis-aligned boxes (x0, y0, x1, y1): pixel-edge coordinates,
// half-open and continuous, width x1 - x0. A box that is empty or inverted has
// area 0. No result is NaN for coordinates up to 1e150.
//
// The scalar functions are inline because the batched kernels and the Cython
// module share them; tests/reference/boxes.py says in NumPy what they mean.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>

namespace solartrack {

struct Box {
    double x0, y0, x1, y1;
};

inline double area(const Box &b) noexcept {
    return std::max(0.0, b.x1 - b.x0) * std::max(0.0, b.y1 - b.y0);
}

// An inverted box overlaps nothing: the extent of the intersection is at most
// its own, negative, width.
inline double intersection(const Box &a, const Box &b) noexcept {
    const double w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
    const double h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
    return std::max(0.0, w) * std::max(0.0, h);
}

inline double iou(const Box &a, const Box &b) noexcept {
    const double inter = intersection(a, b);
    const double uni = area(a) + area(b) - inter;
    // inter > 0 implies uni > 0, except where the product underflows.
    return uni > 0.0 ? inter / uni : 0.0;
}

// Generalized IoU, Rezatofighi et al. 2019: IoU - |C \ (A u B)| / |C| with C
// the smallest enclosing box; in [-1, 1].
inline double giou(const Box &a, const Box &b) noexcept {
    const double inter = intersection(a, b);
    const double uni = area(a) + area(b) - inter;
    const double cw = std::max(0.0, std::max(a.x1, b.x1) - std::min(a.x0, b.x0));
    const double ch = std::max(0.0, std::max(a.y1, b.y1) - std::min(a.y0, b.y0));
    const double c = cw * ch;
    const double overlap = uni > 0.0 ? inter / uni : 0.0;
    return c > 0.0 ? overlap - (c - uni) / c : overlap;
}

// Distance IoU, Zheng et al. 2020: IoU - (centre distance / diagonal of C)^2.
inline double diou(const Box &a, const Box &b) noexcept {
    const double cw = std::max(a.x1, b.x1) - std::min(a.x0, b.x0);
    const double ch = std::max(a.y1, b.y1) - std::min(a.y0, b.y0);
    const double diagonal2 = cw * cw + ch * ch;
    const double dx = 0.5 * ((a.x0 + a.x1) - (b.x0 + b.x1));
    const double dy = 0.5 * ((a.y0 + a.y1) - (b.y0 + b.y1));
    return diagonal2 > 0.0 ? iou(a, b) - (dx * dx + dy * dy) / diagonal2 : iou(a, b);
}

// Angle whose tangent is width / height; 0 for a box without area, so that two
// empty boxes do not differ in shape.
inline double aspect_angle(const Box &b) noexcept {
    return area(b) > 0.0 ? std::atan2(b.x1 - b.x0, b.y1 - b.y0) : 0.0;
}

// Complete IoU, Zheng et al. 2020: DIoU - alpha v, v = 4/pi^2 (difference of
// the aspect angles)^2, alpha = v / (1 - IoU + v).
inline double ciou_from(double overlap, double distance_overlap, double angle_a, double angle_b) noexcept {
    constexpr double four_over_pi2 = 0.40528473456935108577551785283891;
    const double d = angle_a - angle_b;
    const double v = four_over_pi2 * d * d;
    const double rest = 1.0 - overlap + v;
    return rest > 0.0 ? distance_overlap - v * v / rest : distance_overlap;
}

inline double ciou(const Box &a, const Box &b) noexcept {
    return ciou_from(iou(a, b), diou(a, b), aspect_angle(a), aspect_angle(b));
}

// Share of the ground truth that the box covers; 0 for an empty ground truth.
inline double coverage(const Box &box, const Box &truth) noexcept {
    const double t = area(truth);
    return t > 0.0 ? intersection(box, truth) / t : 0.0;
}

// Area of the box over the area of the ground truth; 0 for two empty boxes,
// infinite for a box with area against an empty ground truth.
inline double area_ratio(const Box &box, const Box &truth) noexcept {
    const double b = area(box);
    const double t = area(truth);
    if (t > 0.0)
        return b / t;
    return b > 0.0 ? HUGE_VAL : 0.0;
}

enum class Overlap { iou, giou, diou, ciou, coverage, area_ratio };

// out[i] = f(a[i], b[i]); a, b: n rows of four doubles.
void overlap_pairs(Overlap kind, const double *a, const double *b, std::size_t n, double *out);

// out[i * m + j] = f(a[i], b[j]). Rows are independent; large results use up to
// `threads` threads.
void overlap_matrix(Overlap kind, const double *a, std::size_t n, const double *b, std::size_t m, int threads,
                    double *out);

} // namespace solartrack
