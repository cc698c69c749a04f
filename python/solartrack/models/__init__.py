"""Networks, their training and their way into ONNX; running them is `solartrack.inference`."""
