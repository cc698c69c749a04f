import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.flares.splits import (
    Split,
    chronological_split,
    count_parts,
    folds,
    joint_groups,
    listed_split,
    random_split,
)

numbers = st.lists(st.integers(11064, 11164), min_size=10, max_size=60)


def sides(part, group):
    """Parts of each group."""
    table = pd.DataFrame({"part": list(part), "group": list(group)})
    return table[table["part"] != ""].groupby("group")["part"].agg(set)


def months(*values):
    return pd.to_datetime([f"2014-{value:02}-15" for value in values])


@given(numbers, st.integers(0, 5))
def test_no_region_is_on_two_sides(group, seed):
    rng = np.random.default_rng(seed)
    flags = rng.random(len(group)) < 0.3
    time = pd.Timestamp("2010-05-01") + pd.to_timedelta(rng.integers(0, 3000, len(group)), unit="D")
    splits = [
        lambda: random_split(group, seed=seed),
        lambda: random_split(group, seed=seed, flaring=flags),
        lambda: random_split(group, convention="published"),
        lambda: chronological_split(group, time),
        lambda: chronological_split(group, time, gap="40D"),
        lambda: folds(group, 3, seed=seed),
        lambda: folds(group, 3, seed=seed, flaring=flags),
    ]
    for split in splits:
        try:
            part = split()
        except ValueError as error:
            assert any(
                reason in str(error) for reason in ("too few", "no sample is left", "number of regions")
            )
            continue
        assert (sides(part, group).map(len) == 1).all()
        count_parts(part, group)


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(11158, 11166), max_size=3)), max_size=30))
def test_no_joint_group_shares_a_patch_or_region_with_another(rows):
    harp = [harp for harp, _ in rows]
    noaa = [",".join(map(str, regions)) for _, regions in rows]
    group = joint_groups(harp, noaa)
    # The plain way: relabel until nothing changes.
    plain = list(range(len(rows)))
    for _ in rows:
        for i, (harp_i, noaa_i) in enumerate(rows):
            for j, (harp_j, noaa_j) in enumerate(rows):
                if (harp_i and harp_i == harp_j) or set(noaa_i) & set(noaa_j):
                    plain[i] = plain[j] = min(plain[i], plain[j])
    assert group.tolist() == pd.factorize(np.array(plain, dtype=int))[0].tolist()


def test_a_region_does_not_hide_in_two_patches():
    harp = [377, 378, 379, 380, 0, pd.NA]
    noaa = ["11158", "11159,11158", "11160", "MISSING", "11160", None]
    assert joint_groups(harp, noaa).tolist() == [0, 0, 1, 2, 1, 3]
    assert joint_groups(["HARP 1", "TARP 1"], [11158, 11159]).tolist() == [0, 1]


@pytest.mark.parametrize("noaa", ["AR11158", 11158.5, -3, "11158,x", object(), "1e400"])
def test_a_field_without_numbers_is_refused(noaa):
    with pytest.raises((ValueError, TypeError)):
        joint_groups([1], [noaa])


def test_joint_groups_need_two_columns_of_one_length():
    with pytest.raises(ValueError, match="one length"):
        joint_groups([1, 2], ["11158"])
    with pytest.raises(TypeError, match="one value for each sample"):
        joint_groups([1], "11158")
    assert joint_groups([], []).tolist() == []


def test_published_numbers_come_out_of_the_published_convention():
    listing = np.arange(11064, 11064 + 1570)
    part = random_split(listing, convention="published")
    assert part.value_counts().to_dict() == {"train": 1256, "test": 157, "validation": 157}
    assert (part[:157] == "test").all() and (part[157:314] == "validation").all()


def test_as_published_regions_are_taken_in_order_of_listing():
    part = random_split([12, 12, 3, 4, 5, 12], test=0.25, validation=0.25, convention="published")
    assert part.tolist() == ["test", "test", "validation", "train", "train", "test"]


