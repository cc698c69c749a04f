#pragma once
#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

void bind_boxes(py::module_ &m);
void bind_crop(py::module_ &m);
void bind_complexity(py::module_ &m);
void bind_sharp(py::module_ &m);
