"""``solartrack flares``: each command reads, calls the library, writes and says what it did."""

import json
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from solartrack import cli, flares
from solartrack.flares import exchange, format_name, published, text
from solartrack.sources._srs import regions_table

HEADER = """\
:Product: {day:%Y%m%d}events.txt
:Date: {day:%Y %m %d}
#Event    Begin    Max       End  Obs  Q  Type  Loc/Frq   Particulars       Reg#
#-------------------------------------------------------------------------------

"""
FLARE = (
    "{number:<4}      {begin:>5}  {peak:>5}     {end:>5}  G15  5   XRA  1-8A      {what:<8}2.4E-03   {region}"
)
SUMMARY = """\
:Product: {day:%m%d}SRS.txt
:Issued: {day:%Y %b %d} 0030 UTC
I.  Regions with Sunspots.  Locations Valid at 06/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
{rows}
IA. H-alpha Plages without Spots.  Locations Valid at 06/2400Z Jan
Nmbr  Location  Lo
None
II. Regions Due to Return 07 Jan to 09 Jan
Nmbr Lat    Lo
None
"""
STORMY = "1944 S09W06   109  1510 Fkc   33   66 Beta-Gamma-Delta"
QUIET = "1945 N09E34   137  0010 Axx   01   01 Alpha"
DAYS = pd.date_range("2014-01-03", "2014-01-08")


@pytest.fixture
def reports(tmp_path):
    """Event reports of six days: one flare of region 11944 on each, and one after midnight."""
    folder = tmp_path / "reports"
    folder.mkdir()
    for day in DAYS:
        lines = [FLARE.format(number=1, begin="0304", peak="0311", end="0320", what="C3.1", region="1944")]
        if day == DAYS[-1]:
            lines.append(
                FLARE.format(number=2, begin="2355", peak="0005", end="0010", what="M1.0", region="")
            )
        (folder / f"{day:%Y%m%d}events.txt").write_text(HEADER.format(day=day) + "\n".join(lines) + "\n")
    return folder


@pytest.fixture
def summaries(tmp_path):
    folder = tmp_path / "summaries"
    folder.mkdir()
    for day in DAYS[3:5]:
        (folder / f"{day:%Y%m%d}SRS.txt").write_text(SUMMARY.format(day=day, rows=f"{STORMY}\n{QUIET}"))
    return folder


@pytest.fixture
def model(tmp_path):
    """A text model that says 50 % for C and less for the others, wherever it looks."""
    odds = np.array([0.0, -2.0, -8.0, 1.0, -1.0, -7.0])
    regressions = {
        inputs: text.Regression(
            np.zeros(len(names)), np.ones(len(names)), np.zeros((6, len(names))), odds, np.full(6, 0.5)
        )
        for inputs, names in text.INPUTS.items()
    }
    path = tmp_path / "text.json"
    text.TextModel(regressions, np.tile([0.0, 1.0], (6, 1)), {"version": "0.9"}).save(path)
    return path


@pytest.fixture
def patches(tmp_path):
    """Fields of 24 regions on three days; those of a strong field flare, and have a large flux."""
    folder, random, rows = tmp_path / "patches", np.random.default_rng(0), []
    folder.mkdir()
    for k in range(24):
        for day in pd.date_range("2014-03-01", periods=3):
            strength = 40 + 200 * (k % 2) + 20 * random.random()
            name = format_name(12000 + k, day)
            fits.writeto(folder / name, strength * random.normal(size=(16, 16)).astype("f4"))
            if k % 2:
                rows.append((12000 + k, day + pd.Timedelta("5h"), "C2.0"))
    rows += [(12999, pd.Timestamp(day), "B1.0") for day in ("2014-02-27", "2014-03-06")]
    list_ = pd.DataFrame(rows, columns=["region", "start", "flare_class"])
    list_ = list_.assign(peak=list_["start"], end=list_["start"])
    list_.to_csv(tmp_path / "flares.csv", index=False)
    return folder


def run(*arguments):
    return cli.main(["flares", *map(str, arguments)])


# -- events and regions ------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_events_are_written_as_the_library_reads_them(reports, tmp_path, capsys, suffix):
    output = tmp_path / f"events.{suffix}"
    assert run("events", reports, "-o", output) == 0
    expected = flares.read_events(reports).table
    table = pd.read_parquet(output) if suffix == "parquet" else flares.read_flare_list(output).table
    assert table["peak"].tolist() == expected["peak"].tolist()
    assert table["flare_class"].tolist() == expected["flare_class"].tolist()
    out = capsys.readouterr().out
    assert "7 events, 1 of them without a region; 2014-01-03 to 2014-01-08, 6 days, 0 without a report" in out


