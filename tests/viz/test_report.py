import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from solartrack import features, flares, simulate, tracking
from solartrack.viz import Result, report, reports

pytest.importorskip("matplotlib")

#: What a page may have; all else is a mistake of the escaping.
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "nav", "a", "main",
    "section", "footer", "p", "div", "dl", "dt", "dd", "details", "summary", "ul", "li", "table",
    "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "video", "svg", "g", "path", "defs",
    "use", "clippath", "rect", "text",
}  # fmt: skip
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='a()'>&amp;</style></title>$x_$ \u202egnp.\x00"
SAID = "<script>alert(1)</script><img src=x onerror='a()'>&amp;</style></title>$x_$ \\u202egnp.\\u0000"


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def track(n=5, **columns):
    rows = [
        {"frame": i, "file": f"f{i}.png", "time": np.datetime64("2014-01-01T00:00") + np.timedelta64(4 * i, "h"),
         "days": i / 6, "x0": 10.0 + i, "y0": 20.0, "x1": 30.0 + i, "y1": 40.0, "lon": 2.0 * i, "lat": 5.0, "score": 0.9,
         "state": "start" if i == 0 else "tracked", "tracker": "solar", "settings": {"law": "snodgrass"}}
        for i in range(n)
    ]  # fmt: skip
    return tracking.table.as_table([row | {"message": "", "tx0": np.nan} for row in rows]).assign(**columns)


def made(tmp_path, results, **options):
    path = tmp_path / "r.html"
    report(path, results, **options)
    return Page(path)


def forecasts(n=3):
    return pd.DataFrame(
        {"region": range(11158, 11158 + n), "time": "2011-02-14", "C_24h": np.linspace(0.004, 0.9, n)}
    )


def patches(n=6, **columns):
    table = pd.DataFrame({name: np.arange(n) * 1.5 for name in features.COMPLEXITY_NAMES})
    return table.assign(time=pd.date_range("2011-02-14", periods=n, freq="4h"), **columns)


# -- what is wrong is said before anything is written --------------------------------


