// Sums of the positive and of the negative pixels.
#pragma once
#include <cstddef>

namespace solartrack {

struct Flux {
    double positive = 0.0;
    double negative = 0.0;
};

// Adds one row without NaN to `flux`; returns its largest magnitude, which is infinite if a pixel is.
double add_flux(const double *row, std::ptrdiff_t cols, Flux &flux);

} // namespace solartrack
