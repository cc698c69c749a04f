// Sums of the positive and of the negative pixels, and what else one look at
// the pixels tells: how large they are and how many are missing.
#pragma once
#include <cstddef>

namespace solartrack {

struct Flux {
    double positive = 0.0;
    double negative = 0.0;
};

struct RowSummary {
    double largest = 0.0;       // magnitude; infinite if a pixel is
    std::size_t nan_pixels = 0; // replaced by 0 in the row
};

// Adds one row to `flux`, with its NaN pixels set to 0 in place.
RowSummary add_flux(double *row, std::ptrdiff_t cols, Flux &flux);

} // namespace solartrack
