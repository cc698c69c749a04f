#include "bindings.hpp"
#include "boxes.hpp"
#include "pixels.hpp"

using Doubles = py::array_t<double, py::array::c_style>;
using solartrack::Overlap;

void bind_boxes(py::module_ &m) {
    py::native_enum<Overlap>(m, "Overlap", "enum.Enum")
        .value("IOU", Overlap::iou)
        .value("GIOU", Overlap::giou)
        .value("DIOU", Overlap::diou)
        .value("CIOU", Overlap::ciou)
        .value("COVERAGE", Overlap::coverage)
        .value("AREA_RATIO", Overlap::area_ratio)
        .finalize();

    m.def(
        "overlap_pairs",
        [](Overlap kind, const Doubles &a, const Doubles &b) {
            if (a.ndim() != 2 || a.shape(1) != 4 || b.ndim() != 2 || b.shape(1) != 4 ||
                a.shape(0) != b.shape(0))
                throw py::value_error("overlap_pairs: both arrays must have the same shape (n, 4)");
            require_aligned(a, "a");
            require_aligned(b, "b");
            py::array_t<double> out(a.shape(0));
            const double *pa = a.data(), *pb = b.data();
            double *po = out.mutable_data();
            const auto n = static_cast<std::size_t>(a.shape(0));
            {
                py::gil_scoped_release release; // only raw pointers from here on
                solartrack::overlap_pairs(kind, pa, pb, n, po);
            }
            return out;
        },
        py::arg("kind"), py::arg("a").noconvert(), py::arg("b").noconvert());

    m.def(
        "overlap_matrix",
        [](Overlap kind, const Doubles &a, const Doubles &b, int threads) {
            if (a.ndim() != 2 || a.shape(1) != 4 || b.ndim() != 2 || b.shape(1) != 4)
                throw py::value_error("overlap_matrix: both arrays must have shape (n, 4)");
            require_aligned(a, "a");
            require_aligned(b, "b");
            py::array_t<double> out({a.shape(0), b.shape(0)});
            const double *pa = a.data(), *pb = b.data();
            double *po = out.mutable_data();
            const auto n = static_cast<std::size_t>(a.shape(0));
            const auto k = static_cast<std::size_t>(b.shape(0));
            {
                py::gil_scoped_release release;
                solartrack::overlap_matrix(kind, pa, n, pb, k, threads, po);
            }
            return out;
        },
        py::arg("kind"), py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("threads"));
}
