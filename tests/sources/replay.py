"""A local server that replays recorded answers, and makes the mistakes that real ones make."""

from __future__ import annotations

import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from werkzeug import Request, Response

PAGE = b"""<!DOCTYPE html>\n<html><head><title>Too many requests &amp; a tired server</title></head><body>Sorry.</body></html>"""

#: Every fault there is. One with an argument is written as a tuple: ("retry-after", 2), ("status", 404).
FAULTS = (
    "500",  # with a text of the server
    "503",
    "429",
    "retry-after",  # 503 and Retry-After in seconds; argument: seconds (1)
    "retry-date",  # 429 and Retry-After as a date; argument: seconds from now (1)
    "html",  # 200 with a web page
    "shorter",  # complete by its length, but a part of the content; argument: fraction (0.7)
    "empty",  # 200 without content
    "cut",  # fewer bytes than announced; argument: fraction (0.5)
    "cut-chunked",  # no length announced, and the connection ends
    "wrong-length",  # the length announced is too small
    "time-out",  # no answer; argument: seconds (1.5)
    "stall",  # half of the content, then nothing; argument: seconds (1.5)
    "reset",  # the connection ends without an answer
    "redirect-file",  # to file:///etc/passwd
    "redirect-private",  # to another name of this machine
    "status",  # argument: the status
)


@dataclass
class Asked:
    """A request, as it came."""

    path: str
    query: dict[str, str]
    form: dict[str, str]
    method: str
    headers: dict[str, str]
    at: float
    fault: str = ""
    sent: int = 0  # bytes of the body that the client has taken
    complete: bool = False
    socket: Any = None

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the client does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.socket is None:
                time.sleep(left)
            elif select.select([self.socket], [], [], left)[0]:
                return  # closed: after its request a client says no more


@dataclass
class _Route:
    content: bytes
    content_type: str
    query: dict[str, str]
    headers: dict[str, str]
    ranges: bool | str
    answer: Callable[[Asked], Any] | None
    faults: list[Any] = field(default_factory=list)
    status: int = 200


