"""A model file that differs from another one in a weight, and says so."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx

from solartrack.inference import KEY


def another_model(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights) * np.float32(0.99)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    (entry,) = (e for e in model.metadata_props if e.key == KEY)
    told = json.loads(entry.value)
    told["sha256"] = hashlib.sha256(weights.raw_data).hexdigest()
    entry.value = json.dumps(told)
    onnx.save(model, target)
    return target