def test_days_without_a_report_are_said(reports, tmp_path, capsys):
    (reports / "20140105events.txt").unlink()
    assert run("events", reports, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["days_without_report"] == ["2014-01-05"] and (told["events"], told["days"]) == (6, 5)


def test_events_give_the_published_list_and_take_it_again(reports, tmp_path, capsys):
    listed, again = tmp_path / "list.txt", tmp_path / "again.txt"
    assert run("events", reports, "--convention", "published", "--event-list", listed, "-q") == 0
    assert listed.read_text().splitlines()[0] == "2014 01 03,0311,1944,C3.1"
    assert run("events", listed, "--event-list", again, "--json") == 0
    assert again.read_bytes() == listed.read_bytes()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["events"] == 6


def test_classes_on_the_scale_of_science(reports, tmp_path):
    assert run("events", reports, "--class-scale", "science", "-o", tmp_path / "e.parquet", "-q") == 0
    assert pd.read_parquet(tmp_path / "e.parquet")["peak_flux"].iloc[0] == pytest.approx(3.1e-6 / 0.7)


def test_troubles_are_warned_of_counted_and_written(reports, tmp_path, capsys):
    file = reports / "20140103events.txt"
    file.write_text(file.read_text().replace("C3.1", "C   "))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("events", reports, "--troubles", tmp_path / "t.csv") == 0
    told = capsys.readouterr()
    assert re.search("warning: .*20140103events.txt, line", told.err)
    assert "1 troubles" in told.out and len(pd.read_csv(tmp_path / "t.csv")) == 1


def test_regions_are_written_with_the_published_list(summaries, tmp_path, capsys):
    assert run("regions", summaries, "-o", tmp_path / "r.parquet", "--ar-list", tmp_path / "ar.txt") == 0
    assert pd.read_parquet(tmp_path / "r.parquet")["region"].tolist() == [11944, 11945] * 2
    assert (tmp_path / "ar.txt").read_text() == "1944,20140106,2\n1945,20140106,2\n"
    assert "2 regions in 4 rows; 2014-01-06 to 2014-01-07" in capsys.readouterr().out


# -- labels and splits -------------------------------------------------------------


def samples_file(tmp_path, rows, columns="region,time"):
    path = tmp_path / "samples.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_labels_are_those_of_the_library(reports, tmp_path, capsys):
    samples = (
        "11944,2014-01-04T00,a",
        "11944,2014-01-04T04,b",
        "11945,2014-01-04T00,c",
        "11944,2014-01-08T04,d",
    )
    path = samples_file(tmp_path, samples, "region,time,mark")
    output = tmp_path / "labels.csv"
    assert run("label", path, "--events", reports, "--window", "12h", "-o", output) == 0
    table = pd.read_csv(output, dtype=str, keep_default_na=False)
    assert table["label"].tolist() == ["1", "0", "0", "0"] and table["mark"].tolist() == list("abcd")
    assert "4 samples, C1.0 within 12h: 1 positive, 3 negative, 0 unknown" in capsys.readouterr().out


def test_reports_of_quiet_days_count_and_a_list_ends_with_its_last_begin(reports, tmp_path):
    day = DAYS[-1] + pd.Timedelta("1D")
    path = samples_file(tmp_path, [f"11945,{day:%Y-%m-%d}T01:00"])
    label = {}
    # The last event of the list peaks on that day, which no report has covered.
    assert run("events", reports, "-o", tmp_path / "events.csv", "-q") == 0
    for name in ("events.csv", "reports"):
        output = tmp_path / "labels.csv"
        assert run("label", path, "--events", tmp_path / name, "--window", "3h", "-o", output, "-q") == 0
        label[name] = pd.read_csv(output)["label"].isna().tolist()
    assert label == {"events.csv": [True], "reports": [True]}
    (reports / f"{day:%Y%m%d}events.txt").write_text(HEADER.format(day=day) + "NO EVENT REPORTS.\n")
    assert run("label", path, "--events", reports, "--window", "3h", "-o", output, "-q") == 0
    assert pd.read_csv(output)["label"].tolist() == [0]


@pytest.mark.parametrize("form", ["folder", "list", "table"])
def test_patches_are_named_by_files_by_a_list_or_by_a_table(patches, tmp_path, form):
    names = sorted(path.name for path in patches.iterdir())
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    pd.DataFrame({"file": names}).to_parquet(tmp_path / "names.parquet")
    given = {"folder": patches, "list": tmp_path / "names.txt", "table": tmp_path / "names.parquet"}[form]
    assert run("label", given, "--events", tmp_path / "flares.csv", "-o", tmp_path / "l.csv", "-q") == 0
    table = pd.read_csv(tmp_path / "l.csv")
    assert sorted(table["name"]) == names
    assert (table["label"] == table["region"] % 2).all()


def test_labels_are_also_written_as_published(patches, tmp_path):
    output, file = tmp_path / "labels.csv", tmp_path / "published.csv"
    given = (patches, "--events", tmp_path / "flares.csv", "-o", output, "--label-file", file, "-q")
    assert run("label", *given) == 0
    labels = published.read_labels(file)
    assert len(labels) == 72 and labels["label"].sum() == 36 and labels["flare_class"].iloc[0] == "C2.0"


def test_a_name_of_another_scheme_has_no_label_and_makes_the_status_3(reports, tmp_path, capsys):
    (tmp_path / "names.txt").write_text(f"{format_name(11944, '2014-01-04')}\nstrange.fits\n")
    given = (tmp_path / "names.txt", "--events", reports, "-o", tmp_path / "l.csv")
    assert run("label", *given) == cli.INCOMPLETE
    assert pd.read_csv(tmp_path / "l.csv")["label"].isna().tolist() == [False, True]
    assert "1 patches have no label, such as strange.fits: the name is not like" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "names.txt has no names of patches"),
        (b"\n \n", "no names"),
        (b"\xff\xfe", "names.txt is not in UTF-8"),
    ],
)
def test_a_list_without_names_is_refused(reports, tmp_path, capsys, content, message):
    (tmp_path / "names.txt").write_bytes(content)
    given = (tmp_path / "names.txt", "--events", reports, "-o", tmp_path / "l.csv")
    assert run("label", *given) == cli.FAILED
    assert message in capsys.readouterr().err and not (tmp_path / "l.csv").exists()


