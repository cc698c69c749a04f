#include "bindings.hpp"
#include "crop.hpp"

#include <vector>

using solartrack::Field;
using solartrack::Image;

namespace {

template <class T> Field<T> field(const py::array &a) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    return {static_cast<const T *>(a.data()), a.shape(0), a.shape(1), a.strides(0) / size,
            a.strides(1) / size};
}

Image image_of(const py::array &a) {
    const py::dtype type = a.dtype();
    const auto size = type.itemsize();
    if (a.ndim() != 2 || a.size() == 0 || a.strides(0) % size != 0 || a.strides(1) % size != 0)
        throw py::value_error("context_crops: images must be 2-D, not empty, with strides of whole pixels");
    switch (type.kind()) {
    case 'u':
        if (size == 1)
            return field<std::uint8_t>(a);
        if (size == 2)
            return field<std::uint16_t>(a);
        break;
    case 'i':
        if (size == 2)
            return field<std::int16_t>(a);
        if (size == 4)
            return field<std::int32_t>(a);
        break;
    case 'f':
        if (size == 4)
            return field<float>(a);
        if (size == 8)
            return field<double>(a);
        break;
    }
    throw py::type_error("context_crops: unsupported pixel type");
}

} // namespace

void bind_crop(py::module_ &m) {
    m.def(
        "context_crops",
        [](const py::list &images, const py::array_t<double, py::array::c_style> &boxes, double context,
           const py::array_t<float, py::array::c_style> &mean, float scale, float fill, bool channels_last,
           py::array_t<float, py::array::c_style> &out, int threads) {
            std::vector<Image> views;
            views.reserve(images.size());
            for (const py::handle image : images)
                views.push_back(image_of(py::cast<py::array>(image)));
            if (boxes.ndim() != 2 || boxes.shape(1) != 4 || out.ndim() != 4 ||
                out.shape(0) != boxes.shape(0) ||
                (views.size() != 1 && views.size() != static_cast<std::size_t>(boxes.shape(0))))
                throw py::value_error("context_crops: one box and one output for each image");
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
