#include "smooth.hpp"
#include "dispatch.hpp"

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

SOLARTRACK_CLONES void separable(const TenRows &rows, std::ptrdiff_t cols, double *columns, double *out) {
    const double *const *r = rows.row;
    for (std::ptrdiff_t j = -5; j < cols + 4; ++j)
        columns[j + 5] = (((r[0][j] + r[1][j]) + (r[2][j] + r[3][j])) +
                          ((r[4][j] + r[5][j]) + (r[6][j] + r[7][j]))) +
                         (r[8][j] + r[9][j]);
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const double *c = columns + j;
        out[j] = weight * ((((c[0] + c[1]) + (c[2] + c[3])) + ((c[4] + c[5]) + (c[6] + c[7]))) +
                           (c[8] + c[9]));
    }
}

// SciPy's order: the kernel flipped, that is from the last row and column back;
// products in fours, each four added up before it joins the total, then the two
// left over one by one.
SOLARTRACK_CLONES void definition_strip(const TenRows &rows, std::ptrdiff_t first, double *out) {
    double sum[strip] = {};
    for (int k = 9; k >= 0; --k) {
        const double *p = rows.row[k] + first;
        for (std::ptrdiff_t j = 0; j < strip; ++j) {
            sum[j] += ((weight * p[j + 4] + weight * p[j + 3]) + weight * p[j + 2]) + weight * p[j + 1];
            sum[j] += ((weight * p[j] + weight * p[j - 1]) + weight * p[j - 2]) + weight * p[j - 3];
            sum[j] += weight * p[j - 4];
            sum[j] += weight * p[j - 5];
        }
    }
    for (std::ptrdiff_t j = 0; j < strip; ++j)
        out[j] = sum[j];
}

SOLARTRACK_CLONES bool any_within(const double *values, std::ptrdiff_t count, double error) {
    std::ptrdiff_t within = 0;
    for (std::ptrdiff_t j = 0; j < count; ++j)
        within += std::fabs(values[j]) <= error;
    return within != 0;
}

} // namespace

// Each path rounds a pixel's product and then at most 50 partial sums, none of
// them larger than 100 products; 128 units of 2^-53 cover both and the bound's
// own rounding. DBL_MIN covers products that underflow.
double box_mean_error(double largest) { return 64.0 * DBL_EPSILON * largest + 128.0 * DBL_MIN; }

void box_mean_row(const RowWindow &window, std::ptrdiff_t i, double error, bool exact, double *columns,
                  double *out) {
    const TenRows rows(window, i);
    const std::ptrdiff_t cols = window.cols();
    if (!exact)
        separable(rows, cols, columns, out);
    for (std::ptrdiff_t first = 0; first < cols; first += strip)
        if (exact || any_within(out + first, std::min(strip, cols - first), error))
            definition_strip(rows, first, out + first);
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
