#include "smooth.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

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

// Means of one row from its column sums, in whole strips, and the smallest
// magnitude in each strip, not counting what lies past the last column.
SOLARTRACK_CLONES void mean_row(const double *columns, std::ptrdiff_t cols, double *out, double *least) {
    for (std::ptrdiff_t first = 0; first < cols; first += strip) {
        Lanes small{};
        small += HUGE_VAL;
        for (std::ptrdiff_t j = first; j < first + strip; j += lanes) {
            Lanes v[10];
            for (int k = 0; k < 10; ++k)
                load(v[k], columns + j - 5 + k);
            const Lanes mean = weight * ((((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]))) +
                                         (v[8] + v[9]));
            store(out + j, mean);
            const Lanes magnitude = mean < 0.0 ? -mean : mean;
            small = magnitude < small ? magnitude : small;
        }
        least[first / strip] = smallest(small);
    }
    if (cols % strip != 0) {
        const std::ptrdiff_t last = cols / strip;
        least[last] = HUGE_VAL;
        for (std::ptrdiff_t j = last * strip; j < cols; ++j)
            least[last] = std::min(least[last], std::fabs(out[j]));
    }
}

// SciPy's order, since its version 1.16: the kernel flipped, that is from the last row and column back;
// products in fours, each four added up before it joins the total, then the two
// left over one by one.
SOLARTRACK_CLONES void definition_strip(const TenRows &rows, std::ptrdiff_t first, double *out) {
    for (std::ptrdiff_t j = first; j < first + strip; j += lanes) {
        Lanes total{};
        for (int k = 9; k >= 0; --k) {
            Lanes p[10];
            for (int m = 0; m < 10; ++m) {
                load(p[m], rows.row[k] + j + 4 - m);
                p[m] *= weight;
            }
            total += ((p[0] + p[1]) + p[2]) + p[3];
            total += ((p[4] + p[5]) + p[6]) + p[7];
            total += p[8];
            total += p[9];
        }
        store(out + j, total);
    }
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
    least_.resize(static_cast<std::size_t>(cols / strip + 1));
}

void BoxMean::row(const RowWindow &window, std::ptrdiff_t i, double error, bool exact, double *out) {
    const TenRows rows(window, i);
    const std::ptrdiff_t cols = window.cols();
    double *columns = columns_.data() + RowWindow::margin;
    if (i % refresh == 0)
        sum_columns(rows, cols, columns);
    else
        move_columns(rows.row[9], window.row(i - 6), cols, columns);
    if (!exact)
        mean_row(columns, cols, out, least_.data());
    for (std::ptrdiff_t first = 0; first < cols; first += strip)
        if (exact || least_[static_cast<std::size_t>(first / strip)] <= error)
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
