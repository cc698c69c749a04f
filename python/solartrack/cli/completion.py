"""``solartrack completion``: completion of commands, options and file names by the shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from solartrack.cli._options import OK, add_command

_NOTES = """
examples:
  bash, for new shells:
    mkdir -p ~/.local/share/bash-completion/completions
    solartrack completion bash \\
        > ~/.local/share/bash-completion/completions/solartrack
  zsh, in a folder of its $fpath:
    solartrack completion zsh > ~/.zfunc/_solartrack
"""

# What stands for files in the help.
_FILES = ("IMAGES", "SOURCE", "FEATURES|PATCHES", "NAME|FILE", "START|FILE", "FILE")


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "completion",
        help="completion of the command by the shell",
        description="Print a script with which the shell completes commands, options and file names.",
        notes=_NOTES,
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    parser.set_defaults(run=run, quiet=False, verbose=False, log_file=None)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from solartrack.cli import command_parser

    parser = command_parser()
    for action in _actions(parser):
        if not action.choices and (action.type is Path or action.metavar in _FILES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        else:
            yield action
