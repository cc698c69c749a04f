"""Networks: building, training and exporting them to ONNX. They are run by `solartrack.inference`.

`training` holds what every training run needs, `export` writes ONNX files.
"""
