// Haar detail energy: sums of absolute values of the three detail bands.
#pragma once
#include <cstddef>
#include <vector>

namespace solartrack {

// One pair of rows of one level. The last column of an odd width pairs with
// itself, and so does a last row: pass it twice. Writes (cols + 1) / 2
// approximation values, which may overwrite `top`; returns the pair's detail
// energy.
double haar_rows(const double *top, const double *bottom, std::ptrdiff_t cols, double *approximation);

// Energies of `levels` further levels of a rows x cols approximation, in place.
void haar_levels(double *approximation, std::ptrdiff_t rows, std::ptrdiff_t cols, int levels,
                 double *energies);

} // namespace solartrack
