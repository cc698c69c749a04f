"""Forecasts for an archive: those of the model, whatever happened on the way."""

import shutil

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from solartrack import archive
from solartrack.archive import _measure, features
from solartrack.archive.forecasts import forecast_archive
from solartrack.errors import ArchiveError, ModelError
from solartrack.flares import format_name, svm
from solartrack.flares.feature_sets import measure


@pytest.fixture
def patches(tmp_path):
    """Ten patches with published names, and one without."""
    folder, random = tmp_path / "patches", np.random.default_rng(1)
    folder.mkdir()
    for k in range(10):
        name = format_name(12100 + k, f"2014-07-0{1 + k % 9}T12:00:00")
        fits.writeto(folder / name, (10.0 * k + 5) * random.normal(size=(16, 16)).astype("f4"))
    fits.writeto(folder / "another.fits", random.normal(size=(16, 16)).astype("f4"))
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(features, "_PART", 4)


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def test_forecasts_of_an_archive_are_those_of_the_model(patches, model_file, tmp_path):
    made = archive.forecast_archive(patches, model_file, tmp_path / "out", workers=1)
    table = pd.read_parquet(made.table)
    model = svm.SvmModel.load(model_file)
    own = pd.DataFrame([measure(file, "complexity") for file in table["file"]])
    np.testing.assert_array_equal(table["probability"], model.predict_proba(own))
    np.testing.assert_array_equal(table["flare"], model.predict(own))
    assert (made.rows, made.failed, made.reused) == (11, 0, 0)
    assert pd.read_csv(made.csv)["probability"].tolist() == table["probability"].tolist()


def test_region_and_time_are_those_of_the_names(patches, model_file, tmp_path):
    table = pd.read_parquet(forecast_archive(patches, model_file, tmp_path / "out", workers=1).table)
    named = table[table["file"].str.contains("_TAI")]
    assert named["region"].tolist() == list(range(12100, 12110))
    assert named["time"].iloc[0] == pd.Timestamp("2014-07-01T12:00:00")
    other = table[~table["file"].str.contains("_TAI")]
    assert other["region"].isna().all() and other["time"].isna().all() and other["probability"].notna().all()


def test_a_bad_file_and_one_with_an_undefined_feature_cost_their_rows_only(patches, model_file, tmp_path):
    (patches / "bad.fits").write_bytes(b"no")
    fits.writeto(patches / "flat.fits", np.zeros((16, 16), "f4"))
    made = forecast_archive(patches, model_file, tmp_path / "out", workers=1)
    errors = pd.read_csv(made.errors)
    assert (made.rows, made.failed) == (11, 2) and len(errors) == 2
    reasons = {file.rpartition("/")[2]: reason for file, reason in errors.itertuples(index=False)}
    assert "starts with" in reasons["bad.fits"] and "gradient_skewness is undefined" in reasons["flat.fits"]


def test_processes_and_a_cluster_make_the_same_bytes(
    patches, model_file, tmp_path, threaded_cluster, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (patches / "bad.fits").write_bytes(b"no")
    for name, place in (
        ("one", {"workers": 1}),
        ("two", {"workers": 2}),
        ("cluster", {"scheduler": threaded_cluster}),
    ):
        forecast_archive("patches", model_file, name, **place)
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "cluster")


def test_a_second_run_makes_only_what_is_new(patches, model_file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    forecast_archive(patches, model_file, out, workers=1)
    parts = {p.name: p.stat().st_mtime_ns for p in (out / "forecasts").iterdir()}
    fits.writeto(patches / "zz.fits", np.random.default_rng(3).normal(size=(16, 16)).astype("f4"))
    made = forecast_archive(patches, model_file, out, workers=1)
    again = {p.name: p.stat().st_mtime_ns for p in (out / "forecasts").iterdir()}
    assert (made.rows, made.reused) == (12, 11)
    assert [name for name in parts if again[name] != parts[name]] == ["part-000002.parquet"]


def test_another_model_measures_nothing_again(patches, model_file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    forecast_archive(patches, model_file, out, workers=1)
    table = pd.read_csv(out / "forecasts.csv")
    random = np.random.default_rng(5)
    rows = pd.DataFrame([measure(random.normal(size=(16, 16)), "complexity") for _ in range(40)])
    other = tmp_path / "other.skops"
    svm.train(rows, np.arange(40) % 2, np.arange(40), kernel="linear").save(other)

    def refuse(*_, **__):
        raise AssertionError("a file was measured again")

    monkeypatch.setattr(_measure, "complexity", refuse)
    made = forecast_archive(patches, other, out, workers=1)
    assert made.reused == 11 and not pd.read_csv(made.csv)["probability"].equals(table["probability"])


def test_parts_of_files_that_are_gone_are_removed(patches, model_file, tmp_path):
    out = tmp_path / "out"
    forecast_archive(patches, model_file, out, workers=1)
    for file in sorted(patches.iterdir())[:7]:
        file.unlink()
    made = forecast_archive(patches, model_file, out, workers=1)
    assert made.rows == len(pd.read_parquet(made.table)) == len(pd.read_csv(made.csv)) == 4


def test_an_empty_manifest_is_written_anew(patches, model_file, tmp_path):
    out = tmp_path / "out"
    forecast_archive(patches, model_file, out, workers=1)
    before = content(out)
    (out / "manifest.json").write_bytes(b"")  # after a power failure
    forecast_archive(patches, model_file, out, workers=1)
    assert content(out) == before


@pytest.mark.parametrize("name", ["model.pkl", "model.skops"])
def test_a_file_that_is_no_model_is_refused_before_anything_is_written(patches, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04]\x94.")
    with pytest.raises(ModelError):
        forecast_archive(patches, tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_on_other_features_is_refused_with_what_to_do(patches, tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(40, 4)), columns=["AREA", "USFLUX", "MEANGBZ", "R_VALUE"])
    svm.train(rows, np.arange(40) % 2, np.arange(40), feature_set="sharp").save(tmp_path / "m.skops")
    with pytest.raises(ValueError, match="needs the features 'sharp'"):
        forecast_archive(patches, tmp_path / "m.skops", tmp_path / "out")


def test_folders_of_another_job_and_files_of_others_are_not_touched(patches, model_file, tmp_path):
    features.extract(patches, tmp_path / "out", workers=1)
    before = content(tmp_path / "out")
    with pytest.raises(ArchiveError, match="holds a run for features"):
        forecast_archive(patches, model_file, tmp_path / "out", workers=1)
    assert content(tmp_path / "out") == before
    forecast_archive(patches, model_file, tmp_path / "new", workers=1)
    shutil.copy(tmp_path / "new/forecasts/part-000000.parquet", tmp_path / "new/forecasts/mine.parquet")
    with pytest.raises(ArchiveError, match="was not made by this run"):
        forecast_archive(patches, model_file, tmp_path / "new", workers=1)
