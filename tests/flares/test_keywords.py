import gzip

import numpy as np
import pandas as pd
import pytest

from solartrack.flares import keywords
from solartrack.flares.keywords import read_keywords, train_keywords
from solartrack.flares.svm import SvmModel, cross_validate

HEADER = "prefix,arpnum,t_start,t_end,label,flares,FLARE_INDEX,AREA,USFLUX,MEANGBZ,R_VALUE\n"
FEATURES = ["AREA", "USFLUX", "MEANGBZ", "R_VALUE", "FLARE_INDEX"]


def written(path, rows):
    lines = [
        f"HARP,{n},2013-10-31 00:00:00,{t},False,{flares},{index},2059.6,3.4e21,19.0,3.1\n"
        for n, t, flares, index in rows
    ]
    path.write_text(HEADER + "".join(lines))
    return path


def made(path, n=300, seed=0):
    """Regions whose flux drives their flares."""
    rng = np.random.default_rng(seed)
    flux = 10 ** rng.uniform(20, 23, n)
    flares = np.where(np.log10(flux) + rng.normal(0, 0.5, n) > 22, "C1.3|M1.0", "B9.9")
    rows = [
        f"HARP,{i // 5},x,2014-01-01 00:{i % 5:02}:00,False,{f},0.0,100.0,{u},20.0,2.0\n"
        for i, (u, f) in enumerate(zip(flux, flares, strict=True))
    ]
    path.write_text(HEADER + "".join(rows))
    return path


def test_a_row_is_labelled_by_its_largest_flare(tmp_path):
    path = written(
        tmp_path / "a.csv",
        [
            (1, "2014-01-01 00:00:00", "C1.3|B9.8|M1.0", 2.5),
            (2, "2014-01-01 00:00:00", "", 0),
            (3, "2014-01-01 00:00:00", "B9.9", 0),
        ],
    )
    for threshold, labels in (
        ("B1.0", [1, 0, 1]),
        ("C1.0", [1, 0, 0]),
        (1e-5, [1, 0, 0]),
        ("M1.1", [0, 0, 0]),
    ):
        assert read_keywords(path, threshold=threshold)["label"].tolist() == labels
    table = read_keywords(path)
    assert table["largest_class"].tolist() == ["M1.0", "", "B9.9"]
    assert table["region"].tolist() == [1, 2, 3] and table["FLARE_INDEX"].tolist() == [2.5, 0, 0]


def test_times_are_made_utc(tmp_path):
    path = written(tmp_path / "a.csv", [(1, "2014-01-01 00:00:35", "", 0)])
    assert read_keywords(path)["time"].tolist() == [pd.Timestamp("2014-01-01")]


def test_several_tables_are_one_and_each_row_says_its_file(tmp_path):
    one = written(tmp_path / "a.csv", [(1, "2014-01-01 00:00:00", "", 0)])
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write(written(tmp_path / "b.csv", [(2, "2014-01-01 00:00:00", "", 0)]).read_text())
    assert read_keywords([one, tmp_path / "b.csv.gz"])["file"].tolist() == ["a.csv", "b.csv.gz"]
    assert len(read_keywords(written(tmp_path / "c.csv", []))) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("arpnum", "number", r"a\.csv: expected the column 'arpnum'"),
        ("2059.6", "large", r"a\.csv: the column 'AREA' must hold numbers"),
        ("2014-01-01", "2014-13-01", r"a\.csv: "),
        ("C1.3", "C", r"a\.csv: a flare class must be a letter"),
        (",1,", ",1.5,", r"a\.csv: "),
    ],
)
def test_a_bad_table_names_itself(tmp_path, old, new, message):
    path = written(tmp_path / "a.csv", [(1, "2014-01-01 00:00:00", "C1.3", 0)])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_keywords(path)


def test_no_table_is_refused():
    with pytest.raises(ValueError, match="paths is empty"):
        read_keywords([])
    with pytest.raises(ValueError, match="threshold must be a flare class"):
        read_keywords(["a.csv"], threshold="big")


