import numpy as np
import pandas as pd
import pytest
from PIL import Image

from solartrack.errors import ImageError
from solartrack.features import COMPLEXITY_NAMES, complexity, physical
from solartrack.flares import format_name
from solartrack.flares.feature_sets import FEATURE_SETS, as_matrix, feature_names, measure
from solartrack.simulate import flaring_patches

SHARP = feature_names("sharp")


def table(n=3):
    return pd.DataFrame(np.arange(4.0 * n).reshape(n, 4), columns=list(SHARP))


def test_no_name_of_a_feature_is_in_two_sets():
    names = [name for one in FEATURE_SETS.values() for name in one]
    assert len(set(names)) == len(names)


def test_a_union_has_the_columns_of_its_sets_in_their_order():
    assert feature_names("complexity") == COMPLEXITY_NAMES
    assert feature_names("sharp+flare_index") == (*SHARP, "FLARE_INDEX")
    assert feature_names("flare_index+sharp") == ("FLARE_INDEX", *SHARP)


@pytest.mark.parametrize("wrong", ["", "all", "sharp+", "sharp+sharp", "Sharp", None, 3, ["sharp"]])
def test_an_unknown_set_is_refused_with_the_known_ones(wrong):
    with pytest.raises(ValueError, match="feature_set must be one of complexity, physical, sharp"):
        feature_names(wrong)


def test_columns_are_taken_by_name_and_others_are_ignored():
    mixed = table()[list(SHARP[::-1])].assign(region=7, note="x")
    np.testing.assert_array_equal(as_matrix(mixed, SHARP, "sharp"), table().to_numpy())


def test_features_of_another_set_are_refused_by_its_name():
    other = pd.DataFrame(np.ones((2, 29)), columns=list(COMPLEXITY_NAMES))
    with pytest.raises(
        ValueError, match=r"set 'sharp' were wanted, the table lacks 4 of 4 .* it has the set complexity"
    ):
        as_matrix(other, SHARP, "sharp")


@pytest.mark.parametrize(
    ("features", "kind", "message"),
    [
        (np.ones((2, 5)), ValueError, r"must have shape \(n, 4\), got \(2, 5\)"),
        (np.ones(4), ValueError, r"must have shape \(n, 4\), got \(4,\)"),
        (np.full((1, 4), "a"), TypeError, "array of numbers"),
        (table().drop(columns="AREA"), ValueError, "lacks 1 of 4 columns, such as 'AREA'"),
        (pd.concat([table(), table()[["AREA"]]], axis=1), ValueError, "'AREA' more than once"),
        (table().assign(AREA="1"), TypeError, "'AREA' must hold numbers"),
        (table().assign(AREA=[1.0, np.nan, np.nan]), ValueError, "2 of 3 rows are not: row 1 has AREA = nan"),
        (table().assign(AREA=[1.0, np.inf, 2.0]), ValueError, "row 1 has AREA = inf"),
        (table().assign(AREA=pd.array([1, None, 2], "Int64")), ValueError, "row 1 has AREA = nan"),
    ],
)
def test_what_is_no_table_of_the_features_is_refused(features, kind, message):
    with pytest.raises(kind, match=message):
        as_matrix(features, SHARP, "sharp")


def test_no_rows_are_no_rows():
    assert as_matrix(table(0), SHARP, "sharp").shape == (0, 4)


def test_features_of_a_patch_are_those_of_the_room_features(tmp_path):
    made = flaring_patches(0, 1, 1, size=64)
    path = made.write(tmp_path, format_name)[0]
    both = measure(path, "physical+complexity")
    assert tuple(both) == feature_names("physical+complexity")
    assert {name: both[name] for name in COMPLEXITY_NAMES} == complexity(path).as_dict()
    row = physical(path).as_row()
    assert all(both[name] == row[name] for name in FEATURE_SETS["physical"])
    assert {*row} - {*FEATURE_SETS["physical"]} == {"gradient_skewness", "gradient_kurtosis"}


def test_zero_field_is_128_in_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(90, 170, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert measure(tmp_path / "a.png", "complexity") == complexity(pixels[::1].astype(float) - 128).as_dict()
    with pytest.raises(ImageError, match="physical features need gauss"):
        measure(tmp_path / "a.png", "physical")


def test_what_is_not_on_a_patch_is_refused():
    with pytest.raises(ValueError, match="set 'sharp' cannot be measured on a patch"):
        measure(np.zeros((8, 8)), "complexity+sharp")
