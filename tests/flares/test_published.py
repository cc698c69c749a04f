import gzip
import pickle

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from solartrack.errors import ModelError
from solartrack.features import COMPLEXITY_NAMES, extract
from solartrack.flares import label, parse_names, published
from solartrack.flares.splits import PARTS, Split, listed_split, random_split

NAME = "1158_hmi.M_720s.20110215_{:02}0000_TAI.1.magnetogram.fits"


def feature_line(k=0, tail="1,M1.7", whole=()):
    numbers = [str(k + i) if i in whole else f"{k + i}.25" for i in range(29)]
    return ",".join([*numbers, *([tail] if tail else []), NAME.format(k)])


def written(tmp_path, *lines, end="\n"):
    path = tmp_path / "table.csv"
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def test_a_feature_table_has_29_numbers_label_class_and_name(tmp_path):
    table = published.read_features(written(tmp_path, feature_line(0), feature_line(1, "0,0"), end="\r\n"))
    assert list(table.columns) == [*COMPLEXITY_NAMES, "label", "flare_class", "name"]
    assert table["gradient_mean"].tolist() == [0.25, 1.25] and table["flux_unsigned"].tolist() == [
        28.25,
        29.25,
    ]
    assert table["label"].tolist() == [1, 0] and table["flare_class"].tolist() == ["M1.7", "0"]
    assert table["name"].tolist() == [NAME.format(0), NAME.format(1)]


@pytest.mark.parametrize("tail", ["NaN", "", "NaN,NaN", ","])
def test_a_line_without_label_has_one(tail, tmp_path):
    line = feature_line(1, None).replace(",1158_", f",{tail},1158_")
    table = published.read_features(written(tmp_path, feature_line(0), line))
    assert table["label"].isna().tolist() == [False, True]
    assert table["flare_class"].tolist() == ["M1.7", ""] and table["name"][1] == NAME.format(1)


def test_a_column_of_whole_numbers_alone_is_of_integers(tmp_path):
    path = written(tmp_path, feature_line(0, whole={8, 9}), feature_line(1, whole={8}))
    table = published.read_features(path)
    assert [k for k, name in enumerate(COMPLEXITY_NAMES) if table[name].dtype == np.int64] == [8]