@pytest.fixture
def labelled(tmp_path):
    """Labels of 40 regions, three samples each."""
    region = np.repeat(np.arange(12000, 12040), 3)
    table = pd.DataFrame({
        "region": region,
        "time": pd.Timestamp("2014-01-01") + pd.to_timedelta(12 * (region - 12000) + np.tile([0, 1, 2], 40), "h"),
        "label": np.where(region % 4 == 0, "1", "0"),
        "mark": "007",
    })  # fmt: skip
    table.loc[5, "label"] = ""
    path = tmp_path / "labelled.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "options",
    [
        ("--by", "random", "--stratify", "--seed", 3, "--validation", 0.2, "--test", 0.2),
        ("--by", "time", "--gap", "6h"),
        ("--by", "lists", "--lists", "{lists}"),
    ],
)
def test_no_region_is_in_two_parts_and_all_else_is_kept(labelled, tmp_path, capsys, options):
    numbers = np.arange(12000, 12040)
    published.write_split(
        flares.splits.Split(numbers[:20], numbers[20:30], numbers[30:]),
        tmp_path,
    )
    output = tmp_path / "samples.csv"
    assert run("split", labelled, *(str(o).format(lists=tmp_path) for o in options), "-o", output) == 0
    before, after = (pd.read_csv(one, dtype=str, keep_default_na=False) for one in (labelled, output))
    pd.testing.assert_frame_equal(after.drop(columns="part"), before)
    parts = after[after["part"] != ""].groupby("region")["part"].nunique()
    assert (parts == 1).all() and {"train", "validation", "test"} <= set(after["part"])
    assert "validation" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["random", "time", "lists"])
