"""Finding image files, and the times in their names."""

from pathlib import Path

import pytest

from solartrack import images
from solartrack.images import find_images


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2015_12_21__00_10_34_34__SDO_AIA_AIA_171.jp2", "2015-12-21T00:10:34.340"),
        ("2022_01_01__00_03_52_835__SDO_AIA_AIA_193.jp2", "2022-01-01T00:03:52.835"),
        ("2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174.jp2", "2022-04-01T00:00:45.000"),
        ("hmi.sharp_cea_720s.7115.20170901_220000_TAI.Br.fits", "2017-09-01T21:59:23.000"),
        ("1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram_224.png", "2011-02-15T01:59:26.000"),
        ("aia.lev1_euv_12s.2014-01-01T000012Z.171.image_lev1.fits", "2014-01-01T00:00:12.000"),
        ("AIA20140101_0000_0171.fits", "2014-01-01T00:00:00.000"),
        ("20111231_220001.ARMap.fits", "2011-12-31T22:00:01.000"),
        ("2015_13_21__00_10_34_34__SDO_AIA_AIA_171.jp2", None),
        ("20110299_020000_TAI.fits", None),
        ("12345678_123456.png", None),
        ("120110215_0200001.png", None),
        ("151.png", None),
        ("", None),
    ],
)
def test_times_in_file_names(name, expected):
    when = images.time_from_name(f"/some/20010101_000000/{name}" if name else "")
    assert (when and when.isot) == expected


# -- finding files -------------------------------------------------------------------


def test_images_are_found_in_natural_order_without_duplicates(tmp_path):
    flat = ["10.png", "2.PNG", "1.fits.gz", "x.jp2", "notes.txt", "a.csv.gz"]
    for name in [*flat, "sub/3.jpeg", "sub/deep/4.fts"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()

    def names(paths):
        return [str(p.relative_to(tmp_path)) for p in images.find_images(paths)]

    assert names(tmp_path) == ["1.fits.gz", "2.PNG", "10.png", "x.jp2"]
    assert names(str(tmp_path)) == names([tmp_path, tmp_path / "10.png"])
    assert names([str(tmp_path / "*.[pP]*"), tmp_path / "sub"]) == ["2.PNG", "sub/3.jpeg", "10.png"]
    assert names(str(tmp_path / "s*")) == ["sub/3.jpeg"]
    assert names(str(tmp_path / "**/*.fts")) == ["sub/deep/4.fts"]
    assert names(tmp_path / "notes.txt") == ["notes.txt"]  # named outright; reading will tell
    assert names(str(tmp_path / "*.gif")) == names([]) == names(tmp_path / "folder.png") == []


def test_names_with_and_without_numbers_sort_together(tmp_path):
    paths = [tmp_path / name for name in ("a", "a1", "a01", "a1b", "1", "10", "2")]
    for path in paths:
        path.touch()
    assert [p.name for p in images.find_images(paths)] == ["1", "2", "10", "a", "a01", "a1", "a1b"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    path = tmp_path / "frame[1].png"
    path.touch()
    assert images.find_images(path) == [path]


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        images.find_images([tmp_path, tmp_path / "gone"])


@pytest.mark.parametrize("name", ["a.fit", "a.FIT", "a.fit.gz", "a.fit.fz", "a.fts.fz"])
def test_fits_files_are_found_by_every_usual_name(tmp_path, name):
    (tmp_path / name).touch()
    assert [p.name for p in find_images(tmp_path)] == [name]
    assert [p.name for p in find_images(tmp_path / "*")] == [name]


def test_brackets_in_the_name_of_a_folder_are_its_name(tmp_path):
    for folder in ("AR [11158]", "AR 1", "AR x"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder[3]}.fits").touch()
    assert [p.name for p in find_images(tmp_path / "AR [11158]" / "*.fits")] == ["[.fits"]
    assert [p.name for p in find_images(tmp_path / "AR [x1]" / "*.fits")] == ["1.fits", "x.fits"]
    assert [p.name for p in find_images(tmp_path / "*" / "[x].fits")] == ["x.fits"]


def test_attribute_files_of_macos_are_no_images(tmp_path):
    (tmp_path / "a.fits").touch()
    (tmp_path / "._a.fits").write_bytes(b"\0\5\x16\7")
    assert [p.name for p in find_images(tmp_path)] == ["a.fits"]
    assert [p.name for p in find_images(tmp_path / "*.fits")] == ["a.fits"]
    assert [p.name for p in find_images(tmp_path / "._a.fits")] == ["._a.fits"]  # asked for by name


def test_a_folder_that_is_named_in_two_ways_gives_each_file_once(tmp_path, monkeypatch):
    (tmp_path / "arch").mkdir()
    (tmp_path / "arch" / "a.fits").touch()
    monkeypatch.chdir(tmp_path)
    assert find_images(["arch", tmp_path / "arch", "arch/../arch/a.fits", "arch/*"]) == [Path("arch/a.fits")]
