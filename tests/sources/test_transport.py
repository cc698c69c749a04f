import gzip
import itertools
import json
import os
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from solartrack.errors import SourceError
from solartrack.sources import fetch, plan_table
from solartrack.sources import transport as module
from solartrack.sources.transport import Transport
from sources.made import tar_bytes
from sources.replay import FAULTS, PAGE

CONTENT = json.dumps(list(range(1000))).encode()
PASSING = [fault for fault in FAULTS if fault != "status"]


@pytest.fixture
def big():
    """A tar file of a megabyte that cannot be packed."""
    return tar_bytes({"noise": os.urandom(2**20)})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- answers -----------------------------------------------------------------------


def test_answer_is_fetched_whole(replay, transport):
    url = replay.add("/answer", CONTENT, content_type="application/json")
    assert transport.get(url) == CONTENT


def test_query_and_form_reach_the_server(replay, transport):
    url = replay.add("/answer", lambda asked: json.dumps([asked.method, asked.query, asked.form]).encode())
    assert json.loads(transport.get(url, {"a": "é &", "n": 1})) == ["GET", {"a": "é &", "n": "1"}, {}]
    assert json.loads(transport.get(url, {"a": "é &"}, method="POST")) == ["POST", {}, {"a": "é &"}]


@pytest.mark.parametrize("fault", PASSING)
def test_answer_comes_in_spite_of(replay, transport, fault):
    url = replay.add("/answer", CONTENT, faults=(fault,))
    assert transport.get(url) == CONTENT
    assert replay.asked[0].fault == fault and replay.count("/answer") == 2
    assert replay.count("/secret") == 0


def test_error_has_the_status_and_the_words_of_the_server(replay, transport):
    url = replay.add("/answer", b'{"error": "no such\\n region"}', status=500)
    with pytest.raises(
        SourceError, match=r"/answer: HTTP 500 INTERNAL SERVER ERROR: no such region$"
    ) as error:
        transport.get(url)
    assert not error.value.permanent and replay.count() == 5


def test_page_in_place_of_an_answer_is_refused_with_its_title(replay, transport):
    url = replay.add("/answer", PAGE, content_type="text/html")
    with pytest.raises(
        SourceError, match=r"expected JSON|got a web page: Too many requests & a tired server"
    ):
        transport.get(url)
    assert transport.get(url, check="any") == PAGE  # where a page was wanted


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (404, True), (410, True), (401, False), (403, False)]
)
def test_last_word_of_a_server_is_not_asked_for_again(replay, transport, status, permanent):
    url = replay.add("/answer", b"no", status=status)
    with pytest.raises(SourceError, match=f"HTTP {status}") as error:
        transport.get(url)
    assert error.value.permanent == permanent and replay.count() == 1


def test_source_reads_its_own_errors(replay, transport):
    """A permanent one is raised at once, and after another one the request is asked again."""
    url = replay.add("/answer", b'{"errno": 10}', status=500)

    def read_error(status, body, kind, permanent=True):
        assert (status, json.loads(body), kind) == (500, {"errno": 10}, "application/octet-stream")
        return SourceError("no data", permanent=permanent)

    with pytest.raises(SourceError, match=r"no data"):
        transport.get(url, read_error=read_error)
    assert replay.count() == 1
    with pytest.raises(SourceError, match=r"no data"):
        transport.get(url, read_error=lambda *a: read_error(*a, permanent=False))
    assert replay.count() == 6


def test_source_reads_what_came_in_place_of_a_file(replay, transport, tmp_path):
    url = replay.add("/file", b"File not found.", content_type="image/jp2")
    said = []
    with pytest.raises(SourceError, match=r"it is not there"):
        transport.download(
            url,
            tmp_path / "a.jp2",
            check="jp2",
            read_error=lambda *a: said.append(a) or SourceError("it is not there", permanent=True),
        )
    assert said == [(200, b"File not found.", "image/jp2")] and names(tmp_path) == []


def test_answer_larger_than_the_limit_is_refused(replay, transport):
    url = replay.add("/answer", CONTENT)
    with pytest.raises(SourceError, match=r"more bytes than the limit of 100 \(max_bytes\)"):
        transport.get(url, max_bytes=100)
    assert replay.count() == 1
    assert transport.get(url, max_bytes=len(CONTENT)) == CONTENT