def test_a_region_with_and_without_its_first_digit_is_one(labelled, tmp_path, capsys, by):
    table = pd.read_csv(labelled, dtype=str, keep_default_na=False)
    whole = table["region"].copy()
    table.loc[::3, "region"] = whole[::3].str[1:]
    table.loc[[4, 50], "region"] = ""
    table.to_csv(labelled, index=False)
    numbers = np.arange(12000, 12040)
    published.write_split(flares.splits.Split(numbers[:20], numbers[20:30], numbers[30:]), tmp_path)
    lists = ("--lists", tmp_path) if by == "lists" else ()
    output = tmp_path / "samples.csv"
    assert run("split", labelled, "--by", by, *lists, "-o", output, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    after = pd.read_csv(output, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(after.drop(columns="part"), table)
    assert after.loc[[4, 50], "part"].tolist() == ["", ""]
    assert sum(of["samples"] for of in told.values()) == len(table)
    placed = after["part"] != ""
    assert (after[placed].groupby(whole[placed])["part"].nunique() == 1).all()
    assert sum(of["regions"] for name, of in told.items() if name) == whole[placed].nunique() == 40


def test_labels_that_are_none_are_not_split(labelled, tmp_path, capsys):
    pd.read_csv(labelled).assign(label="yes").to_csv(labelled, index=False)
    assert run("split", labelled, "--by", "random", "-o", tmp_path / "s.csv") == cli.FAILED
    assert "label must be 1, 0 or empty" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_parts(labelled, tmp_path):
    for name in ("a.csv", "b.csv"):
        assert run("split", labelled, "--by", "random", "--seed", 5, "-o", tmp_path / name, "-q") == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert run("split", labelled, "--by", "random", "--seed", 6, "-o", tmp_path / "b.csv", "-q") == 0
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "b.csv").read_bytes()


# -- scores ------------------------------------------------------------------------


@pytest.fixture
def forecasts(tmp_path):
    random = np.random.default_rng(2)
    region = np.repeat(np.arange(12000, 12060), 4)
    label = (random.random(240) < 0.3).astype(float)
    table = pd.DataFrame({
        "region": region,
        "time": pd.Timestamp("2014-01-05") + pd.to_timedelta(random.integers(0, 48, 240), "h"),
        "lon": random.uniform(-90, 90, 240),
        "hours_since_flare": np.where(random.random(240) < 0.5, 5.0, np.nan),
        "label": label,
        "probability": np.clip(0.3 * label + 0.6 * random.random(240), 0, 1),
        "dice": random.random(240),
        "part": np.where(region < 12030, "validation", "test"),
    })  # fmt: skip
    path = tmp_path / "forecasts.csv"
    table.to_csv(path, index=False)
    return path


def test_scores_are_those_of_the_library_with_thresholds_of_the_validation_rows(forecasts, tmp_path, capsys):
    output = tmp_path / "scores"
    given = (forecasts, "--parts", "--baseline", "chance=dice", "-o", output, "--draws", 50)
    assert run("score", *given) == 0
    table = pd.read_csv(forecasts)
    choose, judge = table[table["part"] == "validation"], table[table["part"] == "test"]
    names = {"forecast": "probability", "chance": "dice"}
    threshold = {name: flares.choose_threshold(choose["label"], choose[of]) for name, of in names.items()}
    report = flares.evaluate(judge, threshold=threshold, baselines={"chance": judge["dice"]}, n_boot=50)
    told = json.loads((output / "report.json").read_text())
    for name in names:
        assert told["scores"][name]["values"]["tss"] == report.scores[name].values["tss"]
        assert told["scores"][name]["threshold"] == threshold[name]
    printed = capsys.readouterr().out
    assert printed.startswith(str(report)) and (output / "report.txt").read_text() == f"{report}\n"
    assert {path.name for path in output.iterdir()} == {f"report.{s}" for s in ("csv", "json", "png", "txt")}
    assert len(pd.read_csv(output / "report.csv")) == len(report.table)


def test_a_column_of_another_name_is_scored_as_the_forecast(forecasts, tmp_path):
    renamed = tmp_path / "renamed.csv"
    pd.read_csv(forecasts).rename(columns={"probability": "M_24h"}).to_csv(renamed, index=False)
    given = ("--parts", "--draws", 20, "--no-figure", "-o")
    assert run("score", renamed, "--probability", "M_24h", *given, tmp_path / "a") == 0
    assert run("score", forecasts, *given, tmp_path / "b") == 0
    assert (tmp_path / "a/report.txt").read_text() == (tmp_path / "b/report.txt").read_text()


def test_thresholds_may_come_from_another_file_or_be_given(forecasts, tmp_path, capsys):
    table = pd.read_csv(forecasts)
    for part, rows in table.groupby("part"):
        rows.to_parquet(tmp_path / f"{part}.parquet")
    common = ("--draws", 20, "--no-figure", "--json")
    assert run("score", forecasts, "--parts", "-o", tmp_path / "a", *common) == 0
    first = capsys.readouterr().out
    other = ("--validation", tmp_path / "validation.parquet", "-o", tmp_path / "b")
    assert run("score", tmp_path / "test.parquet", *other, *common) == 0
    again = capsys.readouterr().out
    for told in (first, again):
        assert list(json.loads(told)["scores"]) == ["forecast", "climatology"]
    scores = [json.loads(told)["scores"]["forecast"]["values"] for told in (first, again)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-9)  # old pandas reads the last digit otherwise
    assert run("score", forecasts, "--threshold", 0.4, "--group", "none", "-o", tmp_path / "c", *common) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"]["forecast"]["threshold"] == 0.4 and not told["scores"]["forecast"]["intervals"]


def test_persistence_and_parts_of_the_samples_are_scored_beside(forecasts, reports, tmp_path, capsys):
    by = [word for name in ("lon", "time", "hours_since_flare") for word in ("--by", name)]
    given = ("--threshold", 0.5, "--events", reports, "-o", tmp_path / "s", "--draws", 10, "--no-figure")
    assert run("score", forecasts, *given, *by) == 0
    out = capsys.readouterr().out
    assert "\npersistence " in out and "up to 30 deg" in out and "maximum" in out and "quiet" in out


def test_forecasts_that_anybody_can_make_are_scored_beside(forecasts, reports, tmp_path, capsys):
    table = pd.read_csv(forecasts, parse_dates=["time"])
    table["region"] -= 60  # half of them are in the summary
    table.to_csv(forecasts, index=False)
    rows = [
        {"region": region, "time": pd.Timestamp("2014-01-05"), "section": "I", "lat": 10.0, "lon": 20.0,
         "carrington_lon": 100.0, "area": 100, "mcintosh": "Dai", "extent": 5, "n_spots": 9, "mag_class": "Beta"}
        for region in table["region"].unique()[15:45]
    ]  # fmt: skip
    flares.write_srs(regions_table(rows), tmp_path / "srs")
    known = ("--events", reports, "--regions", tmp_path / "srs", "--class", "M1.0")
    given = ("--parts", "-o", tmp_path / "s", "--draws", 10, "--no-figure", "--json")
    assert run("score", forecasts, *given, *known) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert list(told["scores"]) == ["forecast", "persistence", "McIntosh-Poisson", "text", "climatology"]
    assert "60 of 120 samples are left out" in err and "text 60" in err
    assert told["scores"]["text"]["n"] == 60
    assert run("score", forecasts, *given, *known[2:]) == 1
    assert "--regions needs --events" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "2"), "threshold must be"),
        (("--threshold", "0.5", "--baseline", "a=b"), "lacks the column 'b'"),
        (("--threshold", "0.5", "--baseline", "forecast=dice"), "each forecast must have a name of its own"),
        (("--threshold", "0.5", "--group", "harp"), "'harp'"),
        (("--validation", "nowhere.csv"), "there is no file nowhere.csv"),
    ],
)
def test_scores_that_cannot_be_are_refused_with_what_to_do(forecasts, tmp_path, capsys, options, message):
    assert run("score", forecasts, *options, "-o", tmp_path / "s", "--no-figure") == cli.FAILED
    assert message in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_a_column_is_not_replaced_by_a_forecast_of_its_name(forecasts, reports, tmp_path, capsys):
    pd.read_csv(forecasts).assign(persistence=0.25).to_csv(forecasts, index=False)
    given = (
        "--threshold",
        0.5,
        "--events",
        reports,
        "-o",
        tmp_path / "s",
        "--draws",
        10,
        "--no-figure",
        "--json",
    )
    assert run("score", forecasts, *given, "--baseline", "mine=persistence") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    table = pd.read_csv(forecasts)
    assert scores["mine"]["values"]["brier"] == pytest.approx(((table["label"] - 0.25) ** 2).mean())
    assert scores["persistence"]["values"]["brier"] != scores["mine"]["values"]["brier"]


