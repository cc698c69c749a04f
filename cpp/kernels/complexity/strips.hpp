// Rows in strips: a loop over a strip keeps one running value for each place in it, so that compilers turn it
// into vectors of whatever width the processor has. A plain sum over a row they may not reorder, and vector
// types wider than the processor's are taken apart into single values by gcc 12.
#pragma once
#include "compiler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace solartrack {

template <std::ptrdiff_t width> using Strip = std::array<double, width>;

// Calls f(first column, count) for each strip of a row; all but the last have `width` columns. Inlined, so
// that the loops in f are compiled for the same processor as its caller, and for a constant count.
template <std::ptrdiff_t width, class F> SOLARTRACK_INLINE void each_strip(std::ptrdiff_t cols, F f) {
    std::ptrdiff_t j = 0;
    for (; j + width <= cols; j += width)
        f(j, width);
    if (j < cols)
        f(j, cols - j);
}

template <std::ptrdiff_t width> SOLARTRACK_INLINE Strip<width> all(double value) {
    Strip<width> v;
    for (std::ptrdiff_t l = 0; l < width; ++l)
        v[l] = value;
    return v;
}

// Of all places, those far apart first: these are loops over neighbours, too.
template <std::size_t width, class F> SOLARTRACK_INLINE double fold(const std::array<double, width> &v, F f) {
    std::array<double, width / 2> half;
    for (std::size_t l = 0; l < width / 2; ++l)
        half[l] = f(v[l], v[l + width / 2]);
    if constexpr (width == 2)
        return half[0];
    else
        return fold(half, f);
}
template <class S> SOLARTRACK_INLINE double sum(const S &v) {
    return fold(v, [](double a, double b) { return a + b; });
}
template <class S> SOLARTRACK_INLINE double smallest(const S &v) {
    return fold(v, [](double a, double b) { return b < a ? b : a; });
}
template <class S> SOLARTRACK_INLINE double largest(const S &v) {
    return fold(v, [](double a, double b) { return b > a ? b : a; });
}

} // namespace solartrack
