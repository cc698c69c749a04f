"""What the commands say about tables, times and folders that are not as meant, and about full disks."""

import errno
import gc
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from solartrack import cli, metrics, sequence, tracking
from solartrack.errors import TrackError

TRACK = ("track", "--tracker", "rotation", "--box", "20,20,30,28", "--disk=32,32,28,4", "-q")
SIDES = ["x0", "y0", "x1", "y1"]


@pytest.fixture
def track_file(pictures, tmp_path):
    path = tmp_path / "track.csv"
    when = ("--times", "2014-02-03T00:00:00", "--cadence", "6h")
    assert cli.main([*TRACK, str(pictures), *when, "--start", "11", "-o", str(path)]) == 0
    return path


# -- times -------------------------------------------------------------------------


def test_times_may_come_from_a_track_of_solartrack_itself(pictures, track_file, tmp_path):
    again = tmp_path / "again.csv"
    moved = pictures.rename(tmp_path / "elsewhere")  # the table has full paths
    assert cli.main([*TRACK, str(moved), "--times", str(track_file), "-o", str(again)]) == 0
    first, second = tracking.read_track(track_file), tracking.read_track(again)
    assert second["time"].tolist() == first["time"].tolist()


@pytest.mark.parametrize(
    ("table", "own", "theirs"),
    [
        ("file,time\nimg/a.png,2014-02-03\n", "file '006.png'", "'a.png'"),
        ("file,time\nC:\\img\\a.png,2014-02-03\n", "file '006.png'", "'a.png'"),
        ("frame,time\n7,2014-02-03\n", "frame '6'", "'7'"),
        ("frame,time\n", "frame '6'", "'none'"),
    ],
)
def test_times_that_match_no_image_are_refused_with_an_example_of_each(
    pictures, tmp_path, capsys, table, own, theirs
):
    listing = tmp_path / "times.csv"
    listing.write_text(table)
    assert cli.main([*TRACK, str(pictures), "--times", str(listing), "-o", str(tmp_path / "t.csv")]) == 1
    said = capsys.readouterr().err
    assert (
        f"0 of 3 images are in --times {listing}; not found is {own}" in said and f"example, {theirs}" in said
    )


def test_times_that_match_some_images_say_how_many(pictures, tmp_path, capsys):
    listing = tmp_path / "times.csv"
    listing.write_text("file,time\nx/006.png,2014-02-03\nx/016.png,2014-02-04\nx/9.png,2014-02-05\n")
    assert cli.main([*TRACK, str(pictures), "--times", str(listing), "-o", str(tmp_path / "t.csv")]) == 3
    said = capsys.readouterr().err
    assert "2 of 3 images are in --times" in said and "'011.png'" in said and "'9.png'" in said


def test_times_of_equal_names_in_two_folders_are_told_apart_by_their_folders(pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / "more")
    listing = tmp_path / "times.csv"
    files = [*sorted(pictures.iterdir()), *sorted(other.iterdir())]
    rows = [f"{file},2014-02-03T{hour:02}:00:00.5+01:00" for hour, file in enumerate(files, 1)]
    listing.write_text("\n".join(["file,time", *rows]))
    path = tmp_path / "t.csv"
    assert cli.main([*TRACK, str(pictures), str(other), "--times", str(listing), "-o", str(path)]) == 0
    table = tracking.read_track(path)
    assert table["file"].tolist() == list(map(str, files))
    assert table["time"].tolist() == [pd.Timestamp(f"2014-02-03T0{h}:00:00.5") for h in range(6)]


def test_times_with_a_field_too_many_are_refused_with_the_line(pictures, tmp_path, capsys):
    listing = tmp_path / "times.csv"
    listing.write_text("frame,time\n6,2014-02-03,\n11,2014-02-04,\n")
    assert cli.main([*TRACK, str(pictures), "--times", str(listing), "-o", str(tmp_path / "t.csv")]) == 1
    assert "times.csv is not a CSV file: line 2 has 3 fields" in capsys.readouterr().err


def test_times_from_a_file_that_is_not_there_say_so(pictures, tmp_path, capsys):
    assert cli.main([*TRACK, str(pictures), "--times", "none.csv", "-o", str(tmp_path / "t.csv")]) == 1
    assert "there is no file none.csv" in capsys.readouterr().err


# -- units -------------------------------------------------------------------------


