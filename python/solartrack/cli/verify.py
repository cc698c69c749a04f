"""``solartrack verify``: decode everything in a store again."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from solartrack.cli._options import INCOMPLETE, OK, add_command, add_quiet

_NOTES = """
examples:
  solartrack verify store/
A file that has changed is fetched again by the 'solartrack fetch' that made the store, once it is removed.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "verify",
        help="decode all files of a store again and compare them with its manifest",
        description="Decode all files of a store again, and compare them with its manifest.",
        notes=_NOTES,
    )
    parser.add_argument(
        "store",
        type=Path,
        metavar="STORE",
        help="folder that 'solartrack fetch' filled with images, magnetograms or reports",
    )
    parser.add_argument("--json", action="store_true", help="the troubles as JSON")
    add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify, and list what is wrong."""
    from solartrack import sources

    store = sources.Store(arguments.store)
    troubles = store.verify(progress=not arguments.quiet)
    if arguments.json:
        print(json.dumps(troubles.to_dict("records")))
    elif not arguments.quiet:
        done = int((store.manifest["state"] == "done").sum())
        print(f"{done} files: {len(troubles)} troubles")
        for row in troubles.itertuples():
            print(f"{row.path}: {row.trouble}", file=sys.stderr)
    return INCOMPLETE if len(troubles) else OK