def test_regions_on_two_sides_are_said(forecasts, tmp_path, capsys):
    common = ("--draws", 5, "--no-figure", "-q", "-o", tmp_path / "s")
    assert run("score", forecasts, "--parts", *common) == 0
    assert capsys.readouterr().err == ""
    table = pd.read_csv(forecasts)
    table.loc[[0, 4], "part"] = ["test", "train"]
    table.loc[[8], ["region", "part"]] = [2002, "test"]  # 12002 without its first digit
    table.to_csv(forecasts, index=False)
    assert run("score", forecasts, "--parts", *common) == 0
    assert "3 regions are on more than one side of the split" in capsys.readouterr().err
    assert run("score", forecasts, "--validation", forecasts, *common) == 0
    assert "60 regions are on more than one side" in capsys.readouterr().err


def test_a_table_without_any_part_is_refused(forecasts, tmp_path, capsys):
    pd.read_csv(forecasts).assign(part="").to_csv(forecasts, index=False)
    assert run("score", forecasts, "--parts", "-o", tmp_path / "s") == cli.FAILED
    assert "must have rows of both parts, test and validation" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["label", "probability"])
def test_texts_are_not_scored(forecasts, tmp_path, capsys, column):
    pd.read_csv(forecasts).assign(**{column: "yes"}).to_csv(forecasts, index=False)
    assert run("score", forecasts, "--threshold", 0.5, "-o", tmp_path / "s") == cli.FAILED
    assert f"the column '{column}' must be numbers, got 'yes'" in capsys.readouterr().err


