import json
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from astropy.time import Time

from solartrack import inference, simulate
from solartrack.inference import find_model


class Sky(NamedTuple):
    """A simulated sequence: images as `track` takes them, and {id: {frame: box}}."""

    images: list
    truth: dict


@pytest.fixture(scope="session")
def sky():
    """4 days of a simulated Sun, 16 h apart."""
    truth, images = {}, []
    for number, frame in enumerate(simulate.sequence(3, 7, "16h", size=256, output="intensity")):
        images.append((frame.array, frame.header, Time(frame.time)))
        for name, box in zip(frame.ids.tolist(), frame.boxes, strict=True):
            truth.setdefault(name, {})[number] = box
    return Sky(images, truth)


@pytest.fixture(scope="session")
def pick(sky):
    """Give the id of the region that is seen in all frames and whose first box is nearest to a place."""

    def nearest(x):
        whole = {
            n: b for n, b in sky.truth.items() if len(b) == len(sky.images) and np.diff(b[0][::2])[0] > 5
        }
        return min(whole, key=lambda n: abs(whole[n][0][[0, 2]].mean() - x))

    return nearest


@pytest.fixture(scope="session")
def wrong_models(tmp_path_factory):
    """Files that are no model for a tracker: {name: path}."""
    folder = tmp_path_factory.mktemp("models")
    shipped = find_model("goturn-lite")
    (folder / "damaged.onnx").write_bytes(shipped.read_bytes()[:-1000])
    (folder / "text.onnx").write_text("not a model")
    foreign = onnx.load(shipped)
    del foreign.metadata_props[:]
    onnx.save(foreign, folder / "foreign.onnx")
    for name, change in (
        ("convention", {"kind": "whole-image"}),
        ("sides", {"kind": "crop-pair", "side": 99}),
    ):
        other = onnx.load(shipped)
        (entry,) = (e for e in other.metadata_props if e.key == inference.KEY)
        told = json.loads(entry.value)
        told["convention"] |= change
        entry.value = json.dumps(told)
        onnx.save(other, folder / f"{name}.onnx")
    return {path.stem: path for path in folder.iterdir()}