def test_numbers_are_rounded_up_and_decimal_shares_are_exact():
    assert (random_split(np.arange(11), seed=3) == "test").sum() == 2
    assert (random_split(np.arange(100), test=0.07, seed=3) == "test").sum() == 7


def test_a_seed_says_the_parts_whatever_the_order_of_the_samples():
    region = np.repeat(np.arange(11064, 11164), 3)
    first = random_split(region, seed=5)
    shuffled = np.random.default_rng(0).permutation(len(region))
    second = random_split(region[shuffled], seed=5)
    assert (first.to_numpy()[shuffled] == second.to_numpy()).all()
    assert (first != random_split(region, seed=6)).any()


def test_a_stratified_split_gives_each_part_its_share_of_flaring_regions():
    region = np.repeat(np.arange(100), 5)
    flaring = pd.array(
        [i % 5 == 0 and i < 150 for i in range(500)], dtype="boolean"
    )  # 30 regions, one sample each
    flaring[499] = pd.NA
    for seed in range(5):
        table = pd.DataFrame({"part": random_split(region, seed=seed, flaring=flaring), "region": region})
        does = table[np.asarray(flaring.fillna(False), dtype=bool)].groupby("part")["region"].nunique()
        assert does.to_dict() == {"test": 3, "validation": 3, "train": 24}
        fold = folds(region, 5, seed=seed, flaring=flaring)
        per_fold = pd.Series(region[:150]).groupby(fold.to_numpy()[:150]).nunique()
        assert (per_fold == 6).all()


def test_too_few_regions_are_said():
    with pytest.raises(ValueError, match="there are 2 regions, too few for 1 in test"):
        random_split([1, 2])
    with pytest.raises(ValueError, match="2 flaring regions, too few"):
        random_split(np.arange(50), flaring=np.arange(50) < 2)


def test_one_class_is_no_reason_to_fail():
    for flaring in (np.zeros(50, dtype=bool), np.ones(50, dtype=bool)):
        assert (random_split(np.arange(50), flaring=flaring) == "test").sum() == 5


def test_empty_tables_have_no_parts():
    assert random_split([]).tolist() == chronological_split([], []).tolist() == folds([], 3).tolist() == []
    assert listed_split([], Split(*[np.array([1], dtype=int) * k for k in (1, 2, 3)])).tolist() == []
    assert count_parts([], []).empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": 1.0}, "test must be a share"),
        ({"validation": -0.1}, "validation must be a share"),
        ({"validation": np.nan}, "validation must be a share"),
        ({"test": "much"}, "test must be a share"),
        ({"test": 0.5, "validation": 0.5}, "less than 1 together"),
        ({"convention": "old"}, "convention must be"),
        ({"flaring": [True]}, "flaring must have one value"),
        ({"flaring": ["often"] * 50}, "flaring must be True or False"),
        ({"group": np.zeros((3, 2))}, "one value for each sample, got a table"),
        ({"flaring": [True] * 50, "convention": "published"}, "not stratified"),
    ],
)
def test_bad_arguments_of_a_random_split_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        random_split(**{"group": np.arange(50)} | change)


def test_missing_regions_are_refused_with_their_number():
    region = pd.array([1, None, None, 4], dtype="Int32")
    for split in (random_split, lambda g: folds(g, 2), lambda g: chronological_split(g, months(1, 2, 3, 4))):
        with pytest.raises(ValueError, match="2 of 4 are"):
            split(region)


def test_the_index_of_the_samples_stays():
    region = pd.Series(np.arange(50), index=np.arange(50)[::-1])
    time = pd.Series(pd.date_range("2014-01-01", periods=50))
    for part in (
        random_split(region),
        folds(region, 2),
        chronological_split(region, time),
        joint_groups(region, region),
    ):
        assert part.index.equals(region.index)
    assert chronological_split(region, time).iloc[0] == "train"


