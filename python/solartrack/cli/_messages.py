"""What a command says: the summary on standard output, messages on standard error, all of it in a log."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Messages of commands: `info` is a hint that ``-q`` leaves out, `warning` what could not be used, `error`
#: why nothing was done. Not for the result, which `say` prints.
LOG = logging.getLogger("solartrack.cli")
LOG.propagate = False
LOG.setLevel(logging.DEBUG)

_PREFIX = {logging.WARNING: "warning: ", logging.ERROR: "error: "}


def add_messages(parser: argparse.ArgumentParser) -> None:
    """How much a command says, in which form, and where to; the same options for all of them."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no hints")
    amount.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say the versions and the time, and where errors are from",
    )
    parser.add_argument("--json", action="store_true", help="the summary as one JSON document")
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="add the summary and all messages to this file, too"
    )


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Whether there is a terminal to show a progress bar on, and no ``--quiet``."""
    return not arguments.quiet and sys.stderr.isatty()


def say(arguments: argparse.Namespace, told: Mapping[str, Any], words: str) -> None:
    """What was done: with ``--json`` as one JSON document, in which NaN is null, else in words."""
    print(json.dumps(_plain(told), allow_nan=False) if arguments.json else words)
    LOG.info("%s", words, extra={"printed": True})


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@contextlib.contextmanager
def messages(arguments: argparse.Namespace) -> Iterator[None]:
    """Send messages, and Python's warnings, to standard error, in one line each."""
    terminal = _Terminal(
        logging.DEBUG if arguments.verbose else logging.WARNING if arguments.quiet else logging.INFO
    )
    LOG.addHandler(terminal)
    shown = warnings.showwarning
    # Without the line of source code that Python adds.
    warnings.showwarning = lambda message, *_, **__: LOG.warning("%s", message)
    try:
        yield
    finally:
        warnings.showwarning = shown
        for handler in LOG.handlers[:]:
            LOG.removeHandler(handler)
            handler.close()


def keep_log(path: Path, argv: Sequence[str]) -> None:
    """Also send them to the end of a file, with times in UTC, until `messages` ends.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    file = logging.FileHandler(path, encoding="utf-8")
    form = logging.Formatter("{asctime} {levelname}: {message}", "%Y-%m-%dT%H:%M:%SZ", style="{")
    form.converter = time.gmtime
    file.setFormatter(form)
    LOG.addHandler(file)
    LOG.info("solartrack %s", " ".join(argv), extra={"printed": True})


class _Terminal(logging.Handler):
    """Standard error: wrapped between words on a terminal, else one line for a program to read."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "printed", False):
            return
        text = f"solartrack: {_PREFIX.get(record.levelno, '')}{record.getMessage()}"
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns
            text = textwrap.fill(
                text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        # Beside a progress bar, not in it.
        bars = sys.modules.get("tqdm")
        if bars is not None:
            bars.tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)