def test_a_feature_table_survives_the_way_to_a_file_and_back(tmp_path):
    lines = [feature_line(0, whole={8}), feature_line(1, "0,0", whole={8}), feature_line(2, "NaN", whole={8})]
    table = published.read_features(written(tmp_path, *lines))
    table.loc[1, "flux_signed"] = np.nan
    published.write_features(table, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(published.read_features(tmp_path / "again.csv"), table)
    assert [len(line.split(",")) for line in (tmp_path / "again.csv").read_text().splitlines()] == [
        32,
        32,
        31,
    ]


def test_what_extract_writes_is_a_feature_table(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "patches"
    folder.mkdir()
    for k in range(2):
        fits.writeto(folder / NAME.format(k), rng.normal(0, 200, (40, 40)).astype("f4"))
    labels = written(tmp_path, f"{NAME.format(0)},M1.7")
    result = extract(folder, tmp_path / "out", labels=labels, workers=1)
    table = published.read_features(result.csv)
    parquet = pd.read_parquet(result.table)
    np.testing.assert_array_equal(table[list(COMPLEXITY_NAMES)], parquet[list(COMPLEXITY_NAMES)])
    assert table["label"].fillna(-1).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "line 2: expected 32 fields, or 31 without a label, got 3"),
        (feature_line(1) + ",more", "line 2: expected 32 fields, or 31 without a label, got 33"),
        (feature_line(1).replace("4.25", "four"), "line 2: expected 29 numbers first, got could not convert"),
        (
            feature_line(1, "2,M1.0"),
            "line 2: expected 0 or 1 and a flare class such as M1.7, or 0, got 2,M1.0",
        ),
        (feature_line(1, "1,Z1.0"), "got 1,Z1.0"),
        (feature_line(1, "1"), "line 2: expected 0 or 1 and a flare class such as M1.7, or 0, got 1"),
        (feature_line(1, "1,NaN"), "got 1,NaN"),
        (feature_line(1).replace(NAME.format(1), ""), "line 2: expected the name of a file, got none"),
    ],
)
def test_a_line_of_another_form_is_refused_with_its_number(line, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        published.read_features(written(tmp_path, feature_line(0), line))
    assert str(tmp_path) in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    readers = [
        published.read_features,
        published.read_weights,
        published.read_statistics,
        published.read_image_list,
    ]
    for content in (b"", b"\xff\xfe1\x00", b"\x00\x01\x02", b"<html>\n", b'"a\n'):
        path.write_bytes(content)
        for read in readers:
            with pytest.raises(ValueError, match=r"x\.csv"):
                read(path)
    with pytest.raises(FileNotFoundError):
        published.read_features(tmp_path / "none.csv")


def features(n=20, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(5, 3, (n, 29)), columns=list(COMPLEXITY_NAMES))
    return table.assign(nl_fragments=rng.integers(0, 9, n), flux_signed=7.0)


def test_integers_and_constants_are_left_alone_and_the_rest_becomes_0_to_1(tmp_path):
    table = features()
    published.write_weights(published.weights_of(table), tmp_path / "weights.csv")
    lines = (tmp_path / "weights.csv").read_text().splitlines()
    assert len(lines) == 32 and lines[8] == lines[31] == "0.0,0.0" and lines[27] == "7.0,0.0"
    scaled = published.scale(table, published.read_weights(tmp_path / "weights.csv"))
    for name in ("nl_fragments", "flux_signed"):
        pd.testing.assert_series_equal(scaled[name], table[name])
    others = scaled.drop(columns=["nl_fragments", "flux_signed"])
    assert (others.min() == 0).all() and np.allclose(others.max(), 1) and len(others.columns) == 27


def test_weights_are_read_back_as_they_were(tmp_path):
    weights = published.weights_of(features())
    published.write_weights(weights, tmp_path / "weights.csv")
    pd.testing.assert_frame_equal(published.read_weights(tmp_path / "weights.csv"), weights)


def test_missing_values_stay_missing_and_do_not_count():
    table = features()
    table.loc[0, "flux_positive"] = np.nan
    weights = published.weights_of(table)
    assert weights.loc["flux_positive", "minimum"] == table["flux_positive"].min()
    assert published.scale(table, weights)["flux_positive"].isna().sum() == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0,1"] * 31, "expected 32 lines 'minimum,range', got 31"),
        (["0,1"] * 31 + ["0"], "line 32: expected 2 numbers, got 0"),
        (["0,1"] * 5 + ["0,-1"] + ["0,1"] * 26, "line 6: expected a finite minimum"),
        (["0,1"] * 5 + ["nan,1"] + ["0,1"] * 26, "line 6: expected a finite minimum"),
        (["0,1"] * 5 + ["a,1"] + ["0,1"] * 26, "line 6: expected 2 numbers"),
    ],
)
def test_a_weight_file_of_another_form_is_refused(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        published.read_weights(written(tmp_path, *lines))


def test_weights_of_nothing_or_of_infinity_are_refused():
    with pytest.raises(ValueError, match="no rows, or infinite"):
        published.weights_of(features(0))
    with pytest.raises(ValueError, match="'flux_signed'"):
        published.weights_of(features().assign(flux_signed=np.inf))
    with pytest.raises(ValueError, match="one column 'gradient_mean'"):
        published.weights_of(features().drop(columns="gradient_mean"))
    with pytest.raises(ValueError, match="a row for each"):
        published.scale(features(), published.weights_of(features()).iloc[3:])


def test_a_label_file_is_name_and_class(tmp_path):
    table = published.read_labels(written(tmp_path, "2014/1158/a.fits,M1.7", "b.fits,0", "c.fits,X10."))
    assert table["name"].tolist() == ["a.fits", "b.fits", "c.fits"]
    assert table["label"].tolist() == [1, 0, 1] and table["flare_class"].tolist() == ["M1.7", "0", "X10."]


def test_the_published_labels_are_read_and_written_as_they_are(shared, tmp_path):
    with gzip.open(shared / "golden/labels_2014_C1.0_24h.csv.gz") as file:
        (tmp_path / "golden.csv").write_bytes(file.read())
    table = published.read_labels(tmp_path / "golden.csv")
    assert len(table) == 6448 and table["label"].sum() == 1576


def some_labels():
    names = [NAME.format(k) for k in (0, 6, 12, 18)] + [NAME.format(0).replace("1158", "1149")]
    events = pd.DataFrame(
        {
            "region": [11158, 11149],
            "peak": pd.to_datetime(["2011-02-15T13:00", "2011-02-15T02:00"]),
            "flare_class": ["X10.0", "C1.0"],
        }
    )
    return label(parse_names(names[::-1]), events, convention="published")


def test_flaring_patches_are_written_first_in_order_of_the_flares(tmp_path):
    labels = some_labels()
    published.write_labels(labels, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        NAME.format(0).replace("1158", "1149") + ",C1.0",
        NAME.format(0) + ",X10.",
        NAME.format(6) + ",X10.",
        NAME.format(12) + ",X10.",
        NAME.format(18) + ",0",
    ]
    again = published.read_labels(tmp_path / "labels.csv").set_index("name")["label"]
    assert (again.loc[labels["name"]].to_numpy() == labels["label"].to_numpy()).all()


def test_unknown_labels_and_names_that_come_twice_are_not_written(tmp_path):
    labels = some_labels()
    unknown = labels.assign(label=labels["label"].mask(labels.index == 0))
    for wrong, message in (
        (unknown, "1 labels are unknown"),
        (pd.concat([labels, labels]), "must not come twice"),
        (labels.assign(name=""), "each patch needs a name; row 0"),
        (labels.drop(columns="name"), "one column 'name'"),
    ):
        with pytest.raises(ValueError, match=message):
            published.write_labels(wrong, tmp_path / "labels.csv")
    assert not list(tmp_path.iterdir())


def test_labels_go_to_the_samples_of_their_names():
    samples = pd.DataFrame({"name": ["a", "b", "a"], "x": [1, 2, 3]}, index=[5, 5, 7])
    labels = pd.DataFrame({"name": ["a"], "label": [1], "flare_class": ["M1.0"]})
    got = published.attach_labels(samples, labels)
    assert got["label"].fillna(-1).tolist() == [1, -1, 1] and got["flare_class"].tolist() == [
        "M1.0",
        "",
        "M1.0",
    ]
    pd.testing.assert_frame_equal(got[["name", "x"]], samples)


def test_labels_of_absent_patches_are_said():
    samples = pd.DataFrame({"name": ["a"]})
    labels = pd.DataFrame({"name": ["a", "b"], "label": [1, 0], "flare_class": ["M1.0", "0"]})
    with pytest.warns(UserWarning, match="1 labels are for patches that are not there: b"):
        assert published.attach_labels(samples, labels)["label"].tolist() == [1]
    with pytest.raises(ValueError, match="labels for none of the 1 samples: for b, the samples are a"):
        published.attach_labels(samples, labels[1:])
    with pytest.raises(ValueError, match="must not come twice"):
        published.attach_labels(samples, pd.concat([labels, labels]))
    with pytest.raises(ValueError, match="'label' already"):
        published.attach_labels(samples.assign(label=1), labels)


def test_the_published_lists_have_1256_157_and_157_regions(shared, tmp_path):
    split = published.read_split(shared / "data/arflares")
    assert [len(part) for part in split] == [1256, 157, 157]
    assert split.test[:3].tolist() == [11864, 12334, 11691]
    published.write_split(split, tmp_path)
    for name in tmp_path.iterdir():
        assert name.read_bytes() == (shared / "data/arflares" / name.name).read_bytes()
    part = listed_split(np.concatenate(split), split)
    assert part.value_counts().to_dict() == {"train": 1256, "validation": 157, "test": 157}
    in_order = np.concatenate([split.test, split.validation, split.train])
    assert (random_split(in_order, convention="published") == listed_split(in_order, split)).all()


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (["1158", "1160", "1158"], "region 1158 is in List_of_AR_in_Train"),
        (["1158\n1158", "1160", "1162"], "Train_Data_by_AR.csv, line 2: region 1158 is in"),
        (["1158", "1160\nAR", "1162"], "line 2: expected the number of a region, got AR"),
        (["1158", "0", "1162"], "expected the number of a region, got 0"),
        (["1158", "1160,1161", "1162"], "expected the number of a region, got 1160,1161"),
        (["115811", "1160", "1162"], "expected the number of a region"),
    ],
)
def test_lists_of_another_form_are_refused(lists, message, tmp_path):
    for kind, text in zip(("Train_D", "Validation_d", "Test_D"), lists, strict=True):
        (tmp_path / f"List_of_AR_in_{kind}ata_by_AR.csv").write_text(text + "\n")
    with pytest.raises(ValueError, match=message):
        published.read_split(tmp_path)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="List_of_AR_in_Train"):
        published.read_split(tmp_path)


