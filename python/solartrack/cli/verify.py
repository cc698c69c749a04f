"""``solartrack verify``: decode everything in a store again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import INCOMPLETE, OK, add_command

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
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify, and list what is wrong."""
    from solartrack import sources

    store = sources.Store(arguments.store)
    troubles = store.verify(progress=shows_progress(arguments))
    for row in troubles.itertuples():
        LOG.warning(f"{row.path}: {row.trouble}")
    told = {
        "files": int((store.manifest["state"] == "done").sum()),
        "troubles": troubles.to_dict("records"),
    }
    say(arguments, told, f"{told['files']} files: {len(troubles)} troubles")
    return INCOMPLETE if len(troubles) else OK
