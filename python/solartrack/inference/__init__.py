"""Running networks with ONNX Runtime, on the CPU or on a CUDA device.

A model file states how its inputs are made (its *convention*) and what it was trained on; files that do
not are refused. The device that is reported is the one that computes: ONNX Runtime falls back to the CPU
without a warning, so every session is checked.
"""

from solartrack.inference.conventions import KINDS, Convention, CropPair, FeatureTable, MagnetogramPatch
from solartrack.inference.model import (
    FORMAT,
    KEY,
    SHIPPED,
    Model,
    ModelInfo,
    _load_once,  # noqa: F401  (tests clear this cache)
    find_model,
    load_model,
)

__all__ = [
    "FORMAT",
    "KEY",
    "KINDS",
    "SHIPPED",
    "Convention",
    "CropPair",
    "FeatureTable",
    "MagnetogramPatch",
    "Model",
    "ModelInfo",
    "find_model",
    "load_model",
]
