// A 2-D view of someone else's pixels. Strides are in elements, so a column
// slice, a reversed axis or a Fortran-ordered array needs no copy.
#pragma once
#include <cstddef>
#include <cstdint>
#include <variant>

namespace solartrack {

template <class T> struct Field {
    const T *data = nullptr;
    std::ptrdiff_t rows = 0;
    std::ptrdiff_t cols = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t col_stride = 1;

    const T &operator()(std::ptrdiff_t row, std::ptrdiff_t col) const {
        return data[row * row_stride + col * col_stride];
    }
    const T *row(std::ptrdiff_t r) const { return data + r * row_stride; }
};

// A view of any pixel type that kernels read without a copy.
using PixelField = std::variant<Field<std::uint8_t>, Field<std::uint16_t>, Field<std::int16_t>,
                                Field<std::int32_t>, Field<float>, Field<double>>;

} // namespace solartrack
