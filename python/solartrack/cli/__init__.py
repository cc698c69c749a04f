"""The command line: parses, calls, prints. All work is in the library.

Each command is a file with ``add``, which declares its arguments, and ``run``, which returns the
exit status. They import what is slow to import when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Sequence

from solartrack import __version__
from solartrack.cli import (
    completion,
    demo,
    draw,
    evaluate,
    features,
    fetch,
    flares,
    plan,
    prepare,
    report,
    track,
    track_archive,
    train,
    verify,
)
from solartrack.cli._messages import LOG, keep_log, messages
from solartrack.cli._options import EXIT_STATUS, FAILED, INCOMPLETE, INTERRUPTED, OK
from solartrack.cli._parser import Parser
from solartrack.errors import SolartrackError

__all__ = ["FAILED", "INCOMPLETE", "INTERRUPTED", "OK", "command_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``solartrack`` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default: those of the process.

    Returns
    -------
    int
        Exit status, see ``solartrack --help``.

    Examples
    --------
    >>> from solartrack import cli, demo
    >>> summaries = str(demo.SUMMARIES)
    >>> status = cli.main(["flares", "forecast", summaries, "--output", "forecasts.csv"])
    Flares from 2017-09-05 00:00 UTC, probabilities in percent,
    ...
    >>> status == cli.OK
    True
    """
    words = _joined(sys.argv[1:] if argv is None else argv)
    arguments = command_parser().parse_args(words)
    with messages(arguments):
        return _run(arguments, words)


def _run(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Run a command; what goes wrong is a message and an exit status."""
    began = time.monotonic()
    try:
        if arguments.log_file is not None:
            keep_log(arguments.log_file, words)
        LOG.debug(f"solartrack {__version__}, Python {platform.python_version()}, {platform.platform()}")
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as "| head", has closed the pipe
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)
        return OK
    except (SolartrackError, OSError, ValueError, ImportError) as error:
        LOG.error(f"{error}", exc_info=arguments.verbose)
        _drop_what_cannot_be_written()
        return FAILED
    except KeyboardInterrupt:
        LOG.warning("interrupted")
        return INTERRUPTED
    except Exception as error:
        LOG.error(f"a mistake in solartrack, please report it: {error!r}", exc_info=True)
        return FAILED
    LOG.debug(f"took {time.monotonic() - began:.1f} s")
    return status


def _drop_what_cannot_be_written() -> None:
    """The interpreter would try again at exit, and change the exit status."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command.

    Examples
    --------
    >>> from solartrack import cli
    >>> cli.command_parser().parse_args(["verify", "archive"]).store.name
    'archive'
    """
    parser = Parser(
        prog="solartrack",
        epilog=EXIT_STATUS,
        description="Track solar regions through images, measure the magnetic complexity of "
        "magnetograms, and forecast flares. 'solartrack demo' shows it at work.",
    )
    parser.add_argument("--version", action="version", version=f"solartrack {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        track,
        evaluate,
        draw,
        demo,
        report,
        features,
        flares,
        track_archive,
        plan,
        fetch,
        verify,
        prepare,
        train,
        completion,
    ):
        command.add(commands)
    return parser


def _joined(argv: Sequence[str]) -> list[str]:
    """Join ``--box -10,0,5,5`` with "=": argparse would take the value for another option."""
    words: list[str] = []
    for word in argv:
        takes_list = words and words[-1] in ("--box", "--box-arcsec", "--disk")
        if takes_list and re.match(r"-[\d.]", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