def test_compressed_answer_counts_by_its_content(replay, transport):
    import gzip

    url = replay.add("/answer", gzip.compress(b"x" * 10**7), headers={"Content-Encoding": "gzip"})
    assert len(transport.get(url, check="text")) == 10**7
    with pytest.raises(SourceError, match=r"limit of 1000000"):
        transport.get(url, check="text", max_bytes=10**6)


def test_cached_answer_is_not_asked_for_again(replay, transport, tmp_path):
    url = replay.add("/answer", lambda asked: json.dumps(asked.query).encode())
    for _ in range(2):
        assert transport.get(url, {"month": 1}, cache=tmp_path / "cache") == b'{"month": "1"}'
    assert replay.count() == 1
    assert transport.get(url, {"month": 2}, cache=tmp_path / "cache") == b'{"month": "2"}'
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-1])  # damaged
    assert transport.get(url, {"month": 1}, cache=tmp_path / "cache") == b'{"month": "1"}'
    assert replay.count() == 3


def test_answer_that_failed_its_check_is_not_cached(replay, transport, tmp_path):
    url = replay.add("/answer", b"{", status=200)
    with pytest.raises(SourceError, match=r"expected JSON"):
        transport.get(url, cache=tmp_path)
    assert names(tmp_path) == []


# -- files -------------------------------------------------------------------------


def test_file_gets_its_name_when_it_is_complete(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT)
    done = transport.download(url, tmp_path / "file.json", check="json")
    assert done.size == len(CONTENT) and done.sha256 == __import__("hashlib").sha256(CONTENT).hexdigest()
    assert (tmp_path / "file.json").read_bytes() == CONTENT and names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("fault", PASSING)
def test_file_comes_in_spite_of(replay, transport, tmp_path, fault):
    url = replay.add("/file", CONTENT, faults=(fault, fault))
    transport.download(url, tmp_path / "file.json", check="json")
    assert (tmp_path / "file.json").read_bytes() == CONTENT and names(tmp_path) == ["file.json"]
    assert replay.asked[0].fault == fault and replay.count("/file") == 3
    assert replay.count("/secret") == 0


def test_shorter_file_never_gets_its_name(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT, faults=("shorter",) * 9)
    with pytest.raises(SourceError, match=r"/file: expected JSON"):
        transport.download(url, tmp_path / "file.json", check="json")
    assert names(tmp_path) == [] and replay.count() == 5


def test_wrong_content_goes_to_quarantine_with_the_reason(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT, faults=("html",))
    transport.download(url, tmp_path / "file.json", check="json", quarantine=tmp_path / "quarantine")
    assert (tmp_path / "quarantine/file.json").read_bytes() == PAGE
    assert "got a web page: Too many requests" in (tmp_path / "quarantine/file.json.txt").read_text()
    assert (tmp_path / "file.json").read_bytes() == CONTENT


def test_file_larger_than_the_limit_is_refused_before_it_comes(replay, tmp_path):
    url = replay.add("/file", CONTENT)
    with pytest.raises(SourceError, match=rf"{len(CONTENT)} bytes, more than the limit of 99 \(max_bytes\)"):
        Transport(max_bytes=99).download(url, tmp_path / "file", check="any")
    url = replay.add("/no-length", CONTENT, faults=("cut-chunked",))
    with pytest.raises(SourceError, match=r"more bytes than the limit of 99"):
        Transport(max_bytes=10**9).download(url, tmp_path / "file", check="any", max_bytes=99)
    assert not (tmp_path / "file").exists() and replay.count() == 2


# -- resumption --------------------------------------------------------------------


def test_cut_file_is_resumed_where_it_was_cut(replay, transport, tmp_path, big):
    url = replay.add("/tar", big, ranges=True, faults=[("cut", 0.5)])
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == big
    assert (
        replay.asked[1].headers["Range"] == f"bytes={len(big) // 2}-" and replay.asked[1].headers["If-Range"]
    )
    assert sum(one.sent for one in replay.asked) <= len(big) + 2**17


