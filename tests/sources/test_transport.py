import json

import pytest

from solartrack.errors import SourceError


def test_answer_is_fetched_whole(replay, transport):
    url = replay.add("/answer", json.dumps({"a": 1}), content_type="application/json")
    assert json.loads(transport.get(url)) == {"a": 1}


def test_file_gets_its_name_when_it_is_complete(replay, transport, tmp_path):
    url = replay.add("/file", b"some text")
    done = transport.download(url, tmp_path / "file.txt", check="text")
    assert done.size == 9 and (tmp_path / "file.txt").read_bytes() == b"some text"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    "fault",
    [
        "500",
        "503",
        "429",
        "retry-after",
        "retry-date",
        "html",
        "shorter",
        "empty",
        "cut",
        "cut-chunked",
        "wrong-length",
        "time-out",
        "stall",
        "reset",
        "redirect-file",
        "redirect-private",
    ],
)
def test_fetch_survives(replay, transport, tmp_path, fault):
    content = json.dumps(list(range(1000))).encode()
    url = replay.add("/file", content, faults=(fault,))
    transport.download(url, tmp_path / "file.json", check="json")
    assert (tmp_path / "file.json").read_bytes() == content
    assert replay.asked[0].fault == fault and replay.count("/file") == 2
    assert replay.count("/secret") == 0


def test_missing_file_is_permanent_and_asked_for_once(replay, transport, tmp_path):
    with pytest.raises(SourceError, match="HTTP 404 NOT FOUND: nothing at /none") as error:
        transport.download(replay.url + "/none", tmp_path / "file", check="any")
    assert error.value.permanent and replay.count() == 1