class Replay:
    """Answers requests; see the fixture ``replay``.

    Attributes
    ----------
    url : str
        Of the server, without a slash at the end.
    asked : list of Asked
        All requests, in order.
    most_at_once : int
        Most requests that were in work at a time.
    delay : float
        Seconds that every answer takes.
    rate : float
        Bytes per second of every answer, if not 0.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.delay, self.rate = 0.0, 0.0
        self._routes: dict[str, list[_Route]] = defaultdict(list)
        self._guard = threading.Lock()
        self._now = 0
        self._chance: Callable[[Asked], Any] | None = None

    def add(
        self,
        path: str,
        content: bytes | str | Path | Callable[[Asked], Any] = b"",
        *,
        content_type: str = "application/octet-stream",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        ranges: bool | str = False,
        status: int = 200,
        faults: tuple[Any, ...] = (),
    ) -> str:
        """Serve something, and return its URL.

        Parameters
        ----------
        path : str
            Such as "/v2/getJP2Image/".
        content : bytes, str, Path or callable
            A callable gets the request and returns bytes, or ``(status, content type, bytes)``.
        query : dict
            Only for requests that have these parameters, in the query or the form; of several routes the
            one with most parameters answers.
        ranges : bool
            Serve ranges, with an ETag. "always" serves them of another version, too, as no server should.
        faults : tuple
            Faults of the first requests, one each; then the content comes.
        """
        function = content if callable(content) else None
        if isinstance(content, Path):
            content = content.read_bytes()
        elif isinstance(content, str):
            content = content.encode()
        self._routes[path].append(
            _Route(
                b"" if function else content, content_type, query or {}, headers or {}, ranges, function,
                list(faults), status,
            )
        )  # fmt: skip
        return self.url + path

    def chance(self, choose: Callable[[Asked], Any] | None) -> None:
        """Ask a function for the fault of every request; None for none."""
        self._chance = choose

    def count(self, path: str | None = None) -> int:
        """How many requests came, for a path."""
        return sum(path in (None, one.path) for one in self.asked)

    def answer(self, request: Request) -> Response:
        """What the server calls."""
        asked = Asked(
            request.path, request.args.to_dict(), request.form.to_dict(), request.method,
            dict(request.headers), time.monotonic(), socket=request.environ.get("werkzeug.socket"),
        )  # fmt: skip
        with self._guard:
            self.asked.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            given = asked.query | asked.form
            fitting = [r for r in self._routes[asked.path] if r.query.items() <= given.items()]
            route = max(fitting, key=lambda r: len(r.query)) if fitting else None
            fault = route.faults.pop(0) if route and route.faults else None
        if fault is None and self._chance is not None:
            fault = self._chance(asked)
        response = self._response(asked, route, fault)
        if response.is_sequence:  # not one of `_sent`
            self._done()
        return response

    def _done(self) -> None:
        with self._guard:
            self._now -= 1

    def _response(self, asked: Asked, route: _Route | None, fault: Any) -> Response:
        if self.delay:
            time.sleep(self.delay)
        if route is None:
            return Response(f"nothing at {asked.path}", 404, content_type="text/plain")
        status, kind, content = route.status, route.content_type, route.content
        if route.answer is not None:
            made = route.answer(asked)
            status, kind, content = made if isinstance(made, tuple) else (status, kind, made)
        headers = dict(route.headers)
        start, length = 0, len(content)
        if route.ranges:
            headers |= {"ETag": headers.get("ETag", f'"{hash(content)}"'), "Accept-Ranges": "bytes"}
            wanted = asked.headers.get("Range", "")
            if wanted.startswith("bytes=") and (route.ranges == "always" or _same(asked, headers)):
                start = int(wanted[6:].split("-")[0])
                if start >= length:
                    return Response(b"", 416, headers={"Content-Range": f"bytes */{length}"})
                status = 206
                headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
        content = content[start:]
        if fault is not None:
            name, *argument = fault if isinstance(fault, tuple) else (fault,)
            asked.fault = name
            return self._wrong(asked, name, argument[0] if argument else None, content, status, kind, headers)
        return self._sent(asked, content, status, kind, headers)

    def _sent(
        self, asked: Asked, content: bytes, status: int, kind: str, headers: dict[str, str],
        *, announced: int | None = None, pause: float = 0.0,
    ) -> Response:  # fmt: skip
        """A body in pieces that are counted; with fewer or more bytes than are announced, the connection ends."""

        def pieces() -> Any:
            step = max(int(self.rate / 50), 1) if self.rate else 64 * 2**10
            for at in range(0, len(content), step):
                piece = content[at : at + step]
                if at + step >= len(content) and not pause:  # before the client can know that it has all
                    self._done()
                yield piece
                asked.sent += len(piece)
                if self.rate:
                    time.sleep(len(piece) / self.rate)
            asked.complete = announced is None
            if pause:
                asked.wait(pause)
            if pause or not content:
                self._done()

        response = Response(pieces(), status, content_type=kind, headers=headers)
        if announced != -1:
            response.headers["Content-Length"] = str(len(content) if announced is None else announced)
        return response

    def _wrong(
        self, asked: Asked, name: str, argument: Any, content: bytes, status: int, kind: str, headers: dict[str, str]
    ) -> Response:  # fmt: skip
        """An answer with a fault."""
        part = content[: int(len(content) * (argument or {"shorter": 0.7}.get(name, 0.5)))] if (
            name in ("shorter", "cut", "cut-chunked")
        ) else content[: len(content) // 2]  # fmt: skip
        if name == "status":
            return Response("this did not work", argument, content_type="text/plain")
        if name in ("500", "503", "429"):
            return Response(f"the server says {name}", int(name), content_type="text/plain")
        if name == "retry-after":
            return Response("busy", 503, headers={"Retry-After": str(argument or 1)})
        if name == "retry-date":
            when = formatdate(time.time() + (argument or 1), usegmt=True)
            return Response("busy", 429, headers={"Retry-After": when})
        if name == "html":
            return Response(PAGE, content_type="text/html")
        if name == "empty":
            return Response(b"", content_type=kind)
        if name == "shorter":
            return self._sent(asked, part, status, kind, headers, announced=len(part))
        if name == "cut":
            return self._sent(asked, part, status, kind, headers, announced=len(content))
        if name == "cut-chunked":
            return self._sent(asked, part, status, kind, headers, announced=-1)
        if name == "wrong-length":
            return self._sent(asked, content, status, kind, headers, announced=len(part))
        if name == "time-out":
            asked.wait(argument or 1.5)
            return Response(b"too late", 504)
        if name == "stall":
            return self._sent(
                asked, part, status, kind, headers, announced=len(content), pause=argument or 1.5
            )
        if name == "reset":
            return self._sent(asked, b"", status, kind, headers, announced=len(content))
        if name == "redirect-file":
            return Response(b"", 302, headers={"Location": "file:///etc/passwd"})
        if name == "redirect-private":
            return Response(
                b"", 302, headers={"Location": self.url.replace("127.0.0.1", "localhost") + "/secret"}
            )
        raise ValueError(f"no such fault: {name}")


def _same(asked: Asked, headers: dict[str, str]) -> bool:
    """Whether the part that a client has is of this version."""
    return asked.headers.get("If-Range") in (None, headers["ETag"], headers.get("Last-Modified"))
