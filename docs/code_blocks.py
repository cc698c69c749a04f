"""Pages whose code has been run: what it prints is put behind it."""

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

_BLOCK = re.compile(r"```(python|bash)\n(.*?)```\n", flags=re.DOTALL)


def with_output(template: str, folder: Path) -> str:
    """The page, in which each block of Python or shell code is followed by what it printed.

    The blocks run in `folder`, one after the other; those of Python share their names.
    """
    names: dict[str, object] = {}

    def run(match: re.Match[str]) -> str:
        out = io.StringIO()
        if match[1] == "python":
            with contextlib.redirect_stdout(out):
                exec(match[2], names)
        else:
            tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-ec", match[2]], check=True, stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PATH": tools},
            )  # fmt: skip
            out.write(done.stdout)
        return match[0] + (f"\n```text\n{out.getvalue().rstrip()}\n```\n" if out.getvalue() else "")

    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the real data lack; the pages say it
        return _BLOCK.sub(run, template)
