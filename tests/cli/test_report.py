import pandas as pd
import pytest

from solartrack import cli, tracking

pytest.importorskip("matplotlib")


@pytest.fixture
def track_file(tmp_path):
    rows = pd.DataFrame({"frame": range(3), "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": [4.0, 5.0, 6.0]})
    path = tmp_path / "track.csv"
    rows.to_csv(path, index=False)
    return path


def test_report_names_its_file_and_has_a_section_for_each_table(track_file, tmp_path, capsys):
    other = tmp_path / "a/track.csv"
    other.parent.mkdir()
    other.write_bytes(track_file.read_bytes())
    forecasts = tmp_path / "<i>.csv"
    pd.DataFrame({"region": [1], "probability": [0.25]}).to_csv(forecasts, index=False)
    out = tmp_path / "r.html"
    assert (
        cli.main(["report", *map(str, (track_file, other, forecasts)), "--title", "x & y", "-o", str(out)])
        == 0
    )
    assert capsys.readouterr().out == f"wrote {out}\n"
    page = out.read_text("utf-8")
    assert "<h2>a/track.csv</h2>" in page and f"<h2>{tmp_path.name}/track.csv</h2>" in page
    assert f"<h2>{tmp_path.name}/&lt;i&gt;.csv</h2>" in page and "<h1>x &amp; y</h1>" in page
    assert page.count("<section") == 3


def test_truth_is_scaled_and_scored(track_file, tmp_path, capsys):
    truth = tracking.read_track(track_file)
    truth[["x0", "y0", "x1", "y1"]] *= 4
    truth[["frame", "x0", "y0", "x1", "y1"]].to_csv(tmp_path / "truth.csv", index=False)
    out = tmp_path / "r.html"
    scaled = ["--truth", str(tmp_path / "truth.csv"), "--truth-scale", "0.25"]
    assert cli.main(["report", str(track_file), *scaled, "-o", str(out), "-q"]) == 0
    assert "<dt>mean IoU</dt><dd>1</dd>" in out.read_text("utf-8")
    assert capsys.readouterr().out == f"wrote {out}\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{here}/gone.csv"], "there is no file or folder {here}/gone.csv"),
        (["{here}/track.csv", "-o", "{here}/r.pdf"], "the suffix must be one of .html, .htm"),
        (["{here}/track.csv", "{here}/track.csv"], "track.csv is named twice"),
        (["{here}/track.csv", "--images", "{here}"], "no images found"),
        (["{here}/cut.csv"], "is not a readable table: line 2 has 2 fields, but the header has 5"),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_status_1(track_file, tmp_path, capsys, arguments, message):
    (tmp_path / "cut.csv").write_text("frame,x0,y0,x1,y1\n1,2\n")
    fill = {"here": str(tmp_path)}
    output = [] if "-o" in arguments else ["-o", str(tmp_path / "r.html")]
    assert cli.main(["report", *(one.format(**fill) for one in arguments), *output]) == 1
    err = capsys.readouterr().err
    assert message.format(**fill) in err and err.startswith("solartrack: error: ")
    assert not (tmp_path / "r.html").exists()
