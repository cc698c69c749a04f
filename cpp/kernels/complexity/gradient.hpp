// Magnitude of the Sobel gradient and its statistics.
#pragma once
#include <cstddef>
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

// mean, population std, median, min, max, biased skewness, excess kurtosis of
// n > 0 magnitudes. Where all are equal the last two are NaN. `scratch` is
// grown to at most 2 n.
void gradient_statistics(const double *magnitude, std::size_t n, const GradientSums &sums,
                         std::vector<double> &scratch, double out[7]);

} // namespace solartrack
