"""The only module that opens a connection.

A request is asked again after a passing failure, waits where the server says so, shares the few
connections that its host may have, and is complete only if its content is: whole answers are parsed, files
are decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from solartrack._files import replacing, write_bytes
from solartrack._optional import require
from solartrack.errors import SourceError
from solartrack.sources._checks import CHECKS, check_bytes, words
from solartrack.sources._part import Part, content_type

__all__ = ["Download", "LimitReached", "ReadError", "Transport", "file_sha256"]

#: Connections at most to a host that is not named in `connections`.
DEFAULT_CONNECTIONS = 4
#: Hosts that ask for less.
CONNECTIONS = {"jsoc.stanford.edu": 1, "jsoc2.stanford.edu": 1}
#: Largest answer of `Transport.get`, in bytes.
MAX_ANSWER_BYTES = 256 * 2**20
#: Largest file of `Transport.download`, in bytes.
MAX_FILE_BYTES = 64 * 2**30

_CHUNK = 256 * 2**10
# An attempt that brought so many bytes of a file that can be resumed is no failure.
_PROGRESS = 64 * 2**10
# First pause of a host whose limit of requests is reached, in units of `first_wait`.
_FIRST_PAUSE = 15.0
# A server that sends less than this within the time-out for reading has stalled.
_STALL = 1024
_ERROR_BODY = 64 * 2**10
_MOST_REDIRECTS = 5
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_REDIRECTS = (301, 302, 303, 307, 308)
# Asking again may help, also where a file is promised (202) or none comes; any other status of 400 and above
# is the last word.
_PASSING = (202, 204, 205, 408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524)
_MISSING = (400, 404, 410)
_T = TypeVar("_T")

#: A source's own reading of an error: status, body, content type -> the error, or None if it has none.
ReadError = Callable[[int, bytes, str], SourceError | None]


class Download(NamedTuple):
    """A complete file.

    Attributes
    ----------
    size : int
        Bytes.
    sha256 : str
        Of the content, as hexadecimal digits.
    """

    size: int
    sha256: str


class LimitReached(SourceError):
    """The limit of requests of a service is reached, as its `ReadError` says; it is left alone a while."""


class _Limit(NamedTuple):
    """What a host has been waited for since its limit of requests was reached."""

    error: LimitReached
    waited: float
    next_pause: float


class _Passing(Exception):
    """An attempt failed, and another may not."""

    def __init__(self, error: SourceError, *, progress: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.progress = error, progress


class Transport:
    """Requests to archives; may be shared by threads.

    Parameters
    ----------
    connections : mapping of str to int, optional
        Most connections at a time, by host. Others have their polite default: jsoc.stanford.edu 1, the
        rest 4.
    timeout : tuple of float
        Seconds to wait for a connection, and for the next bytes.
    attempts : int
        How often a request is asked before it has failed. A file of which an attempt brought a part that
        can be resumed starts to count again.
    first_wait, longest_wait : float
        Seconds between attempts: the first wait, doubled each time up to the longest. A longer
        ``Retry-After`` of a server is cut to the longest wait.
    limit_wait : float, optional
        Seconds to wait, in all, for a service whose limit of requests is reached (`LimitReached`), which
        counts as no attempt. All connections to the host pause for 15 times `first_wait`, then for twice as
        long, and so on up to `longest_wait`, until it answers. Where the pauses would last longer than this,
        requests to that host fail at once. Default: three times `longest_wait`, a quarter of an hour.
    max_bytes : int
        Largest file that `download` accepts.

    Examples
    --------
    >>> from solartrack.sources import Transport
    >>> transport = Transport(connections={"example.org": 2}, attempts=3, timeout=(10.0, 30.0))
    >>> transport.connections("example.org")
    2
    """

    def __init__(
        self,
        *,
        connections: Mapping[str, int] | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        attempts: int = 5,
        first_wait: float = 1.0,
        longest_wait: float = 300.0,
        limit_wait: float | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {attempts}")
        for host, most in (connections or {}).items():
            if most < 1:
                raise ValueError(f"connections to {host} must be at least 1, got {most}")
        self.timeout, self.attempts, self.max_bytes = timeout, attempts, max_bytes
        self.first_wait, self.longest_wait = first_wait, longest_wait
        self.limit_wait = 3.0 * longest_wait if limit_wait is None else limit_wait
        self._connections = {**CONNECTIONS, **(connections or {})}
        self._guard = threading.Lock()
        self._slots: dict[str, threading.Semaphore] = {}
        self._not_before: dict[str, float] = {}
        self._limits: dict[str, _Limit] = {}
        self._cancelled = threading.Event()
        self._sessions: dict[bool, Any] = {}

    def connections(self, host: str) -> int:
        """Most connections at a time to a host.

        Examples
        --------
        >>> from solartrack.sources import Transport
        >>> Transport(connections={"example.org": 2}).connections("example.org")
        2
        >>> Transport().connections("jsoc.stanford.edu")
        1
        """
        return self._connections.get(host, DEFAULT_CONNECTIONS)

    def cancel(self) -> None:
        """End all waits and transfers, in every thread, with a `SourceError`, until `allow` is called.

        Examples
        --------
        >>> from solartrack.sources import Transport
        >>> transport = Transport()
        >>> transport.cancel()
        """
        self._cancelled.set()

    def allow(self) -> None:
        """Allow requests again, after `cancel`.

        Examples
        --------
        >>> from solartrack.sources import Transport
        >>> transport = Transport()
        >>> transport.cancel()
        >>> transport.allow()
        """
        self._cancelled.clear()

    def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        method: str = "GET",
        check: str = "json",
        max_bytes: int = MAX_ANSWER_BYTES,
        cache: Path | None = None,
        read_error: ReadError | None = None,
    ) -> bytes:
        """A whole answer in memory.

        Parameters
        ----------
        url : str
            http or https.
        params : mapping, optional
            The query, or the form if `method` is "POST".
        method : "GET" or "POST"
        check : "json", "text" or "any"
            What the answer must be. HTML is refused, except as "any".
        max_bytes : int
            Largest answer accepted.
        cache : Path, optional
            Folder in which the answer is kept, and looked up before anything is asked.
        read_error : callable, optional
            ``read_error(status, body, content_type)``, asked for every answer with an error status or with
            other content than `check` says: the error to raise, or None. One that is `permanent` is raised
            at once; after another one the request is asked again.

        Returns
        -------
        bytes

        Raises
        ------
        SourceError
            With the status and the server's words, after the last attempt; at once if asking again would
            not help.

        Examples
        --------
        This asks NOAA for the active regions of today, a JSON text.

        >>> from solartrack.sources import Transport
        >>> url = "https://services.swpc.noaa.gov/json/solar_regions.json"
        >>> body = Transport().get(url)  # doctest: +SKIP
        """
        kept = None if cache is None else cache / _digest(method, url, params)
        if kept is not None and kept.is_file():
            body = kept.read_bytes()
            with contextlib.suppress(SourceError):  # a damaged copy is fetched again
                check_bytes(body, check)
                return body

        def once() -> bytes:
            with self._answer(method, url, params, {"Accept-Encoding": "gzip"}) as answer:
                self._refuse_errors(answer, url, read_error)
                body = b"".join(self._chunks(answer, url, max_bytes))
            try:
                check_bytes(body, check)
            except SourceError as error:
                raise _reading(read_error, 200, body, content_type(answer)) or _again(
                    f"{_shown(url)}: {error}"
                ) from error
            return body

        body = self._persist(url, once)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(kept, body)
        return body

    def download(
        self,
        url: str,
        target: Path,
        *,
        check: str,
        params: Mapping[str, Any] | None = None,
        max_bytes: int | None = None,
        read_error: ReadError | None = None,
        quarantine: Path | None = None,
    ) -> Download:
        """Fetch a file; it gets its final name when it is complete and its content decodes.

        Parameters
        ----------
        url, params
            As for `get`.
        target : Path
            The final name. ``NAME.part`` and ``NAME.part.json`` beside it hold what has come so far; a
            later call resumes it where the server has given it a version (ETag or Last-Modified) and
            serves ranges, and starts over elsewhere.
        check : str
            A key of `solartrack.sources._checks.CHECKS`.
        max_bytes : int, optional
            Largest file accepted, in place of the transport's.
        read_error : callable, optional
            As for `get`; of a file's content it gets the first 64 KiB.
        quarantine : Path, optional
            Folder to which a file goes whose content does not decode, with the reason in a text beside it.
            Without it such a file is removed.

        Returns
        -------
        Download

        Raises
        ------
        SourceError
            As for `get`.
        OSError
            If the file cannot be written here.

        Examples
        --------
        This asks NOAA for the Solar Region Summary of a day, and writes it to a file.

        >>> from pathlib import Path
        >>> from solartrack.sources import Transport, swpc
        >>> url = swpc.plan("srs", "2017-09-04", "2017-09-04")["url"][0]
        >>> _ = Transport().download(url, Path("20170904SRS.txt"), check="text")  # doctest: +SKIP
        """
        if check not in CHECKS:
            raise ValueError(f"check must be one of {', '.join(CHECKS)}, got {check!r}")
        part = Part(target, url if not params else f"{url}?{urlencode(params)}")
        most = self.max_bytes if max_bytes is None else max_bytes

        def once() -> None:
            if not part.is_whole():
                self._transfer(url, params, part, most, read_error)
            try:
                CHECKS[check](part.path)
            except SourceError as error:
                start = part.start()
                part.give_up(quarantine, f"{_shown(url)}\n{error}\n")
                raise _reading(read_error, 200, start, part.kind) or _again(
                    f"{_shown(url)}: {error}"
                ) from error

        self._persist(url, once)
        size, sha256 = part.path.stat().st_size, file_sha256(part.path)
        with replacing(target) as partial:
            part.path.replace(partial)
        part.forget()
        return Download(size, sha256)

    # -- one attempt -----------------------------------------------------------------

    def _transfer(
        self, url: str, params: Mapping[str, Any] | None, part: Part, most: int, read_error: ReadError | None
    ) -> None:
        """Fetch what is missing of a file."""
        with self._answer("GET", url, params, {"Accept-Encoding": "identity", **part.range()}) as answer:
            if answer.status_code == 416 or (answer.status_code == 206 and not part.continues(answer)):
                part.start_over()
                raise _again(f"{_shown(url)}: the server has another file now than the part fetched earlier")
            self._refuse_errors(answer, url, read_error)
            decode = answer.headers.get("Content-Encoding", "identity").lower() not in ("identity", "")
            if answer.status_code != 206:
                part.begin(answer, resumable=not decode)
            have = part.size()
            if (part.length is not None and part.length > most) or have > most:
                raise SourceError(
                    f"{_shown(url)}: {part.length} bytes, more than the limit of {most} (max_bytes)"
                )
            came = 0
            try:
                with part.path.open("ab") as file:
                    for chunk in self._chunks(answer, url, most - have, decode=decode):
                        file.write(chunk)
                        came += len(chunk)
                    file.flush()
                    os.fsync(file.fileno())
            except _Passing as failure:
                failure.progress = came >= _PROGRESS and part.validator != ""
                raise
        if trouble := part.finish():
            raise _again(f"{_shown(url)}: {trouble}")

    def _refuse_errors(self, answer: Any, url: str, read_error: ReadError | None) -> None:
        """Raise what an answer with an error status says."""
        status = answer.status_code
        if 200 <= status < 300 and status not in _PASSING:
            return
        if status in _PASSING:
            self._hold(_host(answer.url), answer.headers.get("Retry-After"))
        body = b"".join(self._chunks(answer, url, _ERROR_BODY, cut=True))
        if (read := _reading(read_error, status, body, content_type(answer))) is not None:
            raise read
        message = f"{_shown(url)}: HTTP {status} {answer.reason or ''}".rstrip()
        if said := words(body):
            message += f": {said}"
        if status in _PASSING:
            raise _again(message)
        raise SourceError(message, permanent=status in _MISSING)

    @contextlib.contextmanager
    def _answer(
        self, method: str, url: str, params: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Iterator[Any]:
        """An open answer, after redirects; it holds one of the connections that its host may have."""
        first = _host(url)
        for hop in range(_MOST_REDIRECTS + 1):
            host = _host(url)
            with (
                self._slot(host),
                self._asked(
                    method, url, params, headers, guarded=host != first, redirected=hop > 0
                ) as answer,
            ):
                location = answer.headers.get("Location")
                if answer.status_code not in _REDIRECTS or location is None:
                    yield answer
                    return
            url = _followed(url, location)
            params = None if method == "GET" or answer.status_code not in (307, 308) else params
            method = method if answer.status_code in (307, 308) else "GET"
        raise SourceError(f"{_shown(url)}: more than {_MOST_REDIRECTS} redirects")

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        *,
        guarded: bool,
        redirected: bool,
    ) -> Iterator[Any]:
        requests = require("requests", extra="sources", purpose="downloading")
        urllib3 = require("urllib3", extra="sources", purpose="downloading")
        form = {"data": params} if method == "POST" else {"params": params}
        try:
            answer = self._session(guarded).request(
                method, url, headers=headers, timeout=self.timeout, stream=True, allow_redirects=False, **form
            )
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise SourceError(
                    f"{_shown(url)}: the certificate of the server cannot be verified"
                ) from error
            raise _again(f"{_shown(url)}: {_network(error)}") from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise _again(f"{_shown(url)}: {_network(error)}") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # A URL that nobody can ask. If a server has named it, that is the server's mistake of today.
            raise SourceError(f"{_shown(url)}: {error}", permanent=not redirected) from error
        try:
            yield answer
        finally:
            answer.close()

    def _chunks(
        self, answer: Any, url: str, most: int, *, decode: bool = True, cut: bool = False
    ) -> Iterator[bytes]:
        """The body, piece by piece; what is beyond `most` bytes is an error, or with `cut` left out."""
        pieces = self._pieces(answer, url)
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if decode and encoding not in ("", "identity"):
            pieces = _decoded(pieces, encoding, url)
        came = 0
        for piece in pieces:
            came += len(piece)
            if came > most:
                if cut:
                    yield piece[: len(piece) - (came - most)]
                    return
                raise SourceError(f"{_shown(url)}: more bytes than the limit of {most} (max_bytes)")
            yield piece

    def _pieces(self, answer: Any, url: str) -> Iterator[bytes]:
        """The body as it is sent."""
        urllib3 = require("urllib3", extra="sources", purpose="downloading")
        came = seen = 0
        since = time.monotonic()
        while True:
            self._refuse_cancelled()
            try:
                piece = answer.raw.read1(_CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _again(f"{_shown(url)}: {_network(error)}") from error
            if not piece:
                return
            came += len(piece)
            yield piece
            if (now := time.monotonic()) - since > self.timeout[1]:
                if came - seen < _STALL:
                    raise _again(f"{_shown(url)}: the transfer has stalled")
                since, seen = now, came

    def _session(self, guarded: bool) -> Any:
        """The session for hosts that were asked for, or for those that only a redirect has named."""
        with self._guard:
            if guarded not in self._sessions:
                self._sessions[guarded] = _session(guarded)
            return self._sessions[guarded]

    # -- waiting -----------------------------------------------------------------------

    @contextlib.contextmanager
    def _slot(self, host: str) -> Iterator[None]:
        """One of the connections that a host may have, once the host has no objection."""
        with self._guard:
            slot = self._slots.setdefault(host, threading.Semaphore(self.connections(host)))
        with slot:
            while (left := self._not_before.get(host, 0.0) - time.monotonic()) > 0:
                if (limit := self._limits.get(host)) is not None and limit.waited > self.limit_wait:
                    raise self._given_up(limit.error)
                self._sleep(left)
            self._refuse_cancelled()
            yield

    def _hold(self, host: str, retry_after: str | None) -> None:
        """Ask a host nothing for the time that it has asked for."""
        seconds = _seconds(retry_after)
        if seconds is not None:
            with self._guard:
                until = time.monotonic() + min(seconds, self.longest_wait)
                self._not_before[host] = max(self._not_before.get(host, 0.0), until)

    def _pause(self, host: str, error: LimitReached) -> None:
        """Ask a host nothing for a while, each time longer until it answers."""
        with self._guard:
            now = time.monotonic()
            if self._not_before.get(host, 0.0) > now:  # another connection was told the same
                return
            _, waited, pause = self._limits.get(host, _Limit(error, 0.0, _FIRST_PAUSE * self.first_wait))
            pause = min(pause, self.longest_wait)
            self._not_before[host] = now + pause
            self._limits[host] = _Limit(error, waited + pause, 2.0 * pause)

    def _given_up(self, error: LimitReached) -> SourceError:
        return SourceError(f"{error}, for longer than {self.limit_wait:g} s (limit_wait); try again later")

    def _persist(self, url: str, once: Callable[[], _T]) -> _T:
        """Try until it succeeds, fails for good, or has failed often enough."""
        tenacity = require("tenacity", extra="sources", purpose="downloading")
        host, failures, limited, give_up_at = _host(url), 0, False, float("inf")

        def attempt() -> _T:
            nonlocal failures, limited, give_up_at
            try:
                result = once()
            except _Passing as failure:
                limited = isinstance(failure.error, LimitReached)
                if isinstance(failure.error, LimitReached):
                    now = time.monotonic()
                    if now > give_up_at:  # a host that answers others, and this request never
                        raise self._given_up(failure.error) from failure
                    give_up_at = min(give_up_at, now + self.limit_wait)
                    self._pause(host, failure.error)
                else:
                    failures = 1 if failure.progress else failures + 1
                raise
            with self._guard:
                self._limits.pop(host, None)
            return result

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=lambda state: failures >= self.attempts,
            # Not all threads at the same moment. Where a limit is reached, the whole host pauses.
            wait=lambda state: (
                0.0
                if limited
                else min(self.first_wait * 2.0 ** (failures - 1), self.longest_wait)
                * random.uniform(0.75, 1.0)
            ),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            result: _T = retrying(attempt)
        except _Passing as failure:
            raise failure.error from failure.__cause__
        return result

    def _sleep(self, seconds: float) -> None:
        self._cancelled.wait(seconds)
        self._refuse_cancelled()

    def _refuse_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise SourceError("the transfer was cancelled")


def _session(guarded: bool) -> Any:
    """A session without cookies; a guarded one does not connect to private addresses."""
    import http.cookiejar

    from solartrack import __version__

    requests = require("requests", extra="sources", purpose="downloading")

    class Session(requests.Session):  # type: ignore[misc, name-defined]
        def get_redirect_target(self, resp: Any) -> None:
            """None: where an answer leads is looked at here, and requests fails at what is no URL."""

    session = Session()
    session.headers["User-Agent"] = f"solartrack/{__version__} ({requests.utils.default_user_agent()})"
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=16)
    if guarded:
        adapter.poolmanager.pool_classes_by_scheme = _guarded_pools()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _guarded_pools() -> dict[str, Any]:
    """Pools whose connections end before the request if the other end is in a private network.

    The address is that of the open connection, so no name and no spelling of a number leads round it.
    """
    urllib3 = require("urllib3", extra="sources", purpose="downloading")

    def guarded(connection: Any) -> Any:
        class Guarded(connection):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                address = self.sock.getpeername()[0]
                if not _is_public(address):
                    self.close()
                    raise _again(
                        f"the server redirects to {self.host} ({address}), which is no public address"
                    )

        return Guarded

    pools = {}
    for scheme, pool in (
        ("http", urllib3.connectionpool.HTTPConnectionPool),
        ("https", urllib3.connectionpool.HTTPSConnectionPool),
    ):
        pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": guarded(pool.ConnectionCls)})
    return pools


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast


def _host(url: str) -> str:
    """Host of a URL.

    Raises
    ------
    SourceError
        If it is none that can be asked.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(f"{url!r} is no URL: {error}", permanent=True) from error
    if parts.scheme not in ("http", "https") or not host:
        raise SourceError(f"expected an http or https URL, got {_shown(url)!r}", permanent=True)
    return host