def test_later_call_resumes_what_an_earlier_one_left(replay, transport, tmp_path, big):
    url = replay.add("/tar", big, ranges=True, faults=[("cut", 0.25)] + ["500"] * 4)
    with pytest.raises(SourceError):
        transport.download(url, tmp_path / "a.tar", check="tar")
    assert names(tmp_path) == ["a.tar.part", "a.tar.part.json"]
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert replay.asked[-1].headers["Range"] == f"bytes={len(big) // 4}-"
    assert (tmp_path / "a.tar").read_bytes() == big and names(tmp_path) == ["a.tar"]


def test_part_is_not_joined_to_another_version(replay, transport, tmp_path, big):
    newer = tar_bytes({"noise": os.urandom(2**20)})
    url = replay.add("/tar", lambda asked: big if replay.count() == 1 else newer, ranges=True,
                     faults=[("cut", 0.5)])  # fmt: skip
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == newer


def test_server_that_ignores_if_range_is_found_out(replay, transport, tmp_path, big):
    newer = tar_bytes({"noise": os.urandom(2**20)})
    url = replay.add("/tar", lambda asked: big if replay.count() == 1 else newer, ranges="always",
                     faults=[("cut", 0.5)])  # fmt: skip
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == newer


def test_part_without_version_starts_over(replay, transport, tmp_path, big):
    url = replay.add("/tar", big, faults=("cut", "cut"))
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == big
    assert not any("Range" in one.headers for one in replay.asked)


def test_date_of_change_is_a_version(replay, transport, tmp_path, big):
    when = "Tue, 01 Nov 2016 10:00:00 GMT"
    url = replay.add("/tar", big, ranges=True, headers={"Last-Modified": when, "ETag": 'W/"weak"'},
                     faults=[("cut", 0.5)])  # fmt: skip
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert replay.asked[1].headers["If-Range"] == when
    assert (tmp_path / "a.tar").read_bytes() == big


def test_server_without_ranges_sends_all_again(replay, transport, tmp_path, big):
    url = replay.add("/tar", big, headers={"ETag": '"1"'}, faults=[("cut", 0.5)])
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == big


def test_part_longer_than_the_file_starts_over(replay, transport, tmp_path, big):
    url = replay.add("/tar", big, ranges=True, headers={"ETag": '"1"'})
    (tmp_path / "a.tar.part").write_bytes(b"x" * (len(big) + 5))
    note = {"url": url, "validator": '"1"', "length": None, "kind": "", "complete": False}
    (tmp_path / "a.tar.part.json").write_text(json.dumps(note))
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == big


def test_part_with_wrong_bytes_is_found_out_and_starts_over(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT, ranges=True, headers={"ETag": '"1"'})
    (tmp_path / "a.json.part").write_bytes(b"\0" * 1000)  # such as a power failure leaves
    note = {"url": url, "validator": '"1"', "length": len(CONTENT), "kind": "", "complete": False}
    (tmp_path / "a.json.part.json").write_text(json.dumps(note))
    transport.download(url, tmp_path / "a.json", check="json")
    assert (tmp_path / "a.json").read_bytes() == CONTENT and "Range" in replay.asked[0].headers


@pytest.mark.parametrize("note", ["", "{", "[]", "null", '{"url": 1}', "length"])
def test_damaged_note_is_not_believed(replay, transport, tmp_path, note):
    url = replay.add("/file", CONTENT, ranges=True)
    (tmp_path / "a.json.part").write_bytes(b"x" * 1000)
    if note == "length":
        note = json.dumps({"url": url, "validator": "", "length": "1000", "kind": "", "complete": False})
    (tmp_path / "a.json.part.json").write_text(note)
    transport.download(url, tmp_path / "a.json", check="json")
    assert (tmp_path / "a.json").read_bytes() == CONTENT


def test_file_that_was_complete_before_a_kill_is_not_asked_for_again(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT)
    (tmp_path / "a.json.part").write_bytes(CONTENT)
    note = {"url": url, "validator": "", "length": len(CONTENT), "kind": "", "complete": False}
    (tmp_path / "a.json.part.json").write_text(json.dumps(note))
    transport.download(url, tmp_path / "a.json", check="json")
    assert (tmp_path / "a.json").read_bytes() == CONTENT and replay.count() == 0


