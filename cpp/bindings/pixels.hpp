// The one converter of arrays into views: pixel types, shapes and alignment.
// The Python side (_arrays.py) has made arrays that pass; what does not is a
// mistake there and refused: a kernel would read out of bounds.
#pragma once
#include "bindings.hpp"
#include "field.hpp"

#include <string>

inline void require_aligned(const py::array &a, const char *name) {
    if ((a.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0)
        throw py::value_error(std::string(name) + " must be aligned in memory; copy it first");
}

template <class T> solartrack::Field<T> field_of(const py::array &a) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    return {static_cast<const T *>(a.data()), a.shape(0), a.shape(1), a.strides(0) / size,
            a.strides(1) / size};
}

inline solartrack::PixelField as_pixels(const py::array &a, const char *name) {
    const auto size = a.itemsize();
    if (a.ndim() != 2 || a.size() == 0 || a.strides(0) % size != 0 || a.strides(1) % size != 0)
        throw py::value_error(std::string(name) + " must be 2-D, not empty, with strides of whole pixels");
    require_aligned(a, name);
    const py::dtype type = a.dtype();
    if (type.equal(py::dtype::of<std::uint8_t>()))
        return field_of<std::uint8_t>(a);
    if (type.equal(py::dtype::of<std::uint16_t>()))
        return field_of<std::uint16_t>(a);
    if (type.equal(py::dtype::of<std::int16_t>()))
        return field_of<std::int16_t>(a);
    if (type.equal(py::dtype::of<std::int32_t>()))
        return field_of<std::int32_t>(a);
    if (type.equal(py::dtype::of<float>()))
        return field_of<float>(a);
    if (type.equal(py::dtype::of<double>()))
        return field_of<double>(a);
    throw py::type_error(std::string(name) + " must have a pixel type that kernels read");
}
