"""Training that is killed on the way: kill_learn.py FOLDER PATH MOMENT.

PATH is "plain" or "cached", MOMENT "caching" (in its second block) or "epoch" (in the second one).
"""

import os
import signal
import sys
from pathlib import Path

from patch_files import TINY, stored_samples
from solartrack.models.vgg import activations, learn

# Small, so that there are many in these few files.
activations._BLOCK_ROWS, learn._READ_BYTES = 16, 200


def fit(folder, path, **settings):
    """The run, on samples that are there: the same each time that it is started."""
    from solartrack.models.vgg.network import build

    samples = [stored_samples(folder / name) for name in ("a", "b")]
    network = build(TINY, seed=3)
    cache = folder / "cache" if path == "cached" else None
    made = learn.fit_head(
        network,
        *samples,
        folder / path,
        cache=cache,
        epochs=3,
        batch=8,
        rate=0.01,
        workers=0,
        patience=None,
        **settings,
    )
    return network, made


def die_at(count, function):
    """The function, which kills the process when it is called so many times."""
    calls = []

    def dying(*args):
        calls.append(None)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    return dying


if __name__ == "__main__":
    folder, path, moment = Path(sys.argv[1]), *sys.argv[2:]
    if moment == "caching":
        activations._write_block = die_at(2, activations._write_block)
    else:
        functions = learn._Stage._functions

        def dying(self, weight):
            work, judge = functions(self, weight)
            return die_at(9, work), judge

        learn._Stage._functions = dying
    fit(folder, path)
