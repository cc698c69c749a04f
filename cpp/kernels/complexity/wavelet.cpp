#include "wavelet.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

#include <cmath>

namespace solartrack {

// Products first and then sums, rows before columns, as PyWavelets does, so
// that bands that cancel leave the same rounding noise.
SOLARTRACK_CLONES double haar_rows(const double *top, const double *bottom, std::ptrdiff_t cols,
                                   double *__restrict scratch, double *approximation) {
    constexpr double c = 0.70710678118654757;
    const std::ptrdiff_t half = (cols + 1) / 2;
    double *low = scratch, *high = scratch + 2 * half;
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const double a = c * top[j], b = c * bottom[j];
        low[j] = a + b;
        high[j] = a - b;
    }
    if (cols % 2 != 0) {
        low[cols] = low[cols - 1];
        high[cols] = high[cols - 1];
    }
    Lanes energy{};
    std::ptrdiff_t j = 0;
    for (; j + lanes <= half; j += lanes) {
        Lanes p0, p1, q0, q1;
        load_pairs(p0, p1, low + 2 * j);
        load_pairs(q0, q1, high + 2 * j);
        p0 *= c;
        p1 *= c;
        q0 *= c;
        q1 *= c;
        store(approximation + j, p0 + p1);
        const Lanes vertical = p0 - p1, horizontal = q0 + q1, diagonal = q0 - q1;
        energy += vertical < 0.0 ? -vertical : vertical;
        energy += horizontal < 0.0 ? -horizontal : horizontal;
        energy += diagonal < 0.0 ? -diagonal : diagonal;
    }
    double total = sum(energy);
    for (; j < half; ++j) {
        const double *p = low + 2 * j, *q = high + 2 * j;
        const double p0 = c * p[0], p1 = c * p[1], q0 = c * q[0], q1 = c * q[1];
        approximation[j] = p0 + p1;
        total += (std::fabs(p0 - p1) + std::fabs(q0 + q1)) + std::fabs(q0 - q1);
    }
    return total;
}

void haar_levels(double *approximation, std::ptrdiff_t rows, std::ptrdiff_t cols, int levels, double *scratch,
                 double *energies) {
    for (int level = 0; level < levels; ++level) {
        const std::ptrdiff_t half_rows = (rows + 1) / 2, half_cols = (cols + 1) / 2;
        energies[level] = 0.0;
        for (std::ptrdiff_t i = 0; i < half_rows; ++i) {
            const double *top = approximation + 2 * i * cols;
            const double *bottom = 2 * i + 1 < rows ? top + cols : top;
            energies[level] += haar_rows(top, bottom, cols, scratch, approximation + i * half_cols);
        }
        rows = half_rows;
        cols = half_cols;
    }
}

} // namespace solartrack
