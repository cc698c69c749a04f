"""The parser of a command, whose options may also come from a file."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Help(argparse.HelpFormatter):
    """Help that fits the terminal: paragraphs, lists (indented) and the commands of examples are wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        text = re.sub(r" \\\n +|\n {10,}(?=\S)", " ", text)  # lines that go on
        paragraphs = re.findall(r"(?:^[^ \n].*\n?)+|^.*\n?", text, re.MULTILINE)
        return "\n".join(_wrapped(paragraph.rstrip(), width) for paragraph in paragraphs).rstrip() + "\n"


def _wrapped(text: str, width: int) -> str:
    if not text.startswith(" "):
        return textwrap.fill(text, width, break_on_hyphens=False)
    command = text.startswith("    solartrack ")
    # What a list says begins behind the names, and goes on there.
    hanging = 8 if command else len(re.match(r" +(?:\S+(?: \S+)* {2,}(?=\S))?", text)[0])  # type: ignore[index]
    if command:  # an option and its value stay together
        text = re.sub(r"( --?[\w-]+) (?=[^-])", "\\1\0", text)
    lines = textwrap.wrap(
        text,
        width - 2 * command,
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return (" \\\n" if command else "\n").join(lines).replace("\0", " ")


class Parser(argparse.ArgumentParser):
    """A parser that reads options from the TOML file of ``--config``, if `add_config` was called on it.

    What the command line says counts. Options are not to be shortened: what is short for one option today
    may be short for two tomorrow.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": Help, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, after the file has given its options as defaults."""
        if args is not None and "--config" in self._option_string_actions:
            finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            finder.add_argument("--config", type=Path)
            if path := finder.parse_known_args(args)[0].config:
                self._take(path, _read(self, path), args)
        parsed, left = super().parse_known_args(args, namespace)
        if left:  # said here, by the command itself, which knows its options
            self.error(f"unrecognized arguments: {' '.join(left)}{self._near(left)}")
        return parsed, left

    def _near(self, words: Sequence[str]) -> str:
        """What was meant by the first of the options that do not exist, if that can be guessed."""
        given = next((word.partition("=")[0] for word in words if word.startswith("--")), "")
        near = difflib.get_close_matches(given, self._option_string_actions, 1)
        return f"; did you mean {near[0]}?" if near else ""

    def _take(self, path: Path, told: dict[str, Any], args: Sequence[str]) -> None:
        """Make what the file says the defaults."""
        known = {_key(action): action for action in self._actions if action.dest not in ("help", "config")}
        given = {word.partition("=")[0] for word in args}
        beside = [group._group_actions for group in self._mutually_exclusive_groups]
        for actions in beside:
            named = [key for key in told if known.get(key) in actions and told[key] is not False]
            if len(named) > 1:
                self.error(f"{path}: {named[0]} and {named[1]} exclude each other")
        for key, value in told.items():
            action = known.get(key)
            if action is None:
                near = difflib.get_close_matches(key, known, 1, 0.5)
                cure = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
                self.error(f"{path}: there is no option {key}; {cure}")
            rivals = [one for group in beside if action in group for one in group]
            if given.isdisjoint(word for one in rivals for word in one.option_strings):
                action.default = self._checked(path, key, action, value)
            action.required = False
            if not action.option_strings:
                action.nargs = "*" if action.nargs == "+" else "?"

    def _checked(self, path: Path, key: str, action: argparse.Action, value: Any) -> Any:
        """A value of the file, as the command line would give it."""
        if action.nargs == 0:
            if not isinstance(value, bool):
                self.error(f"{path}: {key} must be true or false, got {value!r}")
            return value
        several = action.nargs == "+"
        values = value if several and isinstance(value, list) and value else [value]
        if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values):
            wanted = "a text or a number, or a list of them" if several else "a text or a number"
            self.error(f"{path}: {key} must be {wanted}, got {value!r}")
        try:
            made = [self._get_value(action, str(one)) for one in values]
            for one in made:
                self._check_value(action, one)
        except argparse.ArgumentError as error:
            self.error(f"{path}: {error}")
        return made if several else made[0]


def add_config(parser: argparse.ArgumentParser) -> None:
    """Options from a file."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take options from this TOML file, such as images = ['aia171/**'], workers = 4 and, of one "
        "that takes no value, both-ways = true; what the command line says counts",
    )


def _key(action: argparse.Action) -> str:
    """What the file calls an option: its long name without dashes in front, or what a position is called."""
    return action.option_strings[-1].lstrip("-") if action.option_strings else action.dest


def _read(parser: argparse.ArgumentParser, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        parser.error(f"--config {os.fspath(path)}: {error.strerror}")
    except ValueError as error:  # TOML, or UTF-8
        parser.error(f"{path} is no TOML file: {error}")