def test_a_saved_model_forecasts_a_table_as_it_was_published(tmp_path, capsys):
    path = made(tmp_path / "a.csv")
    keywords.main([str(path), "--threshold", "M1.0", "--output", str(tmp_path / "m.skops")])
    assert "on sharp+flare_index, 300 rows of 60 regions" in capsys.readouterr().out
    model = SvmModel.load(tmp_path / "m.skops")
    raw = pd.read_csv(path)
    np.testing.assert_array_equal(
        model.predict_proba(raw), train_keywords(path, threshold="M1.0").predict_proba(raw)
    )
    assert {"arpnum", "t_end", "probability", "flare"} <= set(model.forecast(raw).columns)
    read = model.forecast(read_keywords(path))
    # pandas may read the last digit otherwise than `read_keywords` does.
    np.testing.assert_allclose(read["probability"], model.predict_proba(raw), rtol=1e-12)


@pytest.mark.parametrize(("threshold", "least"), [("C1.0", 0.61), ("M1.0", 0.76)])
def test_grouped_cross_validation_on_real_keywords_reaches_the_required_skill(shared, threshold, least):
    # About 30 s for each class on two cores that others use, too.
    home = shared / "data/flares/sun2022_smarp_sharp"
    table = read_keywords(sorted(home.glob("sharp_[0-3].csv.gz")), threshold=threshold)
    fold = table["file"].str.extract(r"_(\d)\.")[0].astype(int)
    # One patch has rows in a single fold; the threshold comes from an inner validation over the other folds.
    found = cross_validate(table, table["label"], table["region"], fold, feature_set="sharp+flare_index")
    flared, label = found["flare"].to_numpy(), found["label"].to_numpy()
    assert len(found) == 79_510 and sorted(found["fold"].unique()) == [0, 1, 2, 3]
    assert flared[label == 1].mean() - flared[label == 0].mean() >= least


def test_tables_of_jsoc_have_the_columns_of_extracted_sharps(shared):
    import gzip

    from solartrack.archive._measure import COLUMNS
    from solartrack.flares.keywords import jsoc_table
    from solartrack.sources import jsoc

    folder = shared / "data/jsoc"
    answer = gzip.decompress((folder / "rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz").read_bytes())
    structure = (folder / "series_struct_hmi.sharp_cea_720s_2022.json").read_bytes()
    typed = jsoc.read_keywords(answer, structure)
    table = jsoc_table(typed)
    assert list(table.columns) == list(COLUMNS["sharp"]) and len(table) == 1223
    assert set(table["region"]) == {11950} and set(table["harpnum"]) == {3604}
    assert table["USFLUX"][0] == 3.046883e20 and table["ERRVF"].notna().all()
    texts = jsoc.read_keywords(answer)  # without the types all are texts
    pd.testing.assert_frame_equal(jsoc_table(texts), table)


def test_tables_of_jsoc_from_csv_files_have_their_times_in_utc(tmp_path):
    from solartrack.flares.feature_sets import as_matrix, feature_names
    from solartrack.flares.keywords import jsoc_table

    names = feature_names("sharp+sharp_vector")
    assert len(names) == 18
    path = tmp_path / "sharp.csv"
    values = ",".join(str(float(k)) for k in range(18))
    path.write_text(
        f"T_REC,HARPNUM,NOAA_AR,{','.join(names)},OTHER\n"
        f"2011.02.15_02:00:00_TAI,377,11158,{values},x\n"
        f"2011.02.15_02:12:00_TAI,377,0,{values},MISSING\n"
    )
    table = jsoc_table(path)
    assert table["time"].astype(str).tolist() == ["2011-02-15 01:59:26", "2011-02-15 02:11:26"]
    assert table["region"].tolist()[0] == 11158 and pd.isna(table["region"][1])
    assert np.array_equal(as_matrix(table, names, "sharp+sharp_vector")[1], np.arange(18.0))
    assert table["CMASKL"].isna().all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"time": ["2011-02-15"], "A": [1]}), "must have keywords such as USFLUX, got time, A"),
        (pd.DataFrame({"USFLUX": [1.0]}), "must have the times of its records"),
        (pd.DataFrame({"time": ["2011-02-15"], "USFLUX": ["x"]}), "column 'USFLUX' must hold numbers"),
    ],
)
def test_other_tables_are_no_tables_of_jsoc(table, message):
    from solartrack.flares.keywords import jsoc_table

    with pytest.raises(ValueError, match=message):
        jsoc_table(table)