def test_transfer_that_gets_on_is_not_given_up(replay, transport, tmp_path):
    """Ten connections are lost, more than there are attempts, but each brings a part."""
    big = tar_bytes({"noise": os.urandom(2**22)})
    url = replay.add("/tar", big, ranges=True, faults=[("cut", 0.15)] * 10)
    transport.download(url, tmp_path / "a.tar", check="tar")
    assert (tmp_path / "a.tar").read_bytes() == big and replay.count() == 11


# -- redirects ---------------------------------------------------------------------


def test_redirect_on_the_same_host_is_followed(replay, transport, tmp_path):
    replay.add("/new", CONTENT)
    url = replay.add("/old", b"", status=301, headers={"Location": "/new"})
    assert transport.get(url) == CONTENT
    transport.download(url, tmp_path / "file", check="json")


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/", "data:,x"]
)
def test_redirect_to_another_scheme_is_refused(replay, transport, location):
    url = replay.add("/old", b"", status=302, headers={"Location": location})
    with pytest.raises(SourceError, match=r"redirects"):
        transport.get(url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "127.0.0.2", "0.0.0.0"])
def test_redirect_to_a_private_address_is_refused_before_it_is_asked(replay, transport, host):
    """However the address is spelled."""
    port = replay.url.rsplit(":", 1)[1]
    replay.add("/secret", CONTENT)
    url = replay.add("/old", b"", status=302, headers={"Location": f"http://{host}:{port}/secret"})
    with pytest.raises(SourceError, match=r"no public address|usable answer|unknown|refused"):
        transport.get(url)
    assert replay.count("/secret") == 0


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2600::1", True), ("127.0.0.1", False), ("10.1.2.3", False), ("192.168.0.1", False),
     ("172.16.0.1", False), ("169.254.169.254", False), ("::1", False), ("fe80::1%eth0", False),
     ("fd00::1", False), ("::ffff:10.0.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("100.64.0.1", False)],
)  # fmt: skip
def test_addresses_that_are_public(address, public):
    assert module._is_public(address) == public


def test_redirect_to_a_public_host_is_followed(replay, transport, monkeypatch):
    port = replay.url.rsplit(":", 1)[1]
    replay.add("/new", CONTENT)
    url = replay.add("/old", b"", status=302, headers={"Location": f"http://localhost:{port}/new"})
    monkeypatch.setattr(module, "_is_public", lambda address: True)
    assert transport.get(url) == CONTENT


def test_circle_of_redirects_ends(replay, transport):
    url = replay.add("/old", b"", status=302, headers={"Location": "/old"})
    with pytest.raises(SourceError, match=r"more than 5 redirects"):
        transport.get(url)
    assert replay.count() == 6


def test_encrypted_connection_is_not_given_up_by_a_redirect():
    with pytest.raises(module._Passing, match=r"redirects from https to"):
        module._followed("https://a.org/x", "http://a.org/x")
    with pytest.raises(SourceError, match=r"redirects to .* which is no URL"):
        module._followed("https://a.org/x", "//[::1")
    assert module._followed("http://a.org/x", "https://a.org/x") == "https://a.org/x"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.org/x", "/path", "http://", "http://[::1", ""]
)
def test_url_that_is_none_is_refused(transport, url):
    with pytest.raises(SourceError, match=r"expected an http or https URL|is no URL") as error:
        transport.get(url)
    assert error.value.permanent


# -- politeness --------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_host_has_no_more_connections_than_it_allows(replay, tmp_path, most):
    replay.add("/answer", CONTENT)
    replay.delay = 0.02
    transport = Transport(connections={"127.0.0.1": most})
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: transport.get(f"{replay.url}/answer", {"n": n}), range(40)))
    assert replay.most_at_once == most


def test_jsoc_has_one_connection_unless_it_is_said_otherwise():
    assert Transport().connections("jsoc.stanford.edu") == 1
    assert Transport().connections("api.helioviewer.org") == 4
    assert Transport(connections={"a.org": 2}).connections("jsoc.stanford.edu") == 1


