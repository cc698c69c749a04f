// 10 x 10 box mean, zero-filled: rows i-5 .. i+4 and the same for columns.
//
// The definition is SciPy's direct convolution, and the sign of its rounding
// noise decides where contours pass on quantised data. `BoxMean` uses a cheap
// running sum and knows its distance from the definition; where that cannot
// decide the sign it takes the definition's own order of operations.
#pragma once
#include "window.hpp"

namespace solartrack {

// Bound of |cheap sum - definition| where no pixel met so far exceeds `largest`
// in magnitude.
double box_mean_error(double largest);

// The definition at one pixel, bit for bit.
double box_mean_at(const RowWindow &window, std::ptrdiff_t i, std::ptrdiff_t col);

class BoxMean {
public:
    void reset(std::ptrdiff_t cols);
    std::size_t bytes() const { return columns_.capacity() * sizeof(double); }

    // Box means of row i; call for i = 0, 1, ... in turn, when the window holds
    // rows up to i + 4. All are within `error` of the definition and exact where
    // they are not beyond it, or everywhere if `exact`. `out` needs room for
    // cols + 32.
    void row(const RowWindow &window, std::ptrdiff_t i, double error, bool exact, double *out);

private:
    std::vector<double> columns_; // sums of ten rows, from column -8 on
};

} // namespace solartrack
