"""JSOC's export queue: a request that it works on for minutes, asked for until its tar file is ready."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

from solartrack.errors import SourceError
from solartrack.sources._jsoc_table import as_object, said, status, whole
from solartrack.sources.transport import Transport

__all__ = ["BASE_URL", "EMAIL_VARIABLE", "VOID", "base", "check_email", "program", "request_query", "resolve"]

#: Of the service.
BASE_URL = "http://jsoc.stanford.edu/"
#: Environment variable with the e-mail address that is registered at JSOC.
EMAIL_VARIABLE = "SOLARTRACK_JSOC_EMAIL"
#: Environment variable with another address of the service, for mirrors.
URL_VARIABLE = "SOLARTRACK_JSOC_URL"
#: In place of a number: the request is too large.
VOID = "VOID"

_REGISTER = "http://jsoc.stanford.edu/ajax/register_email.html"
_READY, _TOO_LARGE, _FAILED, _EXPIRED, _NOT_YET, _OTHERS = 0, 3, 4, 5, 6, 7
_RUNNING = (1, 2, 12)
_NAMES = {None: "no status", _FAILED: "failed", _EXPIRED: "expired", _NOT_YET: "not found"}
# Waits are in units of the transport's first wait, which is a second.
_SHORTEST_WAIT, _LONGEST_WAIT = 5.0, 60.0
_TRIES = 3  # of a request that fails, or that JSOC has lost
_MOST_POLLS = 3000  # two days
_NOT_FOUND_POLLS = 30

# The address that was checked last, of a server: later exports use it.
_checked: dict[str, str] = {}


def check_email(
    email: str | None = None, *, transport: Transport | None = None, base_url: str | None = None
) -> str:
    """Check that an e-mail address is registered; the exports of this process use it from then on.

    Parameters
    ----------
    email : str, optional
        Default: that of an earlier call, else of the environment variable ``SOLARTRACK_JSOC_EMAIL``.
    transport : Transport, optional
    base_url : str, optional
        Default: that of the environment variable ``SOLARTRACK_JSOC_URL``, else `BASE_URL`.

    Returns
    -------
    str
        The address.

    Raises
    ------
    SourceError
        If there is none, or it is not registered. Its message does not repeat the address.

    Examples
    --------
    This asks JSOC whether it knows the address, and gives it back if so.

    >>> from solartrack.sources import jsoc
    >>> jsoc.check_email("you@example.org")  # doctest: +SKIP
    """
    server = base(base_url)
    wanted = (email or _checked.get(server) or os.environ.get(EMAIL_VARIABLE, "")).strip()
    if not wanted:
        raise SourceError(
            "JSOC makes exports only for a registered e-mail address; register yours at "
            f"{_REGISTER} and set {EMAIL_VARIABLE} to it, or call jsoc.check_email('you@example.org')"
        )
    if _checked.get(server) != wanted:
        # Encoded twice, as drms does: the program behind it decodes twice, so a + would become a blank.
        query = {"address": quote_plus(wanted), "checkonly": "1"}
        answer = _asked(transport or Transport(), program("checkAddress.sh", base_url), query)
        if status(answer) != 2:
            raise SourceError(
                f"JSOC does not know the e-mail address ({said(answer)}); register it at {_REGISTER}, "
                f"or correct {EMAIL_VARIABLE}"
            )
        _checked[server] = wanted
    return wanted


def resolve(row: dict[str, Any], transport: Transport, remember: Callable[..., None]) -> str:
    """Have an export made and wait until it is ready; `solartrack.sources.fetch` calls this.

    Parameters
    ----------
    row : dict
        Of the manifest. If it has a ``service_id``, JSOC is asked for that export and not for a new one.
    transport : Transport
    remember : callable
        ``remember(service_id=..., state=...)`` keeps the number of the export.

    Returns
    -------
    str
        URL of the tar file.

    Raises
    ------
    SourceError
        Permanent: there are no records, or too many (``service_id`` is "VOID" then; see `split`). Others may
        pass: no registered e-mail address, or three failures, with JSOC's words.

    Examples
    --------
    >>> from solartrack.sources import Transport, jsoc
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of JSOC.
    ...     def get(self, url, params=None, **options):
    ...         return b'{"status": 0, "count": 1, "tarfile": "/SUM1/JSOC_20110215_001.tar"}'
    >>> row = jsoc.plan_patches([377]).iloc[0].to_dict() | {"service_id": "JSOC_20110215_001"}
    >>> jsoc.resolve(row, Recorded(), remember=print)
    'http://jsoc.stanford.edu/SUM1/JSOC_20110215_001.tar'
    """
    request = json.loads(row["request"])
    id = str(row.get("service_id") or "")
    id = "" if id == VOID else id
    words = ""
    for attempt in range(_TRIES):
        if attempt:
            _wait(_LONGEST_WAIT, transport)
        if not id:
            answer = _request(request, transport, remember)
            id = str(answer["requestid"])
            remember(service_id=id, state="waiting")
            if status(answer) != _READY:  # it takes a while until its number can be found
                _wait(_suggested(answer), transport)
        answer = _wait_until_made(id, transport)
        if status(answer) == _READY:
            return _tar_url(answer)
        # An equal request soon after gets the same number, so that nothing is made twice.
        words = f"{id} {_NAMES.get(status(answer), 'refused')}: {said(answer)}"
        id = ""
        remember(service_id="", state="planned")
    raise SourceError(f"JSOC has not made the export, asked {_TRIES} times; the last was {words}")


def request_query(request: dict[str, Any], email: str) -> dict[str, str]:
    """Parameters of ``exp_request``.

    They are those that drms makes (a test compares them). drms itself opens its own connections and has no
    public place where another transport fits, so only its names and rules are used.
    """
    query = {
        "op": "exp_request",
        "format": "json",
        "ds": request["ds"],
        "notify": email,
        "method": "url-tar",
        "protocol": "fits",
        "filenamefmt": request["filenamefmt"],
        "process=n": "0" + (f"|{request['process']}" if request.get("process") else ""),
        "requester": email.partition("@")[0],
    }
    return query


def base(base_url: str | None) -> str:
    """Address of the service, with a slash at its end."""
    return (base_url or os.environ.get(URL_VARIABLE) or BASE_URL).rstrip("/") + "/"


def program(name: str, base_url: str | None = None) -> str:
    """Address of one of its programs."""
    return f"{base(base_url)}cgi-bin/ajax/{name}"


def _request(request: dict[str, Any], transport: Transport, remember: Callable[..., None]) -> dict[str, Any]:
    """Ask for an export; wait while JSOC still works on others of this user."""
    query = request_query(request, check_email(transport=transport))
    failures, answer = 0, {}
    for _ in range(_MOST_POLLS):
        answer = _asked(transport, program("jsoc_fetch"), query)
        now = status(answer)
        if now == _TOO_LARGE:
            remember(service_id=VOID, state="planned")
            raise SourceError(f"JSOC refuses the request as too large: {said(answer)}", permanent=True)
        if now in (_READY, *_RUNNING):
            if answer.get("requestid"):
                return answer
            raise SourceError("JSOC has no such records", permanent=True)
        if now != _OTHERS:
            failures += 1
            if failures >= _TRIES:
                break
        _wait(_LONGEST_WAIT, transport)
    raise SourceError(f"JSOC does not take the request: {said(answer)}")


def _wait_until_made(id: str, transport: Transport) -> dict[str, Any]:
    """The answer about an export that is ready, or will not be."""
    not_found = 0
    for _ in range(_MOST_POLLS):
        answer = _asked(transport, program("jsoc_fetch"), {"op": "exp_status", "requestid": id})
        now = status(answer)
        not_found += now == _NOT_YET
        if now not in (*_RUNNING, _NOT_YET, _OTHERS) or not_found > _NOT_FOUND_POLLS:
            return answer
        _wait(_suggested(answer), transport)
    raise SourceError(f"JSOC has not finished {id} in two days; the next run goes on waiting")


def _tar_url(answer: dict[str, Any]) -> str:
    count, tar = whole(answer.get("count")), answer.get("tarfile")
    files = answer.get("data")
    if count == 0 or (isinstance(files, list) and not any(_is_file(file) for file in files)):
        raise SourceError(
            "JSOC's export is ready, but it has no files: there are no such records", permanent=True
        )
    # A path on this server, whatever the answer says.
    if not isinstance(tar, str) or not tar.startswith("/") or ".." in tar.split("/"):
        raise SourceError(f"JSOC's export is ready, but its tar file is {str(tar)[:80]!r}")
    return base(None) + quote(tar.lstrip("/"))


def _is_file(file: Any) -> bool:
    return not (isinstance(file, dict) and file.get("filename") == "NoDataFile")


def _asked(transport: Transport, url: str, query: dict[str, str]) -> dict[str, Any]:
    return as_object(transport.get(url, query, check="json"), "the answer")


def _suggested(answer: dict[str, Any]) -> float:
    """Seconds after which JSOC wants to be asked again, within bounds."""
    return min(max(float(whole(answer.get("wait")) or 0), _SHORTEST_WAIT), _LONGEST_WAIT)


def _wait(seconds: float, transport: Transport) -> None:
    # The transport's own wait, which ends when the run is cancelled.
    transport._sleep(min(seconds * transport.first_wait, transport.longest_wait))