@given(st.lists(st.integers(10000, 14999), unique=True, min_size=3, max_size=20))
def test_lists_survive_the_way_to_files_and_back(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("lists")
    split = Split(np.array(numbers[2:]), np.array(numbers[1:2]), np.array(numbers[:1]))
    if 10000 in numbers:  # 0000 is no number of the published set
        return
    published.write_split(split, folder)
    for got, given_ in zip(published.read_split(folder), split, strict=True):
        np.testing.assert_array_equal(got, given_)


def test_scores_are_written_for_test_validation_and_training(tmp_path):
    scores = pd.DataFrame(
        {
            "tpr": [0.9, 0.8, 0.734],
            "tnr": [0.8, 0.7, 0.798],
            "hss": [0.6, 0.5, 0.464],
            "tss": [0.7, np.nan, 0.533],
        },
        index=list(PARTS),
    )
    published.write_statistics(scores, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "0.734,0.798,0.464,0.533\n0.8,0.7,0.5,NaN\n0.9,0.8,0.6,0.7\n"
    pd.testing.assert_frame_equal(published.read_statistics(tmp_path / "s.csv").loc[list(PARTS)], scores)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,1,1,1"] * 2, "expected 3 lines"),
        (["1,1,1"] * 3, "line 1: expected 4 numbers"),
        (["1,1,1,1", "1,-0.1,1,1", "1,1,1,1"], "line 2: .* got tnr -0.1"),
        (["1,1,1,1", "1,1,1,1", "1,1,1,80"], "line 3: .* got tss 80"),
    ],
)
def test_statistics_of_another_form_are_refused(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        published.read_statistics(written(tmp_path, *lines))


def test_scores_of_a_missing_part_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="row 'train'"):
        published.write_statistics(
            pd.DataFrame({n: [0.5] for n in ("tpr", "tnr", "hss", "tss")}), tmp_path / "s"
        )