# -- forecasts from text -----------------------------------------------------------


def test_forecast_prints_regions_and_disk_in_percent(summaries, reports, model, capsys):
    assert run("forecast", summaries, "--events", reports, "--model", model) == 0
    out = capsys.readouterr().out
    assert "Flares from 2014-01-07 00:00 UTC" in out and "model 0.9 (" in out
    assert "that of the day before, and reports of flares" in out
    rows = [line.split() for line in out.splitlines()[-3:]]
    assert rows[0] == ["11944", "S09W06", "Fkc", "Beta-Gamma-Delta", "50", "12", "<1", "73", "27", "<1"]
    assert rows[1] == ["11945", "N09E34", "Axx", "Alpha", "50", "12", "<1", "73", "27", "<1"]
    assert rows[2] == ["whole", "disk", "75", "22", "<1", "93", "47", "<1"]


@pytest.mark.parametrize(
    ("days", "with_events", "said"),
    [
        ("*", False, "and that of the day before, without reports of flares"),
        ("20140107*", True, "and reports of flares, without the summary of the day before"),
        ("20140107*", False, "from the summary of 2014-01-07 alone"),
    ],
)
def test_forecast_says_what_it_was_made_from(summaries, reports, model, capsys, days, with_events, said):
    events = ("--events", reports) if with_events else ()
    assert run("forecast", *sorted(summaries.glob(days)), "--model", model, *events) == 0
    assert said in capsys.readouterr().out


def test_forecast_as_json_and_table_is_that_of_the_library(summaries, model, tmp_path, capsys):
    given = ("--model", model, "--time", "2014-01-07T12:00", "--json", "-o", tmp_path / "f.parquet")
    assert run("forecast", summaries, *given) == 0
    told = json.loads(capsys.readouterr().out)
    expected = flares.forecast(summaries, time="2014-01-07T12:00", model=model)
    assert [row["region"] for row in told["regions"]] == expected["region"].tolist()
    assert told["regions"][0]["M_24h"] == pytest.approx(expected["M_24h"].iloc[0], abs=1e-6)
    assert told["summary"] == "2014-01-07" and told["inputs"] == "summary, evolution"
    assert told["model"] == {"version": "0.9", "sha256": text.load(model).sha256}
    assert told["disk"]["C_24h"] == pytest.approx(0.75)
    assert pd.read_parquet(tmp_path / "f.parquet")["M_24h"].tolist() == expected["M_24h"].tolist()


def test_the_scoreboard_takes_windows_of_24_and_48_hours(summaries, model):
    made = flares.forecast(summaries, model=model)
    with pytest.raises(ValueError, match="hours must be 24 or 48, got 12"):
        flares.scoreboard_forecast(made, hours=12, model=text.load(model))
    board = flares.scoreboard_forecast(made, model=text.load(model), issued="2014-01-06T23:00")
    assert (board.issued, board.start) == (pd.Timestamp("2014-01-06T23:00"), pd.Timestamp("2014-01-07"))


@pytest.mark.parametrize("suffix", ["txt", "xml"])
def test_forecast_writes_a_file_of_the_scoreboard(summaries, model, tmp_path, suffix):
    output = tmp_path / f"board.{suffix}"
    given = ("--model", model, "--scoreboard", output, "--hours", 48, "-q")
    assert run("forecast", summaries, *given) == 0
    board = exchange.read_scoreboard(output)
    assert board.start == pd.Timestamp("2014-01-07") and board.end == pd.Timestamp("2014-01-09")
    found = board.table.set_index(["location", board.table["flare_class"].str[0]])["probability"]
    assert found["S09W06", "M"] == pytest.approx(1 / (1 + np.e), abs=1e-4) and len(found) == 9
    assert found["", "C"] == pytest.approx(0.9277, abs=1e-4)


def test_a_sun_without_regions_is_no_error(tmp_path, model, capsys):
    file = tmp_path / "20140107SRS.txt"
    file.write_text(SUMMARY.format(day=DAYS[4], rows="None"))
    assert run("forecast", file, "--model", model) == 0
    assert "has no region on the disk" in capsys.readouterr().out
    assert run("forecast", file, "--model", model, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["regions"] == [] and told["disk"] is None
    assert run("forecast", file, "--model", model, "--scoreboard", tmp_path / "b.txt") == cli.FAILED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", "soon"), "time must be such as 2014-01-07T12:00, got 'soon'"),
        (("--time", "2014-03-01"), "needs a summary of the 48 hours before"),
        (("-o", "f.txt"), "suffix must be one of .csv, .parquet"),
        (("--events", "nowhere"), "nowhere"),
    ],
)
def test_forecasts_that_cannot_be_are_refused(summaries, model, capsys, options, message):
    assert run("forecast", summaries, "--model", model, *options) == cli.FAILED
    assert message in capsys.readouterr().err


