#include "smooth.hpp"
#include "compiler.hpp"
#include "strips.hpp"

#include <cfloat>
#include <cmath>

namespace solartrack {
namespace {

constexpr std::ptrdiff_t strip = 32;

constexpr double weight = 1.0 / 100.0;

struct TenRows {
    const double *row[10]; // top to bottom
    TenRows(const RowWindow &window, std::ptrdiff_t i) {
        for (int k = 0; k < 10; ++k)
            row[k] = window.row(i - 5 + k);
    }
};

constexpr std::ptrdiff_t refresh = 64; // rows after which the running sums start afresh

SOLARTRACK_CLONES void sum_columns(const TenRows &rows, std::ptrdiff_t count, double *__restrict columns) {
    for (std::ptrdiff_t j = 0; j < count; ++j)
        columns[j] = rows.row[0][j];
    for (int k = 1; k < 10; ++k) {
        const double *row = rows.row[k];
        for (std::ptrdiff_t j = 0; j < count; ++j)
            columns[j] += row[j];
    }
}

SOLARTRACK_CLONES void move_columns(const double *enters, const double *leaves, std::ptrdiff_t count,
                                    double *__restrict columns) {
    for (std::ptrdiff_t j = 0; j < count; ++j)
        columns[j] += enters[j] - leaves[j];
}

// Means of one row from its column sums; returns the smallest magnitude.
SOLARTRACK_CLONES double mean_row(const double *columns, std::ptrdiff_t cols, double *__restrict out) {
    Strip<strip> least = all<strip>(HUGE_VAL);
    each_strip<strip>(cols, [&](std::ptrdiff_t first, std::ptrdiff_t count) SOLARTRACK_INLINE_LAMBDA {
        for (std::ptrdiff_t l = 0; l < count; ++l) {
            const double *c = columns + first + l;
            const double mean =
                weight *
                ((((c[-5] + c[-4]) + (c[-3] + c[-2])) + ((c[-1] + c[0]) + (c[1] + c[2]))) + (c[3] + c[4]));
            out[first + l] = mean;
            const double magnitude = std::fabs(mean);
            least[l] = magnitude < least[l] ? magnitude : least[l];
        }
    });
    return smallest(least);
}

// SciPy's order, since its version 1.16: the kernel flipped, that is from the last row and column back;
// products in fours, each four added up before it joins the total, then the two
// left over one by one.
SOLARTRACK_CLONES void definition_strip(const TenRows &rows, std::ptrdiff_t first, double *__restrict out) {
    for (std::ptrdiff_t l = 0; l < strip; ++l)
        out[first + l] = 0.0;
    for (int k = 9; k >= 0; --k) {
        const double *p = rows.row[k];
        for (std::ptrdiff_t j = first; j < first + strip; ++j) {
            double total = out[j];
            total += ((weight * p[j + 4] + weight * p[j + 3]) + weight * p[j + 2]) + weight * p[j + 1];
            total += ((weight * p[j] + weight * p[j - 1]) + weight * p[j - 2]) + weight * p[j - 3];
            total += weight * p[j - 4];
            total += weight * p[j - 5];
            out[j] = total;
        }
    }
}

bool any_within(const double *values, std::ptrdiff_t count, double bound) {
    bool found = false;
    for (std::ptrdiff_t l = 0; l < count; ++l)
        found |= std::fabs(values[l]) <= bound;
    return found;
}

} // namespace

// The definition rounds a pixel's product and then up to 43 partial sums. The
// running sum of a column rounds twice per row, for `refresh` rows at most, with
// values up to 11 pixels (a tenth of the weight of the whole box); then come 5
// more roundings. In units of 2^-53 times the largest pixel that is 44 + 141 + 6:
// 256 leaves room for the second order and the rounding of the bound. DBL_MIN
// covers products that underflow.
double box_mean_error(double largest) {
    return 128.0 * DBL_EPSILON * largest + 128.0 * DBL_MIN;
}

void BoxMean::reset(std::ptrdiff_t cols) {
    columns_.assign(static_cast<std::size_t>(cols + RowWindow::margin + 2 * strip), 0.0);
}

void BoxMean::row(const RowWindow &window, std::ptrdiff_t i, double error, bool exact, double *out) {
    const TenRows rows(window, i);
    const std::ptrdiff_t cols = window.cols();
    double *columns = columns_.data() + RowWindow::margin;
    if (i % refresh == 0)
        sum_columns(rows, cols, columns);
    else
        move_columns(rows.row[9], window.row(i - 6), cols, columns);
    if (!exact && mean_row(columns, cols, out) > error)
        return;
    for (std::ptrdiff_t first = 0; first < cols; first += strip)
        if (exact || any_within(out + first, std::min(strip, cols - first), error))
            definition_strip(rows, first, out);
}

double box_mean_at(const RowWindow &window, std::ptrdiff_t i, std::ptrdiff_t col) {
    double sum = 0.0;
    for (std::ptrdiff_t r = i + 4; r >= i - 5; --r) {
        const double *p = window.row(r) + col;
        sum += ((weight * p[4] + weight * p[3]) + weight * p[2]) + weight * p[1];
        sum += ((weight * p[0] + weight * p[-1]) + weight * p[-2]) + weight * p[-3];
        sum += weight * p[-4];
        sum += weight * p[-5];
    }
    return sum;
}

} // namespace solartrack
