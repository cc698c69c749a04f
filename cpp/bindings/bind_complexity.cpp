#include "bindings.hpp"
#include "complexity/complexity.hpp"
#include "pixels.hpp"

#include <algorithm>
#include <pybind11/stl.h>
#include <utility>
#include <vector>

using solartrack::ComplexityOutcome;
using solartrack::ComplexityProducts;
using solartrack::PatchProblem;
using solartrack::PixelField;

namespace {

py::list contour_arrays(const ComplexityProducts &products) {
    py::list contours;
    for (std::size_t k = 0; k + 1 < products.offsets.size(); ++k) {
        const std::size_t first = products.offsets[k], last = products.offsets[k + 1];
        py::array_t<double> points({static_cast<py::ssize_t>(last - first), py::ssize_t{2}});
        std::copy(products.points.begin() + static_cast<std::ptrdiff_t>(2 * first),
                  products.points.begin() + static_cast<std::ptrdiff_t>(2 * last), points.mutable_data());
        contours.append(std::move(points));
    }
    return contours;
}

// (features, NaN pixels, problem, products or None)
py::tuple complexity_of(const py::array &patch, double zero, bool nan_as_zero, bool want_products) {
    const PixelField field = as_pixels(patch, "patch");
    py::array_t<double> features(solartrack::complexity_features);
    double *out = features.mutable_data();
    py::object products = py::none();
    ComplexityOutcome outcome;
    if (!want_products) {
        py::gil_scoped_release release; // only raw pointers from here on
        outcome = solartrack::complexity(field, zero, nan_as_zero, out);
    } else {
        const std::vector<py::ssize_t> shape{patch.shape(0), patch.shape(1)};
        py::array_t<double> gradient(shape), smoothed(shape);
        py::array_t<bool> line(shape), strong(shape);
        ComplexityProducts made;
        made.gradient = gradient.mutable_data();
        made.smoothed = smoothed.mutable_data();
        made.neutral_line = reinterpret_cast<std::uint8_t *>(line.mutable_data());
        made.strong = reinterpret_cast<std::uint8_t *>(strong.mutable_data());
        {
            py::gil_scoped_release release;
            outcome = solartrack::complexity(field, zero, nan_as_zero, out, &made);
        }
        products = py::make_tuple(gradient, smoothed, contour_arrays(made), line, strong);
    }
    return py::make_tuple(features, outcome.nan_pixels, outcome.problem, products);
}

// (features, NaN pixels per patch, problem per patch)
py::tuple complexity_of_all(const std::vector<py::array> &patches, double zero, bool nan_as_zero,
                            int threads) {
    std::vector<PixelField> fields;
    fields.reserve(patches.size());
    for (const py::array &patch : patches)
        fields.push_back(as_pixels(patch, "patch"));
    const auto n = static_cast<py::ssize_t>(fields.size());
    py::array_t<double> features({n, static_cast<py::ssize_t>(solartrack::complexity_features)});
    std::vector<ComplexityOutcome> outcomes(fields.size());
    double *out = features.mutable_data();
    {
        py::gil_scoped_release release;
        solartrack::complexity_batch(fields, zero, nan_as_zero, threads, out, outcomes.data());
    }
    py::array_t<std::int64_t> nan_pixels(n);
    std::vector<PatchProblem> problems;
    for (py::ssize_t k = 0; k < n; ++k) {
        nan_pixels.mutable_at(k) =
            static_cast<std::int64_t>(outcomes[static_cast<std::size_t>(k)].nan_pixels);
        problems.push_back(outcomes[static_cast<std::size_t>(k)].problem);
    }
    return py::make_tuple(features, nan_pixels, problems);
}

} // namespace

void bind_complexity(py::module_ &m) {
    py::native_enum<PatchProblem>(m, "PatchProblem", "enum.Enum")
        .value("NONE", PatchProblem::none)
        .value("NAN", PatchProblem::nan)
        .value("INFINITE", PatchProblem::infinite)
        .value("TOO_LARGE", PatchProblem::too_large)
        .finalize();

    py::tuple names(static_cast<py::ssize_t>(solartrack::complexity_features));
    for (int k = 0; k < solartrack::complexity_features; ++k)
        names[static_cast<py::size_t>(k)] = solartrack::complexity_names[k];
    m.attr("COMPLEXITY_NAMES") = names;

    m.def("complexity", &complexity_of, py::arg("patch"), py::arg("zero"), py::arg("nan_as_zero"),
          py::arg("products"));

    m.def("complexity_batch", &complexity_of_all, py::arg("patches"), py::arg("zero"), py::arg("nan_as_zero"),
          py::arg("threads"));
}
