// solartrack._core, a table of contents. Arrays arrive checked by the Python
// side (_arrays.py), which owns the messages; bindings only unpack them.
#include "bindings.hpp"

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "C++ kernels of solartrack; use the Python functions that wrap them.";
    bind_boxes(m);
    bind_crop(m);
    bind_complexity(m);
    bind_sharp(m);
}