def test_chronological_parts_follow_each_other():
    group, time = np.arange(10), months(*range(1, 11))
    assert chronological_split(group, time, validation=0.2, test=0.3).tolist() == (
        ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    )
    dated = chronological_split(group, time, validation="2014-06-01", test="2014-08-15")
    assert dated.tolist() == ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    assert chronological_split(group, time, validation=0, test=0.5).tolist() == ["train"] * 5 + ["test"] * 5
    mixed = chronological_split(group, time, validation=0.2, test=pd.Timestamp("2014-08-15", tz="UTC"))
    assert mixed.tolist() == dated.tolist()


def test_a_region_that_crosses_a_border_stays_where_it_began():
    group = [1, 1, 1, 2, 3]
    time = months(1, 5, 7, 5, 7)
    part = chronological_split(group, time, validation="2014-04-01", test="2014-06-01")
    assert part.tolist() == ["train", "", "", "validation", "test"]


def test_samples_in_the_gap_before_a_border_are_in_no_part():
    time = ["2014-01-01", "2014-03-30", "2014-03-31", "2014-04-01", "2014-05-31T12:00", "2014-06-01"]
    part = chronological_split(range(6), time, validation="2014-04-01", test="2014-06-01", gap="24h")
    assert part.tolist() == ["train", "train", "", "validation", "", "test"]


@given(numbers, st.integers(1, 100))
def test_no_label_of_an_earlier_part_sees_a_later_one(group, gap):
    days = np.random.default_rng(gap).integers(0, 3000, len(group))
    time = pd.Timestamp("2010-05-01") + pd.to_timedelta(days, unit="D")
    try:
        part = chronological_split(group, time, gap=f"{gap}D").to_numpy()
    except ValueError as error:
        assert "no sample is left" in str(error)
        return
    for earlier, later in (("train", "validation"), ("validation", "test")):
        assert time[part == earlier].max() + pd.Timedelta(days=gap) < time[part == later].min()


def test_samples_without_time_are_in_no_part():
    part = chronological_split([1, 2, 3, 4, 4], [*months(1, 2, 3), pd.NaT, pd.NaT], validation=0.3, test=0.3)
    assert part.tolist() == ["train", "validation", "test", "", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation": "2014-08-01", "test": "2014-03-01"}, "validation must begin before test"),
        ({"validation": "2030-01-01", "test": "2031-01-01"}, "no sample is left for validation"),
        ({"validation": "2000-01-01"}, "no sample is left for train"),
        ({"test": "later"}, "test must be a share of the regions or a time"),
        ({"test": None}, "test must be a share of the regions or a time"),
        ({"test": 1.5}, "test must be a share"),
        ({"gap": "0h"}, "gap must be positive"),
        ({"time": months(1)}, "time must have one value for each of 10 samples, got 1"),
        ({"time": ["x"] * 10}, "must be times"),
    ],
)
def test_bad_arguments_of_a_chronological_split_are_refused(change, message):
    arguments = {"group": np.arange(10), "time": months(*range(1, 11))} | change
    with pytest.raises(ValueError, match=message):
        chronological_split(**arguments)


def test_folds_hold_each_region_once_and_differ_by_one_at_most():
    region = np.repeat(np.arange(23), 4)
    fold = folds(region, 5, seed=1)
    sizes = pd.Series(region).groupby(fold.to_numpy()).nunique()
    assert sizes.sum() == 23 and sizes.max() - sizes.min() == 1
    assert (fold == folds(region, 5, seed=1)).all() and (fold != folds(region, 5, seed=2)).any()


@pytest.mark.parametrize(
    ("n", "message"), [(1, "2 or more"), (0, "n_folds"), (2.5, "n_folds"), (30, "number of regions, 23")]
)
def test_bad_numbers_of_folds_are_refused(n, message):
    with pytest.raises(ValueError, match=message):
        folds(np.arange(23), n)