def test_a_track_with_a_row_of_units_is_scored_drawn_and_taken_for_times(pictures, track_file, tmp_path):
    when = ("--times", str(track_file))
    path = tmp_path / "units.csv"
    assert cli.main([*TRACK, str(pictures), *when, "--start", "11", "--units-row", "-o", str(path)]) == 0
    assert path.read_text().splitlines()[1].startswith("# unit,")
    pd.testing.assert_frame_equal(tracking.read_track(path), tracking.read_track(track_file))
    assert cli.main(["evaluate", str(path), str(path)]) == 0
    assert cli.main([*TRACK, str(pictures), "--times", str(path), "-o", str(tmp_path / "again.csv")]) == 0
    assert cli.main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 0
    assert "Settings" in (tmp_path / "r.html").read_text()


def test_a_row_of_units_in_another_file_than_csv_is_refused_before_any_work(pictures, tmp_path, capsys):
    command = [*TRACK, str(pictures), "--cadence", "1h", "--units-row", "-o", str(tmp_path / "t.parquet")]
    assert cli.main(command) == 1
    assert "--units-row is for .csv" in capsys.readouterr().err and not (tmp_path / "t.parquet").exists()


# -- evaluate ----------------------------------------------------------------------


def test_evaluate_warns_of_truth_that_is_four_times_larger(track_file, tmp_path, capsys):
    truth = tracking.read_track(track_file)
    truth[SIDES] *= 4
    truth[["frame", *SIDES]].to_csv(tmp_path / "truth.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert cli.main(["evaluate", str(track_file), str(tmp_path / "truth.csv")]) == 0
    out = capsys.readouterr()
    assert re.search(r"about 4 times larger .* by 0\.25 \(--truth-scale\)", out.err)
    assert out.out.startswith("mean IoU 0.0000")


def test_evaluate_counts_the_earlier_frames_that_are_not_scored(track_file, capsys):
    assert cli.main(["evaluate", str(track_file), str(track_file)]) == 0
    assert "1 earlier frames not scored; --frames all scores them" in capsys.readouterr().err
    assert cli.main(["evaluate", str(track_file), str(track_file), "--frames", "all"]) == 0
    assert capsys.readouterr().err == ""


def test_help_of_evaluate_explains_every_score(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    said = capsys.readouterr().out
    for name in metrics.score([[0, 0, 1, 1]], [[0, 0, 1, 1]]).values:
        assert f"  {name.replace('@0.5', '@T')}  " in said.replace(", ", "  ")
    assert max(map(len, said.splitlines())) <= 110


# -- folders -----------------------------------------------------------------------


def test_a_folder_with_images_in_subfolders_only_is_an_error_that_says_what_to_write(pictures, capsys):
    home = pictures.parent
    for year in ("2013", "AR [11158]"):
        shutil.copytree(pictures, home / "store" / year)
    pattern = str(home / "store" / "**")
    assert cli.main([*TRACK, str(home / "store"), "--cadence", "1h", "-o", str(home / "t.csv")]) == 1
    said = capsys.readouterr().err
    assert f"no images found in {home / 'store'}; expected FITS" in said
    assert f"6 images are in subfolders: use {pattern!r}" in said
    with pytest.raises(TrackError, match=r"6 images are in subfolders: use '.*store/\*\*'"):
        sequence.frames_of(home / "store")
    with pytest.raises(TrackError, match="6 images are in subfolders"):
        tracking.track([home / "store"], [1, 1, 9, 9], tracker="rotation")
    assert len(sequence.frames_of(pattern)) == 6
    with pytest.raises(TrackError, match="no images found; expected"):
        sequence.frames_of([])


def test_every_command_treats_folders_alike_and_takes_the_pattern_it_proposes(pictures, tmp_path, capsys):
    (tmp_path / "store/.trash").mkdir(parents=True)
    shutil.copytree(pictures, tmp_path / "store/2013")
    shutil.copy(next(pictures.iterdir()), tmp_path / "store/.trash")
    for number, picture in enumerate(sorted((tmp_path / "store/2013").iterdir())):
        picture.rename(picture.with_name(f"AIA20140101_0{number}00_0171.png"))
    events = tmp_path / "events.csv"
    events.write_text("event,time,x0,y0,x1,y1\na,2014-01-01T01:00:00,20,20,30,28\n")
    disk = ["--disk=32,32,28,4", "--tracker", "rotation"]
    commands = {
        "track": lambda images: ["track", images, "--box", "20,20,30,28", *disk],
        "track-archive": lambda images: ["track-archive", str(events), "--images", images, *disk],
        "features": lambda images: ["features", images, "--workers", "1"],
    }
    for name, command in commands.items():
        output = tmp_path / f"{name}.csv"
        assert cli.main([*command(str(tmp_path / "store")), "-o", str(output), "--quiet"]) == 1
        said = capsys.readouterr().err.strip()
        assert "3 images are in subfolders: use " in said and not output.exists()
        pattern = said.rpartition("use ")[2].strip("'")
        assert cli.main([*command(pattern), "-o", str(output), "--quiet"]) == 0
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        assert "'folder/**' for all folders in one" in " ".join(capsys.readouterr().out.split())


def test_the_pattern_that_is_proposed_finds_the_images_whatever_the_folder_is_called(pictures):
    odd = pictures.parent / "AR [11158]"
    shutil.copytree(pictures, odd / "a")
    with pytest.raises(TrackError) as caught:
        sequence.frames_of(odd)
    pattern = str(caught.value).rpartition("use ")[2].strip("'")
    assert len(sequence.frames_of(pattern)) == 3


# -- a full disk -------------------------------------------------------------------


def fill(home, left=0):
    """Use up all room but `left` bytes."""
    (home / "ballast").write_bytes(bytes(290_000 - left))
    with open(home / "ballast2", "wb", buffering=0) as more:
        try:
            while left == 0:
                more.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def visible(home):
    return sorted(path.name for path in home.iterdir() if not path.name.startswith("ballast"))


def test_a_track_for_a_full_disk_is_written_elsewhere(small_disk, pictures, capsys):
    fill(small_disk)
    target = small_disk / "t.csv"
    assert cli.main([*TRACK, str(pictures), "--cadence", "1h", "-o", str(target)]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and str(target) in said
    rescued = Path(said.strip().rpartition("the rows are in ")[2])
    assert len(tracking.read_track(rescued)) == 3 and visible(small_disk) == []
    shutil.rmtree(rescued.parent)


def test_a_track_is_printed_if_not_even_temporary_files_can_be_written(
    small_disk, pictures, capsys, monkeypatch
):
    fill(small_disk)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    assert cli.main([*TRACK, str(pictures), "--cadence", "1h", "-o", str(small_disk / "t.csv")]) == 1
    out, said = capsys.readouterr()
    assert "No space left on device" in said and "the rows are on standard output" in said
    (pictures.parent / "saved.csv").write_text(out)
    assert len(tracking.read_track(pictures.parent / "saved.csv")) == 3


def test_scores_for_a_full_disk_are_an_error_of_one_line(track_file):
    line = f"import sys; from solartrack.cli import main; sys.exit(main(['evaluate', '{track_file}', '{track_file}']))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", line], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "solartrack: error: [Errno 28] No space left on device"


def noise(n=30):
    random = np.random.default_rng(0)
    return (random.integers(0, 255, (300, 300, 3), np.uint8) for _ in range(n))


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_movie_for_a_full_disk_is_an_error_that_names_it_and_keeps_the_old_one(small_disk, suffix):
    from solartrack import viz

    path = small_disk / f"m{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=rf"(?i)(no space|disk full).*m\{suffix}") as caught:
        viz.movie(path, noise())
    assert not isinstance(caught.value, BrokenPipeError)
    assert path.read_bytes() == b"old" and visible(small_disk) == [path.name]


# imageio leaves the pipe to the dead ffmpeg to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("command", ["plot", "picture", "movie"])
def test_evaluate_and_draw_on_a_full_disk_fail_with_its_name(
    small_disk, pictures, track_file, capsys, command
):
    fill(small_disk)
    target = small_disk / {"plot": "p.png", "picture": "p.jpg", "movie": "p.mp4"}[command]
    draw = ["draw", str(pictures), "--track", str(track_file), "-q", "-o", str(target)]
    arguments = {
        "plot": ["evaluate", str(track_file), str(track_file), "--plot", str(target)],
        "picture": [*draw, "--frame", "11"],
        "movie": draw,
    }[command]
    assert cli.main(arguments) == 1
    out, said = capsys.readouterr()
    assert "No space left on device" in said and str(target) in said and visible(small_disk) == []
    assert out.startswith("mean IoU 1.0000") if command == "plot" else out == ""
    gc.collect()


def test_a_reader_that_closes_the_pipe_is_no_error(track_file):
    line = f"import sys; from solartrack.cli import main; sys.exit(main(['evaluate', '{track_file}', '{track_file}']))"
    done = subprocess.run(
        f'"{sys.executable}" -c "{line}" | true', shell=True, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