def test_forecast_imports_no_library_for_training_or_maps(summaries, reports, model):
    code = (
        "import sys; from solartrack.cli import main; "
        f"main(['flares', 'forecast', {str(summaries)!r}, '--events', {str(reports)!r}, "
        f"'--model', {str(model)!r}, '-q']); "
        "heavy = ('sklearn', 'skops', 'scipy', 'sunpy', 'matplotlib', 'onnxruntime', 'requests', 'dask'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith(
        "\n[]\n"
    )


def test_the_model_of_the_package_forecasts_a_real_summary(shared, capsys):
    assert run("forecast", shared / "data/noaa/srs/20150306SRS.txt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["regions"] and all(0 < row["C_24h"] < 1 for row in told["regions"])


def test_the_model_of_the_package_says_what_its_forecast_is_worth(shared, capsys):
    summary = shared / "data/noaa/srs/20150306SRS.txt"
    assert run("forecast", summary) == 0
    said = capsys.readouterr().out.splitlines()[-3:]
    assert said[0] == "Scores on regions of 1996 to 2018 left out of the fit, 24 h, with these inputs:"
    assert said[1].startswith("C TSS 0.50, BSS 0.27; M TSS")
    assert said[2] == "This day is in those years: the model may have been fitted to it."
    assert run("forecast", summary, "--json") == 0
    model = json.loads(capsys.readouterr().out)["model"]
    assert model["fitted_to"] == ["1996-08-06", "2018-06-28"]
    value, low, high = model["cross_validation"]["C_24h"]["tss"]
    assert low < value < high


# -- training and forecasts of the machine -----------------------------------------


@pytest.fixture
def trained(patches, tmp_path):
    """Labels, parts, features and a model, made by the commands."""
    events, labels, samples = tmp_path / "flares.csv", tmp_path / "labels.csv", tmp_path / "samples.csv"
    assert run("label", patches, "--events", events, "-o", labels, "-q") == 0
    shares = ("--validation", 0.25, "--test", 0.25, "--stratify")
    assert run("split", labels, "--by", "random", *shares, "-o", samples, "-q") == 0
    assert cli.main(["features", str(patches), "-o", str(tmp_path / "features"), "--workers", "1", "-q"]) == 0
    table = tmp_path / "features/features"
    given = (table, "--labels", samples, "--kernel", "linear", "-o", tmp_path / "model.skops")
    assert run("train", *given, "-q") == 0
    return tmp_path


def test_from_patches_to_scores_in_one_sequence_of_commands(trained, capsys):
    given = (
        "--model",
        trained / "model.skops",
        trained / "features/features",
        "--labels",
        trained / "samples.csv",
    )
    assert run("predict", *given, "-o", trained / "forecasts.csv") == 0
    assert "72 forecasts" in capsys.readouterr().out
    score = (trained / "forecasts.csv", "--parts", "-o", trained / "scores", "--draws", 10, "--no-figure")
    assert run("score", *score, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"]["forecast"]["values"]["tss"] == 1.0 and told["scores"]["forecast"]["n"] == 18


def test_training_uses_the_training_and_validation_parts_alone(trained, capsys):
    common = ("--labels", trained / "samples.csv", "-o", trained / "again.skops", "--json")
    assert run("train", trained / "features/features", *common, "--kernel", "linear") == 0
    told = json.loads(capsys.readouterr().out)
    parts = pd.read_csv(trained / "samples.csv").groupby("part")["region"].unique()
    assert told["training"]["rows"] == 54
    assert told["settings"]["validation"] == sorted(map(str, parts["validation"]))
    assert told["threshold"] == flares.svm.SvmModel.load(trained / "model.skops").threshold


def test_without_parts_training_validates_in_folds(trained, capsys):
    common = ("--labels", trained / "labels.csv", "-o", trained / "again.skops", "--folds", 3)
    assert run("train", trained / "features/features", *common, "--tune", "--kernel", "linear") == 0
    out = capsys.readouterr().out
    assert "72 rows of 24 regions, 36 positive" in out and "a cross-validation in 3 folds: TSS 1.000" in out
    assert "linear kernel, C " in out and "solver exact: 72 rows" in out


def test_the_published_table_of_features_trains_a_model_too(patches, trained, capsys):
    given = (patches, "--events", trained / "flares.csv", "-o", trained / "l.csv", "-q")
    assert run("label", *given, "--label-file", trained / "published.csv") == 0
    measured = ["features", str(patches), "--labels", str(trained / "published.csv"), "--workers", "1", "-q"]
    assert cli.main([*measured, "-o", str(trained / "f")]) == 0
    output, onnx = trained / "p.skops", trained / "p.onnx"
    given = (trained / "f/features.csv", "--kernel", "linear", "--onnx", onnx, "-o", output)
    assert run("train", *given) == 0
    assert onnx.stat().st_size and "72 rows of 24 regions" in capsys.readouterr().out


def test_patches_are_forecast_in_a_table_or_as_an_archive(patches, trained, capsys):
    (patches / "bad.fits").write_bytes(b"no")
    model = trained / "model.skops"
    labels = ("--labels", trained / "samples.csv")
    assert run("predict", "--model", model, patches, *labels, "-o", trained / "f.csv") == cli.INCOMPLETE
    assert "bad.fits: starts with" in capsys.readouterr().err
    assert (
        run("predict", "--model", model, patches, "-o", trained / "f", "--workers", 1, "-q") == cli.INCOMPLETE
    )
    table, parts = pd.read_csv(trained / "f.csv"), pd.read_parquet(trained / "f/forecasts")
    both = table.merge(parts, on="file")
    assert len(both) == 72
    np.testing.assert_allclose(both["probability_x"], both["probability_y"], rtol=1e-12)
    assert table["label"].notna().sum() == 72


def test_rows_with_undefined_features_cost_themselves_only(trained, capsys):
    table = pd.read_parquet(trained / "features/features")
    table.loc[0, "gradient_skewness"] = np.nan
    table.to_parquet(trained / "f.parquet")
    labels = ("--labels", trained / "samples.csv")
    assert run("train", trained / "f.parquet", *labels, "--kernel", "linear", "-o", trained / "n.skops") == 3
    said = capsys.readouterr()
    assert f"the first is {table['file'][0]}, its gradient_skewness" in said.err
    assert run("predict", "--model", trained / "n.skops", trained / "f.parquet", "-o", trained / "p.csv") == 3
    forecasts = pd.read_csv(trained / "p.csv")
    assert forecasts["probability"].isna().tolist() == [True] + [False] * 71


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "{features}", "-o", "{out}/m.skops"), "no label is known"),
        (("train", "{labels}", "-o", "{out}/m.skops"), "the table lacks 29 of 29 columns"),
        (("train", "{features}", "-o", "{out}/m.pkl"), "suffix must be one of .skops"),
        (("train", "{features}", "--labels", "{other}", "-o", "{out}/m.skops"), "has none of the samples"),
        (
            ("train", "{features}", "--labels", "{twice}", "-o", "{out}/m.skops"),
            "has a sample more than once",
        ),
        (("predict", "--model", "{features}/none", "{features}", "-o", "{out}/f.csv"), "No such file"),
        (("predict", "--model", "{labels}", "{features}", "-o", "{out}/f.csv"), "is not a model"),
        (
            ("predict", "--model", "{model}", "{labels}", "-o", "{out}/f.csv"),
            "the table lacks 29 of 29 columns",
        ),
        (("predict", "--model", "{model}", "{patches}", "-o", "{out}/f.txt"), "suffix must be one of"),
        (
            ("predict", "--model", "{model}", "{patches}", "-o", "{out}/f", "--labels", "{labels}"),
            "needs a file as output",
        ),
    ],
)
def test_what_cannot_be_trained_or_forecast_is_refused(trained, patches, capsys, command, message):
    labels = pd.read_csv(trained / "labels.csv")
    labels.assign(name=labels["name"] + "x").to_csv(trained / "other.csv", index=False)
    pd.concat([labels, labels]).to_csv(trained / "twice.csv", index=False)
    places = {
        "features": trained / "features/features",
        "labels": trained / "labels.csv",
        "other": trained / "other.csv",
        "twice": trained / "twice.csv",
        "model": trained / "model.skops",
        "patches": patches,
        "out": trained,
    }
    assert run(*(word.format(**places) for word in command)) == cli.FAILED
    assert message in capsys.readouterr().err


def test_help_shows_the_sequence_and_imports_nothing_slow():
    code = (
        "import sys, contextlib, io; from solartrack.cli import main\n"
        "for words in ([], ['train'], ['score'], ['forecast'], ['train-images'], ['predict'], ['explain']):\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        main(['flares', *words, '--help'])\n"
        "    assert 'examples:' in out.getvalue() and 'exit status:' in out.getvalue()\n"
        "print([m for m in ('pandas', 'sklearn', 'matplotlib', 'astropy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