@pytest.mark.parametrize("fault", [("retry-after", 1), ("retry-date", 2)])
def test_retry_after_is_honoured_by_all_threads(replay, fault):
    transport = Transport(first_wait=0.01, longest_wait=5)
    url = replay.add("/answer", CONTENT, faults=(fault,))
    assert transport.get(url) == CONTENT
    first, second = (one.at for one in replay.asked)
    assert second - first >= 0.95

    replay._routes["/answer"][0].faults.append(fault)
    with ThreadPoolExecutor(4) as pool:
        waiting = pool.submit(transport.get, url)
        while replay.count() < 3:
            time.sleep(0.01)
        time.sleep(0.1)
        list(pool.map(lambda n: transport.get(url, {"n": n}), range(3)))
        waiting.result()
    assert min(one.at for one in replay.asked[3:]) - replay.asked[2].at >= 0.95


@pytest.mark.parametrize("asked_for", ["100000", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_absurd_retry_after_is_cut(replay, asked_for):
    transport = Transport(first_wait=0.01, longest_wait=0.2)
    url = replay.add("/answer", b"busy", status=503, headers={"Retry-After": asked_for})
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"HTTP 503"):
        transport.get(url)
    assert 0.7 < time.monotonic() - start < 3


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "1" * 50, "Fri, 99 Dec 2010 99:00:00 GMT"])
def test_retry_after_that_means_nothing_is_passed_over(text):
    assert module._seconds(text) is None


def test_retry_date_in_the_past_is_no_wait():
    assert module._seconds("Fri, 31 Dec 2010 23:59:59 GMT") == 0


def test_waits_grow_up_to_the_longest(replay):
    transport = Transport(first_wait=0.1, longest_wait=0.2, attempts=4)
    url = replay.add("/answer", b"no", status=500)
    with pytest.raises(SourceError):
        transport.get(url)
    at = [one.at for one in replay.asked]
    waits = [late - early for early, late in itertools.pairwise(at)]
    assert len(waits) == 3 and 0.07 < waits[0] < 0.15 and all(0.14 < wait < 0.3 for wait in waits[1:])


# -- ends --------------------------------------------------------------------------


def test_cancel_ends_waits_and_transfers(replay, tmp_path):
    transport = Transport(first_wait=60, longest_wait=60)
    replay.rate = 2000
    slow, busy = replay.add("/slow", CONTENT * 100), replay.add("/busy", b"no", status=500)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(transport.get, slow, check="any"), pool.submit(transport.get, busy)]
        time.sleep(0.3)
        start = time.monotonic()
        transport.cancel()
        for job in jobs:
            with pytest.raises(SourceError, match=r"cancelled"):
                job.result()
    assert time.monotonic() - start < 1
    transport.allow()
    replay.rate = 0
    assert transport.get(slow, check="any")


