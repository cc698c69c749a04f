"""Networks that tell from a magnetogram patch whether the region will flare: VGG16 and small relatives.

Needs the extra ``train``. What is trained here is exported to ONNX and runs without TensorFlow.
"""