def test_lists_say_the_parts_and_unlisted_regions_have_none():
    split = Split(np.array([11158]), np.array([11160]), np.array([11162, 11164]))
    region = [11164, 11158, 11160, 11999]
    assert listed_split(region, split).tolist() == ["test", "train", "validation", ""]
    assert listed_split(region, split, convention="published").tolist() == [
        "test",
        "train",
        "validation",
        "train",
    ]


def test_short_numbers_do_not_pass_for_unlisted_ones():
    with pytest.raises(ValueError, match="numbers with all digits, such as 11158, got 1158"):
        listed_split([1158], Split(np.array([11158]), np.array([11160]), np.array([11162])))


def test_a_region_in_two_lists_is_refused():
    with pytest.raises(ValueError, match="11158 is in two"):
        listed_split([11158], Split(np.array([11158]), np.array([11158]), np.array([11160])))


def test_parts_are_counted():
    counts = count_parts(
        ["test", "train", "train", ""], [1, 2, 3, 2], pd.array([1, 0, None, 1], dtype="Int8")
    )
    assert counts.index.tolist() == ["train", "test", ""]
    assert counts.loc["train"].to_dict() == {"regions": 2, "samples": 2, "positives": 0, "unknown": 1}


def test_a_split_of_samples_is_refused():
    with pytest.raises(ValueError, match="11158 is in train, test"):
        count_parts(["train", "test"], [11158, 11158])
    with pytest.raises(ValueError, match="part must have one value for each of 2"):
        count_parts(["train"], [1, 2])


def test_listed_regions_may_be_texts():
    split = Split(np.array([11158]), np.array([11160]), np.array([11161]))
    region = ["11158", "11161", "11999"]
    assert listed_split(region, split).tolist() == ["train", "test", ""]
    assert listed_split(region, split, convention="published").tolist() == ["train", "test", "train"]
    with pytest.raises(ValueError, match="region must be NOAA numbers such as 11158"):
        listed_split(["AR 11158"], split)
    with pytest.raises(ValueError, match="all digits"):
        listed_split(["1158"], split)


@pytest.mark.parametrize(
    "split", [random_split, lambda group: folds(group, 2), lambda group: count_parts(["train"] * 3, group)]
)
def test_a_number_as_text_and_as_number_are_not_two_regions(split):
    with pytest.raises(ValueError, match="all numbers or all texts"):
        split(["1158", 1158, 1159])


def test_shares_may_be_numpy_scalars():
    group = np.arange(11000, 11030)
    expected = random_split(group, test=0.1, validation=0.2)
    assert random_split(group, test=np.float32(0.1), validation=np.float64(0.2)).equals(expected)
    by_time = chronological_split(group, months(*[1] * 15, *[5] * 15), test=np.int64(0), validation=0.5)
    assert set(by_time) == {"train", "validation"}


@pytest.mark.parametrize("seed", ["x", -1, 0.5, None, True])
def test_a_seed_that_is_none_is_refused(seed):
    for split in (random_split, lambda group, seed: folds(group, 2, seed=seed)):
        with pytest.raises(ValueError, match="seed must be an integer, 0 or more"):
            split(np.arange(30), seed=seed)


def test_labels_that_are_none_are_not_counted():
    with pytest.raises(TypeError, match="label must be numbers, got string, such as 'x'"):
        count_parts(["train"], [11158], ["x"])
    with pytest.raises(ValueError, match="labels must be 0, 1 or missing, got 2"):
        count_parts(["train"], [11158], [2])


def test_a_sample_in_no_part_may_lack_a_region():
    counts = count_parts(["train", "", ""], pd.Series([11158, None, 11158]), [1, None, 0])
    assert counts.loc["", ["regions", "samples"]].tolist() == [1, 2]
    with pytest.raises(ValueError, match="must not be missing"):
        count_parts(["train", "train"], pd.Series([11158, None]))