def test_what_is_no_table_is_refused_with_its_heading(tmp_path):
    for results, error, words in [
        ({}, ValueError, "at least one table, got none"),
        ([track()], TypeError, "must map headings to tables, got list"),
        ({"a": 3}, TypeError, "a: expected a pandas DataFrame or a path, got int"),
        ({"a": track(0)}, ValueError, "a has no rows"),
        ({"a": pd.DataFrame({"b": [1]})}, ValueError, "a is of no known kind: expected a table of tracks.*columns are b"),
        ({"a": track(x0="wide")}, ValueError, "a: the column x0 must hold numbers: .*wide"),
        ({"a": track(frame=np.nan)}, ValueError, "a: the column frame has a row without a number"),
        ({"a": track(time="noon")}, ValueError, "a: the column time must hold times in ISO 8601: .*noon"),
        ({"a": forecasts().assign(C_24h=1.2)}, ValueError, "a: probabilities must be between 0 and 1, got 1.2"),
        ({"a": Result(patches(), images=tmp_path)}, ValueError, "a is a table of features; truth and images are for"),
        ({"a": Result(track(), truth=track(frame=range(90, 95)))}, ValueError, "a cannot be scored: .*in common"),
        ({"a": Result(track(id=[1, 1, 2, 2, 3]), truth=track())}, ValueError, "a has 3 tracks, and a truth is of one"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            report(tmp_path / "r.html", results)
    assert not list(tmp_path.iterdir())


def test_truth_and_images_need_a_track(tmp_path):
    with pytest.raises(ValueError, match="truth is for tracks, and none of the tables is one of tracks"):
        report(tmp_path / "r.html", {"a": patches()}, truth=track())
    made(tmp_path, {"a": patches(), "b": track()}, truth=track())


def test_a_file_that_is_no_table_is_named(tmp_path):
    track().to_parquet(tmp_path / "cut.parquet")
    whole = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    tracking.write_track(track(), tmp_path / "cut.csv")
    text = (tmp_path / "cut.csv").read_text()
    (tmp_path / "cut.csv").write_text(text[: text.rindex(",")])
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "headless.csv").write_text("1,2,3\n")
    (tmp_path / "t.doc").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "job").mkdir()
    (tmp_path / "job/manifest.json").write_text('{"job": "features"}')
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/manifest.json").write_text('{"job": ')
    for name, words in [
        ("cut.parquet", "cut.parquet is not a readable table"),
        ("cut.csv", "cut.csv is not a readable table: line 6 has"),
        ("empty.csv", "the file is empty"),
        ("headless.csv", "headless.csv is not a readable table"),
        ("t.doc", "the suffix must be .csv, .parquet, .txt or .ann"),
        ("folder", "folder is a folder without a manifest.json"),
        ("job", "job has no results yet: features/ has no Parquet files"),
        ("bad", "bad has a damaged manifest.json"),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            report(tmp_path / "r.html", {"a": tmp_path / name})
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*gone"):
        report(tmp_path / "r.html", {"a": tmp_path / "gone"})
    assert not (tmp_path / "r.html").exists()


def test_the_output_is_an_html_file_in_a_folder_that_is_there(tmp_path):
    with pytest.raises(ValueError, match=r"a report must end in .html, got 'r.pdf'"):
        report(tmp_path / "r.pdf", {"a": track()})
    with pytest.raises(FileNotFoundError, match=r"the folder .*none of the report does not exist"):
        report(tmp_path / "none/r.html", {"a": track()})


def test_images_that_are_not_those_of_the_track_are_refused(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    Image.new("L", (64, 64)).save(tmp_path / "other.png")
    with pytest.raises(ValueError, match=r"a: none of the images of the track is there: no image f0.png"):
        report(tmp_path / "r.html", {"a": Result(track(), images=tmp_path / "other.png")})
    with pytest.raises(FileNotFoundError, match="no images found"):
        report(tmp_path / "r.html", {"a": track()}, images=[])


def test_without_matplotlib_the_pip_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r"a report needs 'matplotlib'; run: pip install 'solartrack\[viz\]'"
    ):
        report(tmp_path / "r.html", {"a": track()})


# -- the page is one file, and what stands in the data stays text ---------------------


def test_the_page_needs_nothing_from_elsewhere_and_has_no_script(tmp_path):
    page = made(
        tmp_path,
        {"t": Result(track(), truth=track()), "f": patches(), "p": forecasts()},
        facts={"x": {"a": 1}},
    )
    assert set(page.tags) <= TAGS
    links = [
        value for name, value in page.attributes if name in ("src", "href", "xlink:href", "poster", "action")
    ]
    assert links and all(value.startswith(("#", "data:")) for value in links)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    css = (tmp_path / "r.html").read_text()
    assert "@import" not in css and "default-src 'none'" in css and "script-src" not in css
    assert not re.findall(r"url\((?!#)", css)


def test_whatever_stands_in_the_data_is_shown_as_text(tmp_path):
    hostile = track(
        file=HOSTILE, message=HOSTILE, state=HOSTILE, tracker=HOSTILE, settings=json.dumps({HOSTILE: HOSTILE})
    )
    many = track(6, event=[HOSTILE, HOSTILE, "b", "b", "c", "c"])
    regions = patches(region=[HOSTILE] * 3 + ["b"] * 3)
    risks = forecasts().assign(region=HOSTILE, mcintosh=HOSTILE)
    errors = pd.DataFrame({"event": [HOSTILE], "file": [HOSTILE], "reason": [HOSTILE]})
    results = {HOSTILE: hostile, "many": Result(many, errors=errors, text=HOSTILE), "f": regions, "p": risks}
    page = made(tmp_path, results, title="\ud800", text=HOSTILE, facts={HOSTILE + "2": {HOSTILE: HOSTILE}})
    assert set(page.tags) <= TAGS
    assert page.text.count(SAID) > 20 and "\\ud800" in page.words
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_long_texts_are_cut_in_tables_and_never_in_the_introduction(tmp_path):
    page = made(tmp_path, {"a": Result(track(message="m" * 5000), text="i" * 5000)}, text="l" * 5000)
    assert "m" * 300 + " …" in page.text and "m" * 301 not in page.text
    assert "i" * 5000 in page.text and "l" * 5000 in page.text


# -- tracks --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_settings_of_a_file_are_shown(tmp_path, name):
    tracking.write_track(track(), tmp_path / name)
    assert "law snodgrass" in made(tmp_path, {"a": tmp_path / name}).text
    bare = track()
    bare.attrs = {}
    assert "law" not in made(tmp_path, {"a": bare}).text
    bare.attrs = {"settings": "torn {"}
    assert "The settings cannot be read." in made(tmp_path, {"a": bare}).text


def test_a_track_without_truth_has_no_iou_and_one_with_it_has_its_scores(tmp_path):
    table = track()
    assert "IoU" not in made(tmp_path, {"a": table}).text
    page = made(tmp_path, {"a": table}, truth=table.assign(x1=table["x1"] + 20))
    assert "Agreement with the truth" in page.text and "mean IoU 0.5 " in page.text
    assert (
        "5 images from 2014-01-01 00:00 to 2014-01-01 16:00 UTC: 4 tracked, 1 start. Tracker: solar."
        in page.text
    )


def test_a_track_with_boxes_alone_is_drawn_over_its_frame_numbers(tmp_path):
    table = track()
    tracking.write_track(table, tmp_path / "t.txt")
    # The text has no row for frames without a box; those count as missed.
    truth = pd.concat([table, table.tail(1).assign(frame=9)])[["frame", "x0", "y0", "x1", "y1"]]
    page = made(tmp_path, {"a": Result(tmp_path / "t.txt", truth=truth)})
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert "Middle of the box: pixels from the left edge over frame number" in labels
    assert "Agreement with the truth: IoU over frame number" in labels
    assert "mean IoU 0.8333" in page.text and "scored images 6" in page.text


def test_a_track_that_never_had_a_box_says_why(tmp_path):
    nothing = track(x0=np.nan, x1=np.nan, lon=np.nan, lat=np.nan, score=np.nan, time=pd.NaT, message="no WCS")
    page = made(tmp_path, {"a": nothing.assign(state="no_geometry")})
    assert "5 images: 5 no geometry." in page.text and "no WCS (5 times)" in page.text


def test_hundreds_of_tracks_stay_small_and_it_is_said_what_is_shown(tmp_path):
    one = track(40)
    table = pd.concat([one.head(40 - i % 7).assign(id=i) for i in range(700)])
    page = made(tmp_path, {"a": table})
    assert "700 tracks, " in page.text and "The first 200 of 700 rows are shown." in page.text
    assert "The 6 longest of 700 tracks are drawn." in page.text
    assert (tmp_path / "r.html").stat().st_size < 300_000


def test_a_long_track_is_thinned_in_its_curves(tmp_path):
    made(tmp_path, {"a": track(1).loc[[0] * 30_000].assign(frame=range(30_000))})
    assert (tmp_path / "r.html").stat().st_size < 300_000


def test_absurd_values_and_times_are_gaps_in_the_curves(tmp_path):
    table = track(5)
    table.loc[0, "lon"], table.loc[1, "lon"], table.loc[2, "score"] = 1.7e308, -1.7e308, np.inf
    table["time"] = ["0001-01-01", "9999-12-31", "", "2014-01-01", "2014-01-02"]
    assert " to 9999-12-31 00:00 UTC" in made(tmp_path, {"a": table}).text


def test_the_movie_is_in_the_page_and_plays_all_images(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    table = tracking.track(
        [str(one) for one in _images(tmp_path / "i")], [20, 20, 44, 44], tracker="rotation"
    )
    page = made(tmp_path, {"a": Result(table, images=tmp_path / "i")})
    assert "Movie: red is the tracked box." in page.text
    (source,) = [value for name, value in page.attributes if name == "src"]
    (tmp_path / "m.mp4").write_bytes(base64.b64decode(source.partition("base64,")[2]))
    assert ffmpeg.count_frames_and_secs(tmp_path / "m.mp4")[0] == 3
    (tmp_path / "i/frame_0001.fits").unlink()
    page = made(tmp_path, {"a": Result(table, images=tmp_path / "i")})
    assert "1 image missing: no image" in page.text


def _images(folder):
    simulate.write(folder, simulate.sequence(1, 3, size=64))
    return sorted(folder.glob("*.fits"))


def test_the_folder_of_a_run_is_a_result_with_its_errors(tmp_path):
    (tmp_path / "run/tracks").mkdir(parents=True)
    (tmp_path / "run/manifest.json").write_text('{"solartrack": "0.1.0"}')
    track(event="first").to_parquet(tmp_path / "run/tracks/part-000000.parquet")
    track(event="second").to_parquet(tmp_path / "run/tracks/part-000001.parquet")
    pd.DataFrame({"event": ["third"], "file": [""], "reason": ["no image"]}).to_parquet(
        tmp_path / "run/errors.parquet"
    )
    page = made(tmp_path, {"a": tmp_path / "run"})
    assert "2 tracks, 10 rows" in page.text and "1 error " in page.text and "no image" in page.text
    assert {"first", "second", "third"} <= set(page.words)


# -- features and forecasts ------------------------------------------------------------


def test_features_are_counted_and_drawn_by_region_over_time(tmp_path):
    names = [
        f"{region}_hmi.M_720s.20110215_0{i}0000_TAI.1.magnetogram.fits"
        for region in (1158, 1160)
        for i in range(3)
    ]
    table = patches(file=names).drop(columns="time")
    table.loc[2, "flux_unsigned"] = np.nan
    table.loc[3, "flux_unsigned"] = np.inf
    page = made(tmp_path, {"a": table})
    assert (
        "6 patches from 2011-02-14 23:59 to 2011-02-15 01:59 UTC of 2 regions. 6 of the 29 features are drawn."
        in page.text
    )
    assert page.words.count("11158") == page.words.count("11160") == 6
    assert "flux_unsigned 3.75 0 7.5 2 " in page.text  # of the four rows with a number


def test_features_of_files_without_a_time_are_drawn_over_the_row(tmp_path):
    page = made(tmp_path, {"a": patches(file="patch.fits").drop(columns="time")})
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert "Unsigned flux (flux_unsigned):  over row" in labels


def test_physical_features_and_keywords_have_their_units(tmp_path):
    keywords = pd.DataFrame(
        {"USFLUX": [1e22, 2e22], "R_VALUE": [4.0, 4.5], "time": ["2011-02-14", "2011-02-15"]}
    )
    physical = pd.DataFrame({"flux_unsigned": [1e22], "nl_strong_length": [30.0]})
    page = made(tmp_path, {"k": keywords, "p": physical})
    assert "USFLUX 1.5e+22 1e+22 2e+22 Mx 0" in page.text and "nl_strong_length 30 30 30 Mm 0" in page.text
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert "Total unsigned flux (USFLUX): Mx over time (UTC)" in labels


def test_the_published_table_of_features_needs_no_header(tmp_path):
    line = ",".join(["1.5"] * 29 + ["1", "M1.0", "1158_hmi.M_720s.20110215_000000_TAI.1.magnetogram.fits"])
    (tmp_path / "features.csv").write_text(line + "\n")
    assert (
        "1 patch of 2011-02-14 23:59 UTC of 1 region."
        in made(tmp_path, {"a": tmp_path / "features.csv"}).text
    )


def test_probabilities_are_per_cent_with_bars(tmp_path):
    page = made(tmp_path, {"a": forecasts().assign(M_24h=[np.nan, 0.5, 1.0])})
    assert "3 forecasts of 2011-02-14 00:00 UTC of 3 regions." in page.text
    assert ("style", "--p:50.0%") in page.attributes
    row = page.text[page.text.index("11158 <1 %") :]
    assert row.startswith("11158 <1 % – 11159 45 % 50 % 11160 90 % 100 %")


def test_of_many_forecasts_the_most_probable_are_listed(tmp_path):
    table = pd.DataFrame(
        {"file": [f"{i}.fits" for i in range(500)], "probability": np.linspace(0, 1, 500), "flare": True}
    )
    table.loc[0, "probability"] = np.nan
    page = made(tmp_path, {"a": table})
    assert "1 row without a probability." in page.text
    assert "499.fits" in page.words and "400.fits" in page.words and "399.fits" not in page.words
    assert (
        "The first 100 of 500 rows are shown." in page.text
        and "The most probable rows come first." in page.text
    )


def test_what_forecast_returns_is_a_result(tmp_path):
    from solartrack import demo

    page = made(tmp_path, {"a": flares.forecast(demo.SUMMARIES)})
    assert "12673" in page.words and "≥X1.0, 48 h" in page.words


def test_the_limits_in_the_docstring_are_those_of_the_code():
    text = " ".join(report.__doc__.split())
    for words in (
        f"lists {reports._MAX_TRACKS} tracks, {reports._MAX_ROWS} rows and {reports._MAX_ERRORS} errors",
        f"at most {reports._MOVIE_FRAMES} images",
    ):
        assert words in text


def test_the_mean_score_of_a_track_is_that_of_the_rows_with_a_box():
    gone = [False, False, False, True, True]
    table = track().assign(score=np.where(gone, 0.0, 0.8))
    table.loc[gone, ["x0", "y0", "x1", "y1"]] = np.nan
    (row,) = reports._summary({"a": table}).to_dict("records")
    assert (row["rows"], row["with a box"]) == (5, 3) and row["mean score"] == pytest.approx(0.8)
