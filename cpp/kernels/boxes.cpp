#include "boxes.hpp"
#include "compiler.hpp"
#include "parallel.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

namespace solartrack {
namespace {

// The second set as columns, so that one row of the matrix is a straight loop
// over contiguous doubles, which the compiler turns into vector code.
struct Columns {
    explicit Columns(const double *b, std::size_t m) : values(6 * m), count(m) {
        for (std::size_t j = 0; j < m; ++j) {
            const Box box{b[4 * j], b[4 * j + 1], b[4 * j + 2], b[4 * j + 3]};
            double *v = values.data() + j;
            v[0] = box.x0;
            v[m] = box.y0;
            v[2 * m] = box.x1;
            v[3 * m] = box.y1;
            v[4 * m] = area(box);
            v[5 * m] = aspect_angle(box);
        }
    }
    const double *x0() const { return values.data(); }
    const double *y0() const { return x0() + count; }
    const double *x1() const { return y0() + count; }
    const double *y1() const { return x1() + count; }
    const double *areas() const { return y1() + count; }
    const double *angle() const { return areas() + count; }

    std::vector<double> values;
    std::size_t count;
};

// One function per kind rather than one template: target_clones needs a plain
// function, and the scalar formula is inlined into each.
#define SOLARTRACK_ROW(kind)                                                                                 \
    SOLARTRACK_CLONES void kind##_row(const Box &a, const double *x0, const double *y0, const double *x1,    \
                                      const double *y1, std::size_t m, double *out) {                        \
        for (std::size_t j = 0; j < m; ++j)                                                                  \
            out[j] = kind(a, Box{x0[j], y0[j], x1[j], y1[j]});                                               \
    }
SOLARTRACK_ROW(giou)
SOLARTRACK_ROW(diou)
SOLARTRACK_ROW(coverage)
SOLARTRACK_ROW(area_ratio)
#undef SOLARTRACK_ROW

// IoU is what scoring calls a million times at once, and its division is what
// bounds it: strips of boxes that all miss `a` skip it. Constant strip length,
// so that each inner loop becomes a few vector instructions.
SOLARTRACK_CLONES void iou_row(const Box &a, const double *x0, const double *y0, const double *x1,
                               const double *y1, const double *areas, std::size_t m, double *out) {
    constexpr std::size_t strip = 32;
    const double area_a = area(a);
    std::size_t j = 0;
    for (; j + strip <= m; j += strip) {
        double inter[strip];
        for (std::size_t k = 0; k < strip; ++k)
            inter[k] = intersection(a, Box{x0[j + k], y0[j + k], x1[j + k], y1[j + k]});
        std::uint64_t any = 0; // +0.0 is the only "no overlap", and all its bits are 0
        for (std::size_t k = 0; k < strip; ++k) {
            std::uint64_t bits;
            std::memcpy(&bits, &inter[k], sizeof bits);
            any |= bits;
        }
        if (any == 0) {
            for (std::size_t k = 0; k < strip; ++k)
                out[j + k] = 0.0;
        } else {
            for (std::size_t k = 0; k < strip; ++k) {
                const double uni = area_a + areas[j + k] - inter[k];
                out[j + k] = uni > 0.0 ? inter[k] / uni : 0.0;
            }
        }
    }
    for (; j < m; ++j)
        out[j] = iou(a, Box{x0[j], y0[j], x1[j], y1[j]});
}

// The arctangents cost far more than the rest: they are taken once per box.
SOLARTRACK_CLONES void ciou_row(const Box &a, const double *x0, const double *y0, const double *x1,
                                const double *y1, const double *angle, std::size_t m, double *out) {
    const double angle_a = aspect_angle(a);
    for (std::size_t j = 0; j < m; ++j) {
        const Box b{x0[j], y0[j], x1[j], y1[j]};
        out[j] = ciou_from(iou(a, b), diou(a, b), angle_a, angle[j]);
    }
}

void row(Overlap kind, const Box &a, const Columns &b, double *out) {
    switch (kind) {
    case Overlap::iou:
        return iou_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.areas(), b.count, out);
    case Overlap::giou:
        return giou_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.count, out);
    case Overlap::diou:
        return diou_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.count, out);
    case Overlap::ciou:
        return ciou_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.angle(), b.count, out);
    case Overlap::coverage:
        return coverage_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.count, out);
    case Overlap::area_ratio:
        return area_ratio_row(a, b.x0(), b.y0(), b.x1(), b.y1(), b.count, out);
    }
}

Box box_at(const double *boxes, std::size_t i) {
    return Box{boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
}

template <double (*f)(const Box &, const Box &) noexcept>
void pairs(const double *a, const double *b, std::size_t n, double *out) {
    for (std::size_t i = 0; i < n; ++i)
        out[i] = f(box_at(a, i), box_at(b, i));
}

} // namespace

void overlap_pairs(Overlap kind, const double *a, const double *b, std::size_t n, double *out) {
    switch (kind) {
    case Overlap::iou:
        return pairs<iou>(a, b, n, out);
    case Overlap::giou:
        return pairs<giou>(a, b, n, out);
    case Overlap::diou:
        return pairs<diou>(a, b, n, out);
    case Overlap::ciou:
        return pairs<ciou>(a, b, n, out);
    case Overlap::coverage:
        return pairs<coverage>(a, b, n, out);
    case Overlap::area_ratio:
        return pairs<area_ratio>(a, b, n, out);
    }
}

void overlap_matrix(Overlap kind, const double *a, std::size_t n, const double *b, std::size_t m, int threads,
                    double *out) {
    if (n == 0 || m == 0)
        return;
    const Columns columns(b, m);
    // About 64 k results an item: tens of microseconds, well above what handing
    // the item to another thread costs.
    const std::size_t rows = std::max<std::size_t>(1, 65536 / m);
    const std::size_t items = (n + rows - 1) / rows;
    parallel_for(items, threads, [&](std::size_t item) {
        const std::size_t stop = std::min(n, (item + 1) * rows);
        for (std::size_t i = item * rows; i < stop; ++i)
            row(kind, box_at(a, i), columns, out + i * m);
    });
}

} // namespace solartrack
