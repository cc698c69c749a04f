#include "wavelet.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

#include <cmath>

namespace solartrack {

// Products first and then sums, rows before columns, as PyWavelets does, so
// that bands that cancel leave the same rounding noise.
SOLARTRACK_CLONES double haar_rows(const double *top, const double *bottom, std::ptrdiff_t cols,
                                   double *approximation) {
    constexpr double c = 0.70710678118654757;
    Lanes energy{};
    std::ptrdiff_t j = 0;
    for (; 2 * (j + lanes) <= cols; j += lanes) {
        Lanes a0, a1, b0, b1; // left and right, above and below
        load_pairs(a0, a1, top + 2 * j);
        load_pairs(b0, b1, bottom + 2 * j);
        a0 *= c;
        a1 *= c;
        b0 *= c;
        b1 *= c;
        const Lanes p0 = c * (a0 + b0), p1 = c * (a1 + b1), q0 = c * (a0 - b0), q1 = c * (a1 - b1);
        store(approximation + j, p0 + p1);
        const Lanes vertical = p0 - p1, horizontal = q0 + q1, diagonal = q0 - q1;
        energy += vertical < 0.0 ? -vertical : vertical;
        energy += horizontal < 0.0 ? -horizontal : horizontal;
        energy += diagonal < 0.0 ? -diagonal : diagonal;
    }
    double total = sum(energy);
    for (; 2 * j < cols; ++j) {
        const std::ptrdiff_t left = 2 * j, right = left + 1 < cols ? left + 1 : left;
        const double a0 = c * top[left], a1 = c * top[right], b0 = c * bottom[left], b1 = c * bottom[right];
        const double p0 = c * (a0 + b0), p1 = c * (a1 + b1), q0 = c * (a0 - b0), q1 = c * (a1 - b1);
        approximation[j] = p0 + p1;
        total += (std::fabs(p0 - p1) + std::fabs(q0 + q1)) + std::fabs(q0 - q1);
    }
    return total;
}

void haar_levels(double *approximation, std::ptrdiff_t rows, std::ptrdiff_t cols, int levels,
                 double *energies) {
    for (int level = 0; level < levels; ++level) {
        const std::ptrdiff_t half_rows = (rows + 1) / 2, half_cols = (cols + 1) / 2;
        energies[level] = 0.0;
        for (std::ptrdiff_t i = 0; i < half_rows; ++i) {
            const double *top = approximation + 2 * i * cols;
            const double *bottom = 2 * i + 1 < rows ? top + cols : top;
            energies[level] += haar_rows(top, bottom, cols, approximation + i * half_cols);
        }
        rows = half_rows;
        cols = half_cols;
    }
}

} // namespace solartrack
