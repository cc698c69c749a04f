"""Files of support vector machines: skops, whose content is built from a list of types, never run."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from solartrack import _files
from solartrack._optional import require
from solartrack.errors import ModelError
from solartrack.flares.feature_sets import feature_names
from solartrack.flares.published import refuse_old_model
from solartrack.flares.svm import SvmModel

__all__ = ["FORMAT", "load", "probes", "save"]

#: Version of the content of a file.
FORMAT = 1

_KEYS = {"solartrack", "pipeline", "calibrator"}
_SAID = [field.name for field in fields(SvmModel) if field.name not in _KEYS]
_STEPS = {
    "scale": ("MinMaxScaler", "FrozenEstimator"),
    "power": ("PowerTransformer",),
    "rescale": ("MinMaxScaler",),
    "map": ("Nystroem",),
    "machine": ("SVC", "LinearSVC"),
}


def save(model: SvmModel, path: str | os.PathLike[str]) -> None:
    """As `SvmModel.save` says."""
    if Path(path).suffix != ".skops":
        raise ValueError(f"path must end in .skops, got {os.fspath(path)}")
    skops = require("skops.io", extra="flares", purpose="storing support vector machines")
    rows = probes(model, 16)
    said = {name: getattr(model, name) for name in _SAID}
    check = {"features": rows.tolist(), "probability": model.predict_proba(rows).tolist()}
    text = json.dumps({"format": FORMAT, **said, "check": check})
    content = {"solartrack": text, "pipeline": model.pipeline, "calibrator": model.calibrator}
    _files.write_bytes(path, skops.dumps(content, compression=zipfile.ZIP_DEFLATED))


def probes(model: SvmModel, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rows to compare two forms of a model on: within the range of its training, and a little beyond."""
    scale = model.pipeline.named_steps["scale"]
    at = np.random.default_rng(0).uniform(-0.1, 1.1, (n, len(model.feature_names)))
    low, high = scale.data_min_, scale.data_max_
    rows: np.ndarray[Any, np.dtype[np.float64]] = low + at * (high - low)
    return rows


def load(path: str | os.PathLike[str]) -> SvmModel:
    """As `SvmModel.load` says."""
    skops = require("skops.io", extra="flares", purpose="reading support vector machines")
    require("sklearn", extra="flares", purpose="running support vector machines")
    refuse_old_model(path)
    if Path(path).suffix == ".onnx":
        raise ModelError(f"{path} is an exported model; run it with solartrack.inference.Model.load")
    with open(path, "rb") as file:
        data = file.read()
    foreign = f"{path} is not a model that solartrack.flares.svm wrote"
    try:
        unknown = skops.get_untrusted_types(data=data)
    except Exception as error:  # a damaged file may raise anything
        raise ModelError(f"{foreign}, or it is damaged: {error}; train again and save") from error
    if unknown:
        raise ModelError(f"{foreign}: it holds {', '.join(sorted(unknown))[:200]}, and was not read")
    with warnings.catch_warnings():
        # Of another release of scikit-learn: whether it matters is seen below.
        warnings.simplefilter("ignore")
        try:
            content = skops.loads(data, trusted=[])
        except Exception as error:  # as above
            raise ModelError(f"{foreign}, or it is damaged: {error}; train again and save") from error
    if not isinstance(content, dict) or set(content) != _KEYS or not isinstance(content["solartrack"], str):
        raise ModelError(f"{foreign}: its content is another; train again and save")
    try:
        said = json.loads(content["solartrack"])
        written = said.pop("format")
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} is damaged: {error}; train again and save") from error
    if written != FORMAT:
        raise ModelError(
            f"{path} has format {written}, this solartrack reads {FORMAT}; install the version that wrote "
            "it, or train again"
        )
    return _checked(path, said, content["pipeline"], content["calibrator"])


def _checked(path: str | os.PathLike[str], said: Any, pipeline: Any, calibrator: Any) -> SvmModel:
    """The model, once its parts are known to be ours and to compute what they did."""
    from sklearn.pipeline import Pipeline

    kinds = {name: type(step).__name__ for name, step in getattr(pipeline, "steps", ())}
    if (
        type(pipeline) is not Pipeline
        or not {"scale", "machine"} <= set(kinds)
        or not all(kind in _STEPS.get(name, ()) for name, kind in kinds.items())
        or type(calibrator).__name__ not in ("LogisticRegression", "IsotonicRegression")
    ):
        raise ModelError(
            f"{path} is not a model of solartrack.flares.svm: it holds {kinds or type(pipeline)}"
        )
    try:
        check = said.pop("check")
        said["feature_names"] = tuple(said["feature_names"])
        model = SvmModel(**said, pipeline=pipeline, calibrator=calibrator)
        if model.feature_names != feature_names(model.feature_set):
            raise ValueError(f"the set {model.feature_set!r} has other features here; train again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = model.predict_proba(np.array(check["features"]))
        apart = float(np.abs(got - check["probability"]).max())
        if not apart <= 1e-9:
            raise ValueError(
                f"its probabilities are off by {apart:.2g} here; install the scikit-learn that it was "
                "trained with, or train again"
            )
    except Exception as error:  # scikit-learn raises anything where an attribute is missing
        raise ModelError(f"{path} cannot be used: {error}") from error
    return model
