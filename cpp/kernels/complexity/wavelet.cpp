#include "wavelet.hpp"
#include "compiler.hpp"
#include "strips.hpp"

#include <cmath>

namespace solartrack {

// Products first and then sums, rows before columns, as PyWavelets does, so
// that bands that cancel leave the same rounding noise.
SOLARTRACK_CLONES double haar_rows(const double *top, const double *bottom, std::ptrdiff_t cols,
                                   double *approximation) {
    constexpr double c = 0.70710678118654757;
    Strip<32> energy = all<32>(0.0);
    const auto square = [&](std::ptrdiff_t l, double left, double right, double lower_left,
                            double lower_right) SOLARTRACK_INLINE_LAMBDA {
        const double a0 = c * left, a1 = c * right, b0 = c * lower_left, b1 = c * lower_right;
        const double p0 = c * (a0 + b0), p1 = c * (a1 + b1), q0 = c * (a0 - b0), q1 = c * (a1 - b1);
        energy[l] += (std::fabs(p0 - p1) + std::fabs(q0 + q1)) + std::fabs(q0 - q1);
        return p0 + p1;
    };
    each_strip<32>(cols / 2, [&](std::ptrdiff_t first, std::ptrdiff_t count) SOLARTRACK_INLINE_LAMBDA {
        Strip<32> mean; // `approximation` may be the place of a row that is still being read
        const double *t = top + 2 * first, *b = bottom + 2 * first;
        for (std::ptrdiff_t l = 0; l < count; ++l)
            mean[l] = square(l, t[2 * l], t[2 * l + 1], b[2 * l], b[2 * l + 1]);
        std::copy_n(mean.begin(), count, approximation + first);
    });
    if (cols % 2 != 0) // the last column stands for the one that is missing
        approximation[cols / 2] = square(0, top[cols - 1], top[cols - 1], bottom[cols - 1], bottom[cols - 1]);
    return sum(energy);
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
