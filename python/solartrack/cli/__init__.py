"""The command line: parses, calls, prints. All work is in the library.

Each command is a file with ``add``, which declares its arguments, and ``run``, which returns the
exit status. They import what is slow to import when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence

from solartrack import __version__
from solartrack.cli import (
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
    verify,
)
from solartrack.cli._options import EXIT_STATUS, FAILED, INCOMPLETE, INTERRUPTED, OK
from solartrack.errors import SolartrackError

__all__ = ["FAILED", "INCOMPLETE", "INTERRUPTED", "OK", "main"]


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
    """
    arguments = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    form = warnings.formatwarning
    # One line per warning, without the line of source code that Python adds.
    warnings.formatwarning = lambda message, *_, **__: f"solartrack: warning: {message}\n"
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as "| head", has closed the pipe
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)
        return OK
    except (SolartrackError, OSError, ValueError, ImportError) as error:
        print(f"solartrack: error: {error}", file=sys.stderr)
        _drop_what_cannot_be_written()
        return FAILED
    except KeyboardInterrupt:
        print("solartrack: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.formatwarning = form
    return status


def _drop_what_cannot_be_written() -> None:
    """The interpreter would try again at exit, and change the exit status."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="solartrack",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXIT_STATUS,
        description="Track solar regions through images, measure the magnetic complexity of "
        "magnetograms, and forecast flares.\n'solartrack demo' shows it at work.",
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
