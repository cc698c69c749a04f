import gzip
import json
import time

import numpy as np
import pytest

from solartrack.errors import SourceError
from solartrack.sources import _checks
from solartrack.sources._checks import CHECKS
from sources.made import fits_bytes, image_bytes, jp2_bytes, rice_bytes, tar_bytes

WHOLE = {
    "jp2": jp2_bytes(),
    "fits": fits_bytes(),
    "fits, two": fits_bytes(side=13) + rice_bytes()[2880:],
    "fits, compressed": rice_bytes(),
    "fits, gzip": gzip.compress(fits_bytes()),
    "tar": tar_bytes({"a.fits": fits_bytes(), "b.txt": b"some text", "empty": b""}),
    "gzip-tar": tar_bytes({"a.fits": fits_bytes(), "b.txt": b"some text"}, packed=True),
    "json": json.dumps({"a": ["é", 1.5, None]}, ensure_ascii=False).encode("latin-1"),
    "image": image_bytes("PNG"),
    "image, jpeg": image_bytes("JPEG"),
    "image, jp2": jp2_bytes(),
    "text": "Région\n".encode("latin-1"),
}


def check(tmp_path, name, content):
    path = tmp_path / "file.part"
    path.write_bytes(content)
    CHECKS[name.partition(",")[0]](path)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_file_passes(tmp_path, name):
    check(tmp_path, name, WHOLE[name])


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "text"])
def test_file_cut_anywhere_is_refused(tmp_path, name):
    content = WHOLE[name]
    # A tar file is padded with zeros after its end mark, of which none are needed.
    most = len(content.rstrip(b"\0")) if name == "tar" else len(content) - 1
    rng = np.random.default_rng(0)
    for length in {1, most, most - 1, most - 2, *rng.integers(1, most, 60)}:
        with pytest.raises(SourceError):
            check(tmp_path, name, content[:length])


@pytest.mark.parametrize("length", [512, 1024, 1536])
def test_tar_cut_between_members_is_refused(tmp_path, length):
    whole = tar_bytes({"a": b"x" * 512, "b": b"y" * 512})
    with pytest.raises(SourceError, match=r"cut off"):
        check(tmp_path, "tar", whole[:length])


def test_real_jp2_cut_anywhere_is_refused(tmp_path, shared):
    """The header XML may come after the pixels, so that a cut file decodes."""
    for name in (
        "2013_05_13__16_54_06_137__SOHO_LASCO_C3_white-light",
        "2013_06_24__17_31_30_84__SDO_AIA_AIA_193",
        "2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174",
        "2022_01_01__00_03_52_835__SDO_AIA_AIA_193",
    ):
        content = (shared / f"data/jp2/{name}.jp2").read_bytes()
        check(tmp_path, "jp2", content)
        for share in (0.01, 0.3, 0.7, 0.9, 0.99, 0.999, 0.99999):
            with pytest.raises(SourceError, match=r"cut off|expected a JP2"):
                check(tmp_path, "jp2", content[: int(share * len(content))])


@pytest.mark.parametrize("kind", [name for name in CHECKS if name != "any"])
@pytest.mark.parametrize(
    "start", [b"", b"\xef\xbb\xbf\r\n <!-- no <title>x</title> --> ", b"<?xml version='1.0'?>\n"]
)
def test_web_page_is_refused_with_its_title(tmp_path, kind, start):
    page = start + b"<!doctype HTML>\n<HTML><head><Title>\nBusy &amp;\ttired </title></head><body>..."
    if kind == "json":
        page = page.replace(b"<!doctype HTML>\n", b"")
    with pytest.raises(SourceError, match=r"got a web page: Busy & tired$"):
        check(tmp_path, kind, page)


def test_saved_error_page_of_a_real_server_is_refused(tmp_path, shared):
    page = (shared / "data/generic/html_error_page_saved_as.fits").read_bytes()
    with pytest.raises(SourceError, match=r"expected a FITS file, got a web page: 500 Internal Server Error"):
        check(tmp_path, "fits", page)


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "any"])
def test_empty_file_is_refused(tmp_path, name):
    with pytest.raises(SourceError, match=r"empty"):
        check(tmp_path, name, b"")


def test_text_in_place_of_an_image_is_quoted(tmp_path):
    with pytest.raises(
        SourceError, match=r"expected a JP2 image, got 15 bytes that begin with 'File not found.'"
    ):
        check(tmp_path, "jp2", b"File not found.")


def test_image_under_another_name_is_not_text(tmp_path):
    with pytest.raises(SourceError, match=r"expected a text, got binary data"):
        check(tmp_path, "text", fits_bytes())


def test_page_of_comments_takes_no_time(tmp_path):
    start = time.perf_counter()
    check(tmp_path, "text", b"<!---->" * 9000 + b"x")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("name", ["tar", "fits"])
def test_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, name, monkeypatch):
    monkeypatch.setattr(_checks, "MAX_UNPACKED_BYTES", 2**20)
    zeros = bytes(2**24)
    content = (
        tar_bytes({"zeros": zeros}, packed=True)
        if name == "tar"
        else gzip.compress(
            fits_bytes()
            + fits_bytes(side=2000).replace(
                b"SIMPLE  =                    T", b"XTENSION= 'IMAGE   '          "
            )
        )
    )
    with pytest.raises(SourceError, match=r"MAX_UNPACKED_BYTES"):
        check(tmp_path, name, content)


def test_tar_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path):
    import tarfile

    header = tarfile.TarInfo("./PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, 2**33 - 1
    with pytest.raises(SourceError, match=r"a header in it claims"):
        check(tmp_path, "tar", header.tobuf(tarfile.USTAR_FORMAT) + bytes(2**16))


def test_deep_json_is_an_error_of_the_source(tmp_path):
    with pytest.raises(SourceError, match=r"expected JSON"):
        check(tmp_path, "json", b"[" * 100_000)


def test_tar_with_too_many_members_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_checks, "MAX_MEMBERS", 2)
    with pytest.raises(SourceError, match=r"more than 2 members"):
        check(tmp_path, "tar", tar_bytes({"a": b"", "b": b"", "c": b""}))
