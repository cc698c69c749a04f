"""A region tracked alone and among 31 others gets the same rows, from every kind of file."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import simulate, tracking
from solartrack.coordinates import ImageGeometry

XYXY = ["x0", "y0", "x1", "y1"]
SIZE, COUNT = 512, 32


@pytest.fixture(scope="module")
def sun():
    """Three images of a day, and where the Sun is in them: row 0 is the southernmost."""
    model = simulate.SunModel(16, n_regions=20, days=1.0)
    return list(simulate.sequence(model, 3, "12h", size=SIZE, output="intensity"))


def save(frame, path, kind):
    bright = np.clip(np.sqrt(np.maximum(frame.array, 0.0)) * 5.0, 0, 255).astype(np.uint8)
    if kind == "fits":
        fits.writeto(path.with_suffix(".fits"), frame.array, frame.header)
    elif kind == "jp2-16bit":
        deep = np.clip(frame.array, 0, 65535).astype(np.uint16)
        Image.fromarray(deep).save(path.with_suffix(".jp2"), irreversible=False)
    else:
        Image.fromarray(bright).save(path.with_suffix(f".{kind}"))


@pytest.fixture(scope="module")
def boxes(sun):
    """Regions in the middle and at the limb, and boxes of any size around places on the disk."""
    rng = np.random.default_rng(5)
    disk = ImageGeometry.from_header(sun[0].header)
    known = sun[0].boxes[(sun[0].boxes[:, 2:] - sun[0].boxes[:, :2]).min(axis=1) > 3]
    centre, radius = disk.disk_center, disk.disk_radius
    drawn = []
    while len(drawn) < COUNT - len(known):
        place = centre + 0.85 * radius * rng.uniform(-0.7, 0.7, 2)
        half = 0.5 * rng.uniform(4, 90, 2)
        drawn.append([*(place - half), *(place + half)])
    return np.concatenate([known, drawn])[:COUNT]


@pytest.mark.parametrize("kind", ["png", "fits", "jp2", "jp2-16bit"])
@pytest.mark.parametrize("tracker", ["solar", "goturn", "rectangle", "rotation"])
def test_a_region_alone_gets_the_rows_it_gets_among_31_others(sun, boxes, tmp_path, kind, tracker):
    for number, frame in enumerate(sun):
        save(frame, tmp_path / f"sun_{number}", kind)
    how = {
        "tracker": tracker,
        "times": [frame.time.isoformat() for frame in sun],
        "geometry": [ImageGeometry.from_header(frame.header) for frame in sun],
    }
    together = tracking.track_many(tmp_path, boxes, **how)
    compared = 0
    for number in range(0, COUNT, 3):
        alone = tracking.track(tmp_path, boxes[number], **how)
        among = together[together["id"] == number].drop(columns="id").reset_index(drop=True)
        kept = among["state"] != "merged"  # alone there is nothing to merge with
        compared += int(kept.sum())
        pd.testing.assert_frame_equal(
            among[kept].drop(columns=[*XYXY, "score"]), alone[kept].drop(columns=[*XYXY, "score"])
        )
        np.testing.assert_allclose(
            among.loc[kept, [*XYXY, "score"]], alone.loc[kept, [*XYXY, "score"]], rtol=0, atol=1e-9
        )
    assert compared > COUNT / 3 * 2
