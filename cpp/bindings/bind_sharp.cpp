#include "bindings.hpp"
#include "sharp/sharp.hpp"

#include <array>
#include <optional>
#include <pybind11/stl.h>
#include <variant>

using solartrack::FieldSums;
using solartrack::PixelSum;
using solartrack::PlaneShape;
using solartrack::VectorPlanes;
using solartrack::VectorSums;

namespace {

// Arrays as the Python side makes them; another type or order is refused, not copied.
using Plane = py::array_t<double, py::array::c_style>;
using Mask = py::array_t<bool, py::array::c_style>;

PlaneShape shape_of(const py::array &a) {
    if (a.ndim() != 2)
        throw py::value_error("planes must be 2-D");
    return {a.shape(0), a.shape(1)};
}

template <class Array> auto data_of(const Array &a, PlaneShape shape) {
    if (a.ndim() != 2 || a.shape(0) != shape.rows || a.shape(1) != shape.cols)
        throw py::value_error("planes must have the same shape");
    return a.data();
}

const std::uint8_t *mask_of(const Mask &mask, PlaneShape shape) {
    return reinterpret_cast<const std::uint8_t *>(data_of(mask, shape));
}

// (sum, variance, pixels)
py::tuple as_tuple(const PixelSum &sum) {
    return py::make_tuple(sum.sum, sum.variance, sum.pixels);
}

// (|b|, |grad b|)
py::tuple field_sums(const Plane &b, const std::optional<Plane> &error, const Mask &mask, bool skip_level) {
    const PlaneShape shape = shape_of(b);
    const double *values = b.data(), *errors = error ? data_of(*error, shape) : nullptr;
    const std::uint8_t *inside = mask_of(mask, shape);
    FieldSums sums;
    {
        py::gil_scoped_release release;
        sums = solartrack::field_sums(shape, values, errors, inside, skip_level);
    }
    return py::make_tuple(as_tuple(sums.magnitude), as_tuple(sums.gradient));
}

// `potential` is a scalar one, whose rows may lie apart, or a pair of components, to the west and to the
// north.
py::dict vector_sums(const Plane &west, const Plane &south, const Plane &up,
                     const std::variant<py::array_t<double>, std::array<Plane, 2>> &potential,
                     const std::optional<std::array<Plane, 3>> &errors, const Mask &mask) {
    VectorPlanes planes;
    planes.shape = shape_of(west);
    planes.west = west.data();
    planes.south = data_of(south, planes.shape);
    planes.up = data_of(up, planes.shape);
    if (const auto *scalar = std::get_if<py::array_t<double>>(&potential)) {
        constexpr auto size = static_cast<py::ssize_t>(sizeof(double));
        planes.scalar_potential = data_of(*scalar, planes.shape);
        if (scalar->strides(1) != size || scalar->strides(0) % size != 0)
            throw py::value_error("potential must have adjacent columns");
        planes.scalar_stride = scalar->strides(0) / size;
    } else {
        const auto &components = std::get<std::array<Plane, 2>>(potential);
        planes.potential_west = data_of(components[0], planes.shape);
        planes.potential_north = data_of(components[1], planes.shape);
    }
    if (errors) {
        planes.error_west = data_of((*errors)[0], planes.shape);
        planes.error_south = data_of((*errors)[1], planes.shape);
        planes.error_up = data_of((*errors)[2], planes.shape);
    }
    planes.mask = mask_of(mask, planes.shape);
    VectorSums sums;
    {
        py::gil_scoped_release release;
        sums = solartrack::vector_sums(planes);
    }
    py::dict named;
    named["inclination"] = as_tuple(sums.inclination);
    named["total_gradient"] = as_tuple(sums.total_gradient);
    named["horizontal_gradient"] = as_tuple(sums.horizontal_gradient);
    named["current"] = as_tuple(sums.current);
    named["unsigned_current"] = sums.unsigned_current;
    named["current_up"] = sums.current_up;
    named["current_down"] = sums.current_down;
    named["variance_up_down"] = sums.variance_up_down;
    named["helicity"] = as_tuple(sums.helicity);
    named["unsigned_helicity"] = sums.unsigned_helicity;
    named["vertical_square"] = sums.vertical_square;
    named["variance_of_current"] = sums.variance_of_current;
    named["variance_jz_jz"] = sums.variance_jz_jz;
    named["variance_bz_jz"] = sums.variance_bz_jz;
    named["variance_bz_bz"] = sums.variance_bz_bz;
    named["free_energy"] = as_tuple(sums.free_energy);
    named["shear"] = as_tuple(sums.shear);
    named["sheared"] = sums.sheared;
    return named;
}

} // namespace

void bind_sharp(py::module_ &m) {
    m.def("field_sums", &field_sums, py::arg("b").noconvert(), py::arg("error").noconvert(),
          py::arg("mask").noconvert(), py::arg("skip_level"));
    m.def("vector_sums", &vector_sums, py::arg("west").noconvert(), py::arg("south").noconvert(),
          py::arg("up").noconvert(), py::arg("potential").noconvert(), py::arg("errors").noconvert(),
          py::arg("mask").noconvert());
}
