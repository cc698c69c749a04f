#include "bindings.hpp"
#include "crop.hpp"
#include "pixels.hpp"

#include <vector>

using solartrack::PixelField;

void bind_crop(py::module_ &m) {
    m.def(
        "context_crops",
        [](const py::list &images, const py::array_t<double, py::array::c_style> &boxes, double context,
           const py::array_t<float, py::array::c_style> &mean, float scale, float fill, bool channels_last,
           py::array_t<float, py::array::c_style> &out, int threads) {
            std::vector<PixelField> views;
            views.reserve(images.size());
            for (const py::handle image : images)
                views.push_back(as_pixels(py::cast<py::array>(image), "images"));
            if (boxes.ndim() != 2 || boxes.shape(1) != 4 || out.ndim() != 4 ||
                out.shape(0) != boxes.shape(0) ||
                (views.size() != 1 && views.size() != static_cast<std::size_t>(boxes.shape(0))))
                throw py::value_error("context_crops: one box and one output for each image");
            require_aligned(boxes, "boxes");
            require_aligned(mean, "mean");
            require_aligned(out, "out");
            const int rows = channels_last ? 1 : 2;
            const solartrack::CropFormat format{out.shape(rows + 1),
                                                out.shape(rows),
                                                out.shape(channels_last ? 3 : 1),
                                                context,
                                                mean.data(),
                                                scale,
                                                fill,
                                                channels_last};
            if (mean.ndim() != 1 || mean.shape(0) != format.channels)
                throw py::value_error("context_crops: one mean for each channel");
            const double *b = boxes.data();
            float *o = out.mutable_data();
            const auto n = static_cast<std::size_t>(boxes.shape(0));
            {
                py::gil_scoped_release release; // `images` keeps the pixels alive
                solartrack::context_crops(views.data(), views.size(), b, n, format, threads, o);
            }
        },
        py::arg("images"), py::arg("boxes").noconvert(), py::arg("context"), py::arg("mean").noconvert(),
        py::arg("scale"), py::arg("fill"), py::arg("channels_last"), py::arg("out").noconvert(),
        py::arg("threads"));
}
