import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from solartrack.errors import ModelError
from solartrack.features import COMPLEXITY_NAMES, complexity_batch
from solartrack.flares import _svm_onnx, format_name, svm
from solartrack.flares.scores import choose_threshold, score_forecast
from solartrack.flares.svm import SvmModel, cross_validate, train, tune
from solartrack.inference import Model
from solartrack.simulate import flaring_patches

SHARP = ["AREA", "USFLUX", "MEANGBZ", "R_VALUE"]


def keywords(n=600, seed=0):
    """Features over decades, of which the first drives the label."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.lognormal(size=(n, 4)) * [1e3, 1e22, 20, 1], columns=SHARP)
    table["region"] = np.arange(n) // 10
    table["time"] = pd.date_range("2014-01-01", periods=n, freq="h", unit="us")
    table["label"] = (np.log(table["AREA"] / 1e3) + rng.normal(0, 0.7, n) > 0.8).astype("Int8")
    return table


def fit(table, **settings):
    settings = {"feature_set": "sharp", "kernel": "linear", **settings}
    return train(table, table["label"], table["region"], **settings)


@pytest.fixture(scope="module")
def table():
    return keywords()


@pytest.fixture(scope="module")
def model(table):
    return fit(table)


@pytest.fixture(scope="module")
def simulated():
    """Features of simulated patches, with the truth."""
    series = flaring_patches(5, 300, 8, size=64)
    features = pd.DataFrame(complexity_batch(series.patches), columns=list(COMPLEXITY_NAMES))
    return pd.concat([series.samples, features], axis=1)


# --- training


def test_skill_on_simulated_patches_reaches_the_known_ceiling(simulated):
    test = (simulated["region"] % 3 == 0).to_numpy()
    trained = train(simulated[~test], simulated["label"][~test], simulated["region"][~test])
    report = trained.evaluate(simulated[test], simulated["label"][test], simulated["region"][test])
    p = simulated["probability"][test]
    ceiling = score_forecast(simulated["label"][test], p, threshold=float(p.mean()), n_boot=1).values["tss"]
    found = report.scores["svm"]
    assert found.intervals["tss"].low <= ceiling <= found.intervals["tss"].high
    assert found.values["tss"] > 0.6 and found.values["bss"] > 0.3


def test_published_settings_are_scikit_learns_on_features_scaled_with_all_rows(simulated):
    test = (simulated["region"] % 3 == 0).to_numpy()
    validation = simulated["region"][~test].unique()[:40]
    trained = train(
        simulated[~test], simulated["label"][~test], simulated["region"][~test],
        kernel="rbf", convention="published", scale_with=simulated, validation=validation,
    )  # fmt: skip
    names = list(COMPLEXITY_NAMES)
    scaler = MinMaxScaler().fit(simulated[names].to_numpy())  # the leak: test rows included
    rows = ~test & ~simulated["region"].isin(validation).to_numpy()
    machine = SVC(kernel="rbf", gamma="auto", class_weight="balanced")
    machine.fit(scaler.transform(simulated[names].to_numpy()[rows]), simulated["label"][rows].astype(int))
    asked = scaler.transform(simulated[names].to_numpy()[test])
    np.testing.assert_allclose(
        trained.decision_values(simulated[test]), machine.decision_function(asked), atol=1e-8
    )
    np.testing.assert_array_equal(trained.predict(simulated[test]), machine.predict(asked) == 1)


def test_as_published_columns_of_integers_are_not_scaled(simulated):
    few = simulated.iloc[:400].assign(nl_length=lambda t: t["nl_length"].astype(int))
    trained = train(few, few["label"], few["region"], convention="published", scale_with=few, kernel="linear")
    scale = trained.pipeline.named_steps["scale"]
    assert scale.scale_[COMPLEXITY_NAMES.index("nl_length")] == 1.0
    assert scale.min_[COMPLEXITY_NAMES.index("nl_length")] == 0.0
    assert scale.scale_[0] == pytest.approx(1 / np.ptp(few["gradient_mean"]))


def test_the_scale_is_that_of_the_training_rows_alone(table):
    held = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    wild = table.copy()
    wild.loc[wild["region"].isin(held), SHARP] *= 1e6
    one, other = fit(table, validation=held), fit(wild, validation=held)
    asked = table[~table["region"].isin(held)]
    np.testing.assert_array_equal(one.decision_values(asked), other.decision_values(asked))


def test_probabilities_and_threshold_are_those_of_the_validation_regions(table):
    held = list(range(30, 60))
    trained = fit(table, validation=held, transform="none")
    inside = table["region"].isin(held).to_numpy()
    names = MinMaxScaler().fit(table[SHARP][~inside].to_numpy())
    machine = SVC(kernel="linear", class_weight="balanced")
    machine.fit(names.transform(table[SHARP][~inside].to_numpy()), table["label"][~inside].astype(int))
    decisions = machine.decision_function(names.transform(table[SHARP][inside].to_numpy()))
    y = table["label"][inside].astype(int)
    p = LogisticRegression(C=1e6).fit(decisions[:, None], y).predict_proba(decisions[:, None])[:, 1]
    np.testing.assert_allclose(trained.predict_proba(table[inside]), p, atol=1e-6)
    assert trained.threshold == pytest.approx(choose_threshold(y, p), abs=1e-6)
    flared = trained.predict(table[inside])
    tss = balanced_accuracy_score(y, flared, adjusted=True)
    assert trained.scores["tss"] == pytest.approx(tss)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_probabilities_of_new_regions_are_calibrated(calibration):
    trained = fit(keywords(3000), calibration=calibration)
    new = keywords(3000, seed=1)
    p, y = trained.predict_proba(new), new["label"].to_numpy(int)
    for low in (0.0, 0.25, 0.5, 0.75):
        chosen = (p >= low) & (p < low + 0.25)
        assert abs(y[chosen].mean() - p[chosen].mean()) < 0.1


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_solvers_for_many_rows_agree_with_the_exact_one(kernel):
    rows, new = keywords(3000), keywords(3000, seed=1)
    tss = []
    for solver in ("exact", "linear" if kernel == "linear" else "nystroem"):
        trained = fit(rows, kernel=kernel, solver=solver)
        tss.append(balanced_accuracy_score(new["label"].astype(int), trained.predict(new), adjusted=True))
        assert trained.settings["choice"] == f"{solver}, as requested"
    assert tss[0] == pytest.approx(tss[1], abs=0.01)


@pytest.mark.parametrize(("kernel", "solver"), [("linear", "linear"), ("rbf", "nystroem")])
def test_many_rows_are_not_trained_exactly_and_the_model_says_so(monkeypatch, table, kernel, solver):
    monkeypatch.setattr(svm, "EXACT_ROWS", 599)
    assert fit(table, kernel=kernel).settings["choice"] == f"{solver}: 600 rows are more than 599"
    monkeypatch.setattr(svm, "EXACT_ROWS", 600)
    assert fit(table, kernel=kernel).settings["choice"] == "exact: 600 rows are at most 600"


def test_the_same_rows_and_seed_give_the_same_model(table):
    for settings in ({}, {"kernel": "rbf", "solver": "nystroem"}):
        one, other = fit(table, **settings), fit(table, **settings)
        np.testing.assert_array_equal(one.predict_proba(table), other.predict_proba(table))
        assert one.training == other.training and one.threshold == other.threshold


def test_rows_without_a_known_label_are_left_out_and_counted(table):
    unknown = pd.concat(
        [table, table.assign(label=pd.array([pd.NA] * len(table), "Int8"))], ignore_index=True
    )
    trained = fit(unknown)
    np.testing.assert_array_equal(trained.predict_proba(table), fit(table).predict_proba(table))
    assert (trained.training["rows"], trained.training["unknown"]) == (600, 600)


def test_the_model_says_what_it_was_trained_on(model, table):
    said = model.training
    assert (said["rows"], said["regions"], said["positives"]) == (600, 60, int(table["label"].sum()))
    assert said["period"] == ["2014-01-01T00:00:00.000000", "2014-01-25T23:00:00.000000"]
    assert fit(table.assign(AREA=table["AREA"] * 1.0001)).training["sha256"] != said["sha256"]
    assert "SvmModel linear (exact) on sharp, 600 rows of 60 regions" in repr(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "poly"}, "kernel must be one of linear, rbf, got 'poly'"),
        (
            {"kernel": "linear", "solver": "nystroem"},
            "auto, exact, linear with kernel='linear', got 'nystroem'",
        ),
        ({"kernel": "rbf", "solver": "linear"}, "auto, exact, nystroem with kernel='rbf', got 'linear'"),
        ({"c": 0.0}, "c must be positive and finite, got 0.0"),
        ({"gamma": -1.0}, "gamma must be positive"),
        ({"gamma": "scale"}, "gamma must be positive"),
        ({"calibration": "none"}, "calibration must be one of"),
        ({"transform": None}, "transform must be one of"),
        ({"feature_set": "complexity"}, "set 'complexity' were wanted"),
        ({"validation": 1}, "number of folds must be from 2"),
        ({"validation": 61}, "number of folds must be from 2"),
        ({"validation": [0, 99]}, "validation has groups without a row, such as 99"),
        ({"validation": list(range(60))}, "outside the validation groups are all of one class"),
        ({"convention": "published"}, "convention='published' and scale_with go together"),
        ({"scale_with": keywords(10)}, "convention='published' and scale_with go together"),
        (
            {"convention": "published", "scale_with": keywords(10)},
            "the set 'complexity' and the exact solver only",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(table, change, message):
    with pytest.raises(ValueError, match=message):
        fit(table, **change)


def test_labels_and_groups_that_do_not_fit_are_refused(table):
    def attempt(label=table["label"], region=table["region"]):
        return train(table, label, region, feature_set="sharp")

    for label, message in (
        (np.zeros(600), "labels must be of both classes, all 600 known labels are 0"),
        (np.full(600, np.nan), "labels must be of both classes, no label is known"),
        (table["label"][:-1], "labels must be as long as the features, got 599 for 600"),
        (np.full(600, 2), "labels must be 0, 1 or missing, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            attempt(label)
    with pytest.raises(TypeError, match="label must be numbers"):
        attempt(np.full(600, "C1.0"))
    with pytest.raises(ValueError, match="groups must be as long"):
        attempt(region=table["region"][:-1])
    with pytest.raises(ValueError, match="groups must not be missing"):
        attempt(region=table["region"].where(table["region"] > 0))
    with pytest.raises(TypeError, match="validation must be"):
        fit(table, validation="11158")


# --- tuning and cross-validation


def test_tuning_finds_the_setting_with_the_highest_tss_over_the_folds(table):
    found = tune(
        table,
        table["label"],
        table["region"],
        feature_set="sharp",
        grid={"c": (1e-6, 1.0), "gamma": (1e-6, 1.0)},
    )
    assert found.settings["kernel"] == "rbf" and len(found.table) == 4
    assert found.table["tss"].is_monotonic_decreasing
    assert found.table.iloc[0]["tss"] > 0.4 and (found.settings["c"], found.settings["gamma"]) == (1.0, 1.0)
    assert fit(table, **found.settings).settings["c"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": {"degree": (2,)}}, "grid must give values of c, gamma or both"),
        ({"grid": {"c": ()}}, "grid must give values"),
        ({"grid": {"c": (-1,)}}, "c must be positive"),
        ({"calibration": "sigmoid"}, "tune does not take calibration"),
        ({"folds": 1}, "number of folds must be from 2"),
    ],
)
def test_a_grid_out_of_range_is_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        tune(table, table["label"], table["region"], feature_set="sharp", **options)


def test_each_fold_is_forecast_by_a_model_that_does_not_know_its_regions(table):
    fold = table["region"] % 3
    found = cross_validate(table, table["label"], table["region"], fold, feature_set="sharp", kernel="linear")
    for one in range(3):
        here = (fold == one).to_numpy()
        alone = fit(table[~here])
        np.testing.assert_array_equal(found["probability"][here], alone.predict_proba(table[here]))
        np.testing.assert_array_equal(found["flare"][here], alone.predict(table[here]))
    random = cross_validate(table, table["label"], table["region"], 3, feature_set="sharp", kernel="linear")
    assert sorted(random["fold"].unique()) == [0, 1, 2]
    assert (random.groupby("region")["fold"].nunique() == 1).all()


def test_a_region_in_two_folds_is_refused(table):
    with pytest.raises(ValueError, match="each group must be in one fold, but 0 is in 10"):
        cross_validate(table, table["label"], table["region"], np.arange(600) % 10, feature_set="sharp")


# --- forecasts


def test_forecasts_keep_the_columns_that_are_no_features(model, table):
    made = model.forecast(table[["region", *SHARP, "time"]])
    assert list(made.columns) == ["region", "time", "probability", "flare"]
    np.testing.assert_array_equal(made["flare"], made["probability"] >= model.threshold)
    assert len(model.forecast(table.iloc[:0])) == 0


@given(st.integers(0, 2**32 - 1))
def test_rows_are_forecast_alike_in_any_order_and_company(seed):
    asked = keywords(50, seed=9)
    order = np.random.default_rng(seed).permutation(50)[:20]
    np.testing.assert_allclose(
        MODEL.predict_proba(asked.iloc[order]), MODEL.predict_proba(asked)[order], rtol=1e-12, atol=1e-15
    )


MODEL = fit(keywords(), kernel="rbf")


def test_values_far_outside_the_training_range_give_probabilities():
    far = np.array([[1e300, 0.0, -1e300, 0.0], [0.0, 1e300, 0.0, 1e-300]])
    p = MODEL.predict_proba(far)
    assert np.isfinite(p).all() and ((p >= 0) & (p <= 1)).all()


def test_a_bad_patch_costs_its_own_forecast(simulated, tmp_path):
    trained = train(simulated, simulated["label"], simulated["region"], kernel="linear")
    made = flaring_patches(6, 2, 2, size=64)
    good = made.write(tmp_path, format_name)
    (tmp_path / "bad.fits").write_bytes(b"nothing")
    found = trained.forecast_patches(
        [good[0], tmp_path / "bad.fits", made.patches[1], tmp_path / "no.fits", np.full((9, 9), np.nan)]
    )
    assert (found["trouble"] == "").tolist() == [True, False, True, False, False]
    assert found["probability"].isna().tolist() == [False, True, False, True, True]
    assert found["flare"].isna().tolist() == [False, True, False, True, True]
    assert "NaN" in found["trouble"][4] and "no.fits" in found["trouble"][3]
    features = pd.DataFrame(complexity_batch(made.patches[1:2]), columns=list(COMPLEXITY_NAMES))
    assert found["probability"][2] == trained.predict_proba(features)[0]


def test_a_model_of_keywords_does_not_take_patches(model):
    with pytest.raises(ValueError, match="set 'sharp' cannot be measured on a patch"):
        model.forecast_patches([np.zeros((8, 8))])


# --- files


@pytest.mark.parametrize(
    "settings", [{}, {"kernel": "rbf"}, {"kernel": "rbf", "solver": "nystroem", "calibration": "isotonic"}]
)
def test_a_model_comes_back_from_its_file_as_it_was(tmp_path, table, settings):
    made = fit(table, **settings)
    made.save(tmp_path / "m.skops")
    again = SvmModel.load(tmp_path / "m.skops")
    np.testing.assert_array_equal(again.predict_proba(table), made.predict_proba(table))
    for name in ("feature_set", "feature_names", "threshold", "settings", "training", "scores", "version"):
        assert getattr(again, name) == getattr(made, name)


def test_published_models_come_back_too(tmp_path, simulated):
    few = simulated.iloc[:400]
    made = train(few, few["label"], few["region"], convention="published", scale_with=few, kernel="linear")
    made.save(tmp_path / "m.skops")
    np.testing.assert_array_equal(SvmModel.load(tmp_path / "m.skops").predict(few), made.predict(few))


def rewritten(model, path, **changes):
    """A file whose parts or statements are others."""
    model.save(path)
    content = skops.io.load(path)
    said = json.loads(content["solartrack"])
    said |= {name: value for name, value in changes.items() if name not in content}
    content |= {name: value for name, value in changes.items() if name in content}
    content["solartrack"] = json.dumps(said)
    path.write_bytes(skops.io.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has format 2, this solartrack reads 1"),
        ({"feature_names": ["AREA"]}, "set 'sharp' has other features here"),
        ({"feature_set": "keywords"}, "cannot be used: feature_set must be one of"),
        ({"threshold": 0.1, "unknown": 3}, "cannot be used"),
        ({"check": {"features": [[1e3, 1e22, 20, 1]], "probability": [0.123]}}, "probabilities are off by"),
        ({"check": {"features": [[1.0]], "probability": [0.1]}}, "cannot be used"),
        ({"pipeline": LogisticRegression()}, "is not a model of solartrack.flares.svm"),
        ({"calibrator": SVC()}, "is not a model of solartrack.flares.svm"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, model, changes, message):
    path = tmp_path / "m.skops"
    rewritten(model, path, **changes)
    with pytest.raises(ModelError, match=message) as error:
        SvmModel.load(path)
    assert str(path) in str(error.value)


def test_foreign_files_are_refused_and_nothing_in_them_is_run(tmp_path, model):
    class Hostile:
        def __reduce__(self):
            return (pytest.fail, ("it was run",))

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "b.skops").write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "c.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "d.skops").write_bytes(b"")
    (tmp_path / "e.skops").write_bytes(b"PK\x03\x04 no more")
    with zipfile.ZipFile(tmp_path / "f.skops", "w") as file:
        file.writestr("readme", "hello")
    (tmp_path / "g.skops").write_bytes(skops.io.dumps(SVC()))
    (tmp_path / "h.skops").write_bytes(skops.io.dumps({"a": np.random.default_rng}))
    model.save(tmp_path / "whole.skops")
    (tmp_path / "i.skops").write_bytes((tmp_path / "whole.skops").read_bytes()[:-200])
    model.export_onnx(tmp_path / "j.onnx")
    for name, message in {
        "a.pkl": "is a pickle", "b.skops": "is a pickle", "c.hdf5": "is a Keras model in HDF5",
        "d.skops": "is not a model", "e.skops": "is not a model", "f.skops": "is not a model",
        "g.skops": "its content is another", "h.skops": "is not a model", "i.skops": "is not a model",
        "j.onnx": "run it with solartrack.inference.Model.load",
    }.items():  # fmt: skip
        with pytest.raises(ModelError, match=message) as error:
            SvmModel.load(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(FileNotFoundError):
        SvmModel.load(tmp_path / "none.skops")


def test_only_the_suffix_of_the_format_is_written(tmp_path, model):
    with pytest.raises(ValueError, match=r"path must end in \.skops, got .*m\.pkl"):
        model.save(tmp_path / "m.pkl")
    with pytest.raises(ValueError, match=r"path must end in \.onnx"):
        model.export_onnx(tmp_path / "m.skops")
    assert list(tmp_path.iterdir()) == []


# --- ONNX


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("transform", ["power", "none"])
@pytest.mark.parametrize(
    ("kernel", "solver"), [("linear", "exact"), ("linear", "linear"), ("rbf", "exact"), ("rbf", "nystroem")]
)
def test_the_exported_file_computes_what_the_model_does(
    tmp_path, table, kernel, solver, transform, calibration
):
    made = fit(table, kernel=kernel, solver=solver, transform=transform, calibration=calibration)
    made.export_onnx(tmp_path / "m.onnx", name="keywords")
    run = Model.load(tmp_path / "m.onnx", device="cpu")
    rows = keywords(500, seed=3)[SHARP].to_numpy(np.float32)
    np.testing.assert_allclose(
        run.run({"features": rows})["probability"][:, 0], made.predict_proba(rows), atol=1e-6
    )
    assert run.info.name == "keywords" and run.convention.names == tuple(SHARP)
    assert run.info.training["threshold"] == made.threshold
    assert run.info.training["sha256"] == made.training["sha256"]


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, model):
    (tmp_path / "m.onnx").write_bytes(b"old")
    monkeypatch.setattr(_svm_onnx, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match=r"differs from the model by .* it was not kept"):
        model.export_onnx(tmp_path / "m.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
