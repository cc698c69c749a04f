"""A fetch to be killed: kill_fetch.py PLAN FOLDER."""

import pickle
import signal
import sys
from pathlib import Path

from solartrack.sources import Transport, fetch

if __name__ == "__main__":
    # A shell that starts the tests in the background has them ignore this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plan, folder = sys.argv[1:]
    fetch(
        pickle.loads(Path(plan).read_bytes()),
        folder,
        transport=Transport(timeout=(5, 5), first_wait=0.01, longest_wait=0.1),
    )