def _followed(url: str, location: str) -> str:
    """Where a redirect leads."""
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url).scheme, urlsplit(target).scheme
        _ = urlsplit(target).port
    except ValueError as error:
        raise SourceError(f"{_shown(url)}: redirects to {location[:200]!r}, which is no URL") from error
    if new != old and (old, new) != ("http", "https"):
        raise _again(f"{_shown(url)}: redirects from {old} to {_shown(target)!r}, which is refused")
    return target


def _decoded(pieces: Iterable[bytes], encoding: str, url: str) -> Iterator[bytes]:
    """A body without its encoding. One that is cut is an error here; urllib3 takes it for complete."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise _again(f"{_shown(url)}: the answer is encoded as {encoding[:40]!r}, which was not asked for")
    decoder, whole = zlib.decompressobj(_ZLIB_OR_GZIP), True
    try:
        for piece in pieces:
            while piece:
                whole = False
                if out := decoder.decompress(piece, _CHUNK):
                    yield out
                if not decoder.eof:
                    piece = decoder.unconsumed_tail
                    continue
                # Another member may follow; zeros that fill up the last one are none.
                piece, whole = decoder.unused_data.lstrip(b"\0"), True
                decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
        if not whole and (out := decoder.flush()):
            yield out
    except zlib.error as error:
        raise _again(f"{_shown(url)}: the answer is damaged ({error})") from error
    if not (whole or decoder.eof):
        raise _again(f"{_shown(url)}: the answer was cut off")


def _again(message: str) -> _Passing:
    return _Passing(SourceError(message))


def _reading(read_error: ReadError | None, status: int, body: bytes, kind: str) -> Exception | None:
    """A source's own reading of an error, to raise."""
    error = None if read_error is None else read_error(status, body, kind)
    return error if error is None or error.permanent else _Passing(error)


def _seconds(retry_after: str | None) -> float | None:
    """Seconds from now that a Retry-After names; None if it cannot be read."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"\d{1,10}", text):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _network(error: BaseException) -> str:
    """What went wrong on the way, without the addresses of objects, which differ from run to run."""
    text = " ".join(str(part) for part in (error, error.__cause__, error.__context__) if part is not None)
    for pattern, meaning in (
        ("timed? ?out", "the server did not answer in time"),
        ("refused", "the connection was refused"),
        ("resolve|getaddrinfo|Name or service", "the name of the host is unknown"),
        ("IncompleteRead|end of file|prematurely", "the answer was cut off"),
        ("reset|aborted|closed|BadStatusLine|without response", "the connection was lost"),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    return f"no usable answer ({type(error).__name__})"


def _shown(url: str) -> str:
    """A URL for a message: of sensible length, without addresses of people."""
    text = re.sub(r"[^=&?/\s]+(@|%40)[^&/\s]+", "...", url)
    return text if len(text) <= 300 else text[:297] + "..."


def _digest(method: str, url: str, params: Mapping[str, Any] | None) -> str:
    request = [method, url, sorted((str(k), str(v)) for k, v in (params or {}).items())]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