def test_a_list_of_images_survives_the_way_to_a_file_and_back(tmp_path):
    published.write_image_list(some_labels(), tmp_path / "images.csv")
    assert (tmp_path / "images.csv").read_text().splitlines()[:2] == [
        "filename,class",
        f"1149/{NAME.format(0).replace('1158', '1149')},1",
    ]
    table = published.read_image_list(tmp_path / "images.csv")
    assert table["name"].tolist() == some_labels()["name"].tolist()
    assert table["label"].tolist() == some_labels()["label"].tolist()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,class", "1158/a.png,0"], "line 1: expected the header filename,class, got file,class"),
        (["filename,class", "a.png,0"], "line 2: expected NNNN/file,0"),
        (["filename,class", "1158/../../a.png,0"], "line 2: expected NNNN/file,0"),
        (["filename,class", "1158/a.png,2"], "line 2: expected NNNN/file,0"),
        (["filename,class", "1158/a.png"], "line 2: expected NNNN/file,0"),
        (["filename,class"], "has no images"),
    ],
)
def test_a_list_of_images_of_another_form_is_refused(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        published.read_image_list(written(tmp_path, *lines))


def test_images_without_label_or_region_are_not_listed(tmp_path):
    labels = some_labels()
    for wrong in (labels.assign(label=pd.NA), labels.assign(region=0), labels.assign(label=2)):
        with pytest.raises(ValueError, match="a region and a label"):
            published.write_image_list(wrong, tmp_path / "images.csv")


@pytest.mark.parametrize("name", ["model.hdf5", "VGG16.H5", "svm.pkl", "svm.pickle", "svm.sav", "svm.joblib"])
def test_old_models_are_refused_by_name(name):
    with pytest.raises(ModelError, match="train again") as caught:
        published.refuse_old_model(name)
    assert name in str(caught.value)


def test_old_models_are_refused_by_their_first_bytes_too(tmp_path):
    for content, what in ((pickle.dumps([1]), "a pickle"), (b"\x89HDF\r\n\x1a\n....", "HDF5")):
        (tmp_path / "model.skops").write_bytes(content)
        with pytest.raises(ModelError, match=what):
            published.refuse_old_model(tmp_path / "model.skops")


def test_models_of_today_pass(tmp_path):
    (tmp_path / "model.skops").write_bytes(b"PK\x03\x04")
    published.refuse_old_model(tmp_path / "model.skops")
    published.refuse_old_model("model.onnx")


@pytest.mark.parametrize("number", [8500, 10000, 123456, 0, 20001])
def test_a_list_that_would_not_be_read_back_is_not_written(tmp_path, number):
    with pytest.raises(ValueError, match=f"region {number} cannot be written"):
        published.write_split(Split(np.array([11158]), np.array([11160]), np.array([number])), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"label": "1"}, TypeError, "label must be numbers"),
        ({"label": 2}, ValueError, "labels must be 0, 1"),
        ({"label": 0.7}, ValueError, "labels must be 0, 1"),
        ({"largest_class": ""}, ValueError, "each label 1 needs a flare class"),
        ({"largest_class": np.nan}, ValueError, "each label 1 needs a flare class"),
        ({"largest_class": "C5,7"}, ValueError, "each label 1 needs a flare class"),
    ],
)
def test_labels_that_would_not_be_read_back_are_not_written(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        published.write_labels(some_labels().assign(**changes), tmp_path / "labels.csv")
    assert not list(tmp_path.iterdir())


def test_labels_without_any_flare_need_no_class(tmp_path):
    quiet = some_labels().assign(label=0, largest_class=np.nan)
    published.write_labels(quiet, tmp_path / "labels.csv")
    assert published.read_labels(tmp_path / "labels.csv")["label"].tolist() == [0] * 5


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"flare_class": np.nan}, ValueError, "row 0 has nan"),
        ({"name": np.nan}, ValueError, "needs the name of a file; row 0"),
        ({"name": ""}, ValueError, "needs the name of a file; row 0"),
        ({"label": 2}, ValueError, "labels must be 0, 1"),
        ({"label": 0.7}, ValueError, "labels must be 0, 1"),
        ({"label": "1"}, TypeError, "label must be numbers"),
        ({"flux_signed": True}, TypeError, "'flux_signed' must be numbers"),
        ({"flux_signed": "1.5"}, TypeError, "'flux_signed' must be numbers"),
    ],
)
def test_features_that_would_not_be_read_back_are_not_written(tmp_path, changes, error, message):
    table = published.read_features(written(tmp_path, feature_line(0))).assign(**changes)
    with pytest.raises(error, match=message):
        published.write_features(table, tmp_path / "again.csv")
    assert not (tmp_path / "again.csv").exists()


