// The last rows of a patch as doubles with zero margins, so that the stencils
// (Sobel, 10 x 10 box) meet no borders and read from cache: the patch is read
// once, row by row, whatever its type and strides.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace solartrack {

class RowWindow {
public:
    static constexpr std::ptrdiff_t depth = 16; // a power of two, at least 11 (see box_mean_at)
    static constexpr std::ptrdiff_t margin = 8; // columns of zeros on the left; the box needs 5
    static constexpr std::ptrdiff_t slack = 64; // on the right: the box's 4, and whole vector strips

    void reset(std::ptrdiff_t cols) {
        cols_ = cols;
        pitch_ = margin + (cols + 15) / 16 * 16 + slack;
        values_.assign(static_cast<std::size_t>(depth * pitch_), 0.0);
    }

    std::ptrdiff_t cols() const { return cols_; }

    // Row i, valid from margin columns before 0 to slack after the end. Rows
    // before the first one pushed are zero.
    const double *row(std::ptrdiff_t i) const { return values_.data() + (i & (depth - 1)) * pitch_ + margin; }

    // Where to write the pixels of row i; it replaces row i - depth.
    double *slot(std::ptrdiff_t i) { return values_.data() + (i & (depth - 1)) * pitch_ + margin; }

    void push_zero(std::ptrdiff_t i) { std::fill_n(slot(i), cols_, 0.0); }

private:
    std::ptrdiff_t cols_ = 0, pitch_ = 0;
    std::vector<double> values_;
};

} // namespace solartrack
