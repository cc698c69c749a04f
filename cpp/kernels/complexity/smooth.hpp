// 10 x 10 box mean, zero-filled: rows i-5 .. i+4 and the same for columns.
//
// The definition is SciPy's direct convolution, and the sign of its rounding
// noise decides where contours pass on quantised data. `box_mean_row` uses the
// cheap separable sum and knows its distance from the definition; where that
// cannot decide the sign it takes the definition's own order of operations.
#pragma once
#include "window.hpp"

namespace solartrack {

// Bound of |separable sum - definition| where no pixel of the window exceeds
// `largest` in magnitude.
double box_mean_error(double largest);

// Box means of row i, all within `error` of the definition and exact where they
// are not beyond it. `columns` is scratch of at least cols + 96 doubles.
// `exact` gives the definition everywhere. `out` needs room for cols + 32.
void box_mean_row(const RowWindow &window, std::ptrdiff_t i, double error, bool exact, double *columns,
                  double *out);

// The definition at one pixel, bit for bit.
double box_mean_at(const RowWindow &window, std::ptrdiff_t i, std::ptrdiff_t col);

} // namespace solartrack
