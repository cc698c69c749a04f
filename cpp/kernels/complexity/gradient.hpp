// Magnitude of the Sobel gradient and its statistics.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace solartrack {

// Mean, central moments times the count, and extremes of the magnitudes so far.
struct GradientSums {
    double count = 0.0, mean = 0.0;
    double second = 0.0, third = 0.0, fourth = 0.0;
    double smallest = 0.0, largest = 0.0; // set by the first row
};

// One row of sqrt(gx^2 + gy^2) from the rows around it, each with a zero on
// either side. The order of the sums is SciPy's, because the smallest value of
// a patch is often nothing but their rounding noise.
void sobel_row(const double *up, const double *here, const double *down, std::ptrdiff_t cols, double *out,
               GradientSums &sums);
// The same for one pixel.
double sobel_at(const double *up, const double *here, const double *down);

// What is kept of each magnitude: the upper half of its float, which is in the same order, to 0.4 %. A
// quarter of the memory; the few magnitudes on which a result depends are worked out again.
using GradientKey = std::uint16_t;
GradientKey gradient_key(double magnitude);
void gradient_keys(const double *magnitude, std::ptrdiff_t cols, GradientKey *keys);

struct GradientMap {
    std::ptrdiff_t rows, cols;
    const GradientKey *keys;
    std::function<double(std::ptrdiff_t row, std::ptrdiff_t col)> at;
    // Calls its argument with each row in turn; cheaper than `at` for very many pixels.
    std::function<void(const std::function<void(std::ptrdiff_t row, const double *magnitude)> &)> each_row;
};

// mean, population std, median, min, max, biased skewness, excess kurtosis of
// all magnitudes, at least one. Where all are equal the last two are NaN.
void gradient_statistics(const GradientMap &map, const GradientSums &sums, std::vector<double> &scratch,
                         double out[7]);

} // namespace solartrack