def test_a_missing_whole_number_is_written_as_nan(tmp_path):
    table = published.read_features(written(tmp_path, feature_line(0), feature_line(1)))
    table["nl_fragments"] = pd.array([1, None], "Int64")
    published.write_features(table, tmp_path / "again.csv")
    found = published.read_features(tmp_path / "again.csv")["nl_fragments"]
    np.testing.assert_array_equal(found, [1.0, np.nan])


@pytest.mark.parametrize("name", ["tpr", "tnr", "hss", "tss"])
@pytest.mark.parametrize("value", [4.5, -1.5, np.inf])
def test_scores_out_of_range_are_not_written(tmp_path, name, value):
    scores = pd.DataFrame(0.5, index=list(PARTS), columns=["tpr", "tnr", "hss", "tss"])
    scores.loc["test", name] = value
    with pytest.raises(ValueError, match="TPR, TNR from 0 to 1"):
        published.write_statistics(scores, tmp_path / "s.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["q/a", "q\\a", "../a", " a"])
def test_images_in_folders_are_not_listed(tmp_path, name):
    labels = some_labels().assign(name=[f"{name}{k}" for k in range(5)])
    with pytest.raises(ValueError, match="without folders"):
        published.write_image_list(labels, tmp_path / "images.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no labels"),
        (["file,label,class"], "has no labels"),
        (["a,1,M1.0", "b,0,C1.0"], "line 2: expected label 0 just where the class is 0, got 0,C1.0"),
        (["a,1,0"], "line 1: expected label 0 just where the class is 0, got 1,0"),
    ],
)
def test_no_labels_and_contradictions_are_refused(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        published.read_labels(written(tmp_path, *lines))
