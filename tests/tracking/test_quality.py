"""What docs/tracking.md says of the shipped network, as far as a test has time for it."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from solartrack import simulate
from solartrack.inference import Model, find_model

HARNESS = Path(__file__).resolve().parents[2] / "benchmarks/tracking_quality.py"


@pytest.fixture(scope="module")
def quality():
    """The harness that the documentation's figures come from."""
    if not HARNESS.exists():
        pytest.skip("needs benchmarks/tracking_quality.py, which comes with a checkout only")
    spec = importlib.util.spec_from_file_location("tracking_quality", HARNESS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def solar(quality, shared):
    return quality.harp7269("solar", shared=shared)


def test_default_tracker_follows_harp_7269(solar):
    assert solar["66"]["mean_iou"] >= 0.82


def test_default_tracker_follows_harp_7269_from_the_limb(solar):
    assert solar["6"]["mean_iou"] >= 0.66
    assert solar["6"]["success"] >= 0.85


def test_default_tracker_beats_the_published_one_on_harp_7269(quality, shared, solar):
    theirs = quality.published(shared)
    for start in ("66", "6"):
        assert solar[start]["frames"] == theirs[start]["frames"]
        assert solar[start]["mean_iou"] > theirs[start]["mean_iou"]
        assert solar[start]["success"] > theirs[start]["success"]


def test_default_tracker_is_far_better_than_rotation_from_the_limb(quality, shared, solar):
    rotation = quality.harp7269("rotation", shared=shared)["6"]
    assert solar["6"]["mean_iou"] > rotation["mean_iou"] + 0.1
    assert solar["6"]["success"] > rotation["success"] + 0.2


@pytest.mark.parametrize(
    "variant",
    [
        "every 2nd image (8 h)",
        "every 3rd image (12 h)",
        "mirrored east-west",
        "reversed in time",
        "512 pixels",
    ],
)
def test_default_tracker_does_not_collapse_on_variants_of_harp_7269(quality, shared, variant):
    assert quality.harp7269("solar", variant, shared=shared)["66"]["mean_iou"] >= 0.75


@pytest.mark.parametrize(
    "variant",
    [
        "every 2nd image (8 h)",
        "every 3rd image (12 h)",
        "mirrored east-west",
        "reversed in time",
        "512 pixels",
    ],
)
def test_default_tracker_does_not_collapse_on_variants_from_the_limb(quality, shared, variant):
    assert quality.harp7269("solar", variant, shared=shared)["6"]["mean_iou"] >= 0.6


def test_mirrored_image_is_mirrored_with_its_geometry(quality, shared):
    """Rotation alone, which looks at the geometry only, finds the same."""
    plain, mirrored = (
        quality.harp7269("rotation", v, shared=shared)["66"]["ious"] for v in ("as is", "mirrored east-west")
    )
    np.testing.assert_allclose(mirrored, plain, atol=1e-6)


@pytest.fixture(scope="module")
def holdout(quality, tmp_path_factory):
    """Some dozen short sequences at half size."""
    return quality.simulated_holdout(
        120,
        data=tmp_path_factory.mktemp("holdout"),
        frames=9,
        size=512,
    )


@pytest.mark.xfail(
    strict=True,
    reason="simulated regions change little: a box that keeps its area on the Sun is nearly right",
)
def test_default_tracker_beats_rotation_where_regions_have_a_motion_of_their_own(holdout):
    found = holdout["start"]["exact"]["all"]
    assert found["events"] == 120
    assert found["differences"]["solar - rotation"]["low"] > 0


@pytest.mark.xfail(
    strict=True, reason="where true boxes never change, following what is seen costs more than it mends"
)
def test_network_mends_start_boxes_that_are_off(holdout):
    """A tracker that only rotates keeps the error; exact boxes leave the network little to do here."""
    assert holdout["start"]["disturbed"]["all"]["differences"]["solar - rectangle"]["mean"] > 0


def test_spoilt_images_are_noticed(holdout):
    found = holdout["spoilt"]
    assert found["spoilt_rows"] > 50
    assert found["spoilt_flagged"] >= 0.9
    assert found["good_flagged"] <= 0.1


def test_held_out_seeds_are_not_those_of_the_training(quality, holdout):
    data = Model.load(find_model("goturn-lite"), device="cpu").info.training["data"]
    used = set(range(data["simulated"]["seeds"][0], sum(data["simulated"]["seeds"])))
    used |= set(range(data["held_out"]["seeds"][0], sum(data["held_out"]["seeds"])))
    assert used and not used & set(holdout["seeds"])


def test_held_out_regions_do_not_keep_to_the_rotation_law_but_those_that_merge_stay_together(quality):
    plain = simulate.SunModel(3, n_regions=30, days=10.0, merging=0.6)
    moved = quality.with_proper_motions(plain, np.random.default_rng(1))
    extra = {
        a.id: a.drift_deg_day - b.drift_deg_day for a, b in zip(moved.regions, plain.regions, strict=True)
    }
    assert np.std(list(extra.values())) == pytest.approx(quality.PROPER_MOTION, rel=0.5)
    assert plain.merges == moved.merges and plain.merges

    def apart(model, merge):
        by_id = {r.id: r for r in model.regions}
        return by_id[merge.kept].lon_at(merge.days) - by_id[merge.absorbed].lon_at(merge.days)

    for merge in plain.merges:
        assert extra[merge.kept] == extra[merge.absorbed]
        assert apart(moved, merge) == pytest.approx(apart(plain, merge), abs=1e-9)


def test_shipped_network_is_small_and_has_not_seen_harp_7269():
    file = find_model("goturn-lite")
    assert file.stat().st_size < 8e6
    training = Model.load(file, device="cpu").info.training
    assert training["data"]["ann"] == [] and training["data"]["tables"] == []
    assert "7269" not in json.dumps(training["data"])
    # Its frames are named by their numbers.
    assert not [name for name in training["data"]["stills"] if Path(name).stem.isdigit()]
