"""Files that have come in part, and what is needed to fetch the rest of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solartrack._files import write_bytes

__all__ = ["Part", "content_type", "discard_part"]

# So much of a file is shown to whoever reads errors in it.
_START = 64 * 2**10


class Part:
    """What has come so far of a file, and a note on the version of the file that it is a part of.

    Attributes
    ----------
    path : Path
    validator : str
        ETag or Last-Modified; "" if the part cannot be resumed.
    length : int or None
        Of the whole file, if the server has said it.
    kind : str
        Content type.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._url = url
        self.validator, self.length, self.kind = "", None, ""
        try:
            note = json.loads(self._note.read_bytes())
            if note["url"] == url and isinstance(note["length"], int | None):
                self.validator, self.length = str(note["validator"]), note["length"]
                self.kind, self._complete = str(note["kind"]), note["complete"] is True
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self._complete = False

    def size(self) -> int:
        """Bytes that are here."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def is_whole(self) -> bool:
        """Whether an earlier run was ended after the last byte, before the file had its name."""
        return self.path.exists() and (
            self._complete or (self.length is not None and self.size() == self.length > 0)
        )

    def range(self) -> dict[str, str]:
        """Headers that ask for the rest."""
        have = self.size()
        if not (have and self.validator):
            return {}
        return {"Range": f"bytes={have}-", "If-Range": self.validator}

    def continues(self, answer: Any) -> bool:
        """Whether a partial answer starts where the part ends, in the same version of the file."""
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != self.size():
            return False
        if _validator(answer.headers) not in ("", self.validator):
            return False
        if match[3] != "*":
            if self.length not in (None, int(match[3])):
                return False
            self.length = int(match[3])
        return True

    def begin(self, answer: Any, *, resumable: bool) -> None:
        """Start a new file."""
        self.start_over()
        self.validator = _validator(answer.headers) if resumable else ""
        length = answer.headers.get("Content-Length", "")
        self.length = int(length) if resumable and re.fullmatch(r"\d{1,18}", length) else None
        self.kind = content_type(answer)
        self._write()

    def finish(self) -> str:
        """The last byte has come; what is wrong with the number of bytes, or ""."""
        have, length = self.size(), self.length
        if length is None:
            self._complete = True
            self._write()
        elif have != length:
            self.start_over()
            return f"{have} bytes came, {length} were announced"
        return ""

    def start(self) -> bytes:
        """The first bytes."""
        with self.path.open("rb") as file:
            return file.read(_START)

    def give_up(self, quarantine: Path | None, reason: str) -> None:
        """Put aside a file that is not what it should be."""
        if quarantine is None:
            self.start_over()
            return
        quarantine.mkdir(parents=True, exist_ok=True)
        name = self.path.name.removesuffix(".part")
        self.path.replace(quarantine / name)
        write_bytes(quarantine / f"{name}.txt", reason.encode())
        self.start_over()

    def start_over(self) -> None:
        """Remove what is here, the note first: it must not speak of another version's bytes."""
        self.forget()
        self.path.unlink(missing_ok=True)
        self.validator, self.length, self._complete = "", None, False

    def forget(self) -> None:
        """Remove the note."""
        self._note.unlink(missing_ok=True)

    def _write(self) -> None:
        note = {
            "url": self._url,
            "validator": self.validator,
            "length": self.length,
            "kind": self.kind,
            "complete": self._complete,
        }
        # A hint, and no result: a torn one is not believed, so it need not be flushed.
        self._note.write_text(json.dumps(note))


def discard_part(target: Path) -> None:
    """Remove what `Transport.download` left beside a file when the process was killed after the renaming."""
    Part(target, "").start_over()


def content_type(answer: Any) -> str:
    """What an answer says that it is."""
    return str(answer.headers.get("Content-Type", ""))


def _validator(headers: Mapping[str, str]) -> str:
    """What names the version of a file: a strong ETag, else its date of change."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")