def test_slow_drip_of_bytes_is_a_stall(transport):
    """Each byte comes in time, but the file never would."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    try:
                        while True:
                            connection.sendall(b"x")
                            time.sleep(0.1)
                    except OSError:
                        pass

        threading.Thread(target=drip, daemon=True).start()
        transport.attempts = 2
        start = time.monotonic()
        with pytest.raises(SourceError, match=r"stalled"):
            transport.get(f"http://127.0.0.1:{server.getsockname()[1]}/", check="any")
        assert time.monotonic() - start < 5
        server.shutdown(socket.SHUT_RDWR)


def test_host_that_is_not_there_is_named_with_the_reason(transport):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError, match=rf"http://127.0.0.1:{port}/x: the connection was refused$"):
        transport.get(f"http://127.0.0.1:{port}/x")


def test_messages_hold_no_mail_address(replay, transport):
    with pytest.raises(SourceError) as error:
        transport.get(replay.url + "/x?notify=someone@some.where&op=exp")
    assert "someone" not in str(error.value) and "op=exp" in str(error.value)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"attempts": 0}, "attempts must be at least 1"), ({"connections": {"a.org": 0}}, "connections to a.org must be"),
])  # fmt: skip
def test_transport_refuses_settings_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Transport(**arguments)


def test_folder_that_cannot_be_written_is_no_error_of_the_source(replay, transport, tmp_path):
    url = replay.add("/file", CONTENT)
    with pytest.raises(FileNotFoundError):
        transport.download(url, tmp_path / "none/file", check="json")
    assert replay.count() <= 1


# -- what a stranger found ---------------------------------------------------------

LONG = b"".join(b"%d text that does not repeat itself %d\n" % (n, n * n) for n in range(4000))


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_an_encoded_answer_that_is_cut_is_no_answer(replay, transport, tmp_path, share):
    whole = gzip.compress(LONG)
    url = replay.add("/text", whole[: int(share * len(whole))], headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="the answer was cut off") as error:
        transport.get(url, check="text")
    assert not error.value.permanent
    with pytest.raises(SourceError, match="the answer was cut off"):
        transport.download(url, tmp_path / "a.txt", check="text")
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    "body",
    [gzip.compress(LONG), gzip.compress(LONG) + b"\0" * 20, zlib.compress(LONG),
     gzip.compress(LONG[:5000]) + gzip.compress(LONG[5000:])],
    ids=["gzip", "padded", "zlib", "members"],
)  # fmt: skip
def test_an_encoded_answer_is_decoded_to_its_end(replay, transport, tmp_path, body):
    encoding = "deflate" if body[:1] == b"x" else "gzip"
    url = replay.add("/text", body, headers={"Content-Encoding": encoding})
    assert transport.get(url, check="text") == LONG
    transport.download(url, tmp_path / "a.txt", check="text")
    assert (tmp_path / "a.txt").read_bytes() == LONG
    with pytest.raises(SourceError, match="more bytes than the limit of 1000"):
        transport.get(url, check="text", max_bytes=1000)


def test_an_encoding_that_was_not_asked_for_is_refused(replay, transport):
    url = replay.add("/text", LONG, headers={"Content-Encoding": "br"})
    with pytest.raises(SourceError, match="is encoded as 'br', which was not asked for"):
        transport.get(url, check="text")


@pytest.mark.parametrize(
    "location", ["http://a..b/", "http://[::1", "http://127.0.0.1:abc/", f"http://{'a' * 300}/", "http://\u0100\u2024/"]
)  # fmt: skip
def test_a_redirect_to_what_is_no_url_costs_its_file_only(replay, transport, tmp_path, location):
    rows = [{"source": "images", "id": "bad", "name": "bad.txt", "check": "text",
             "url": replay.add("/bad", b"", status=302, headers={"Location": location.encode().decode("latin-1")})}]  # fmt: skip
    rows += [
        {
            "source": "images",
            "id": str(n),
            "name": f"{n}.txt",
            "check": "text",
            "url": replay.add(f"/{n}", "fine"),
        }
        for n in range(6)
    ]
    states = fetch(plan_table(rows), tmp_path / "s", transport=transport).manifest.set_index("id")["state"]
    assert states["bad"] == "failed" and (states.drop("bad") == "done").all()


@pytest.mark.parametrize("url", ["http://[bad/", "http://a..b/", "http://127.0.0.1:99999/x", "http://a\nb/"])
def test_a_url_of_a_plan_that_is_none_costs_its_file_only(replay, transport, tmp_path, url):
    rows = [
        {"source": "images", "id": id, "name": f"{id}.txt", "check": "text", "url": url}
        for id, url in (("bad", url), ("good", replay.add("/good", "fine")))
    ]
    store = fetch(plan_table(rows), tmp_path / "s", transport=transport)
    assert store.manifest["state"][1] == "done"
    assert store.manifest["state"][0] in ("absent", "failed") and store.manifest["reason"][0]


@pytest.mark.parametrize("status", [202, 204])
def test_a_file_that_is_only_promised_is_none(replay, transport, status):
    url = replay.add("/text", b"" if status == 204 else b"accepted, come later", status=status)
    with pytest.raises(SourceError, match=f"HTTP {status}") as error:
        transport.get(url, check="text")
    assert not error.value.permanent and replay.count() == transport.attempts
