"""Work for the tests of the engine: what its workers call must be importable there."""

import contextlib
import gc
import os
import signal
import struct
import time
from pathlib import Path

from solartrack._workers import DIED
from solartrack.errors import ArchiveError


def double(item):
    return 2 * item


def slowly(item):
    time.sleep(0.05)
    return 2 * item


def unevenly(item):
    time.sleep(0.02 * (item % 3 == 0))
    return 2 * item


def slow_at_first(item):
    time.sleep(1.0 * (item == 0))
    return 2 * item


def forever(item):
    time.sleep(1000)


def environment(item):
    return os.getpid(), os.environ.get("SOLARTRACK_NUM_THREADS")


def fail_at_five(item):
    if item == 5:
        raise ZeroDivisionError("five")
    return 2 * item


def no_file(item):
    raise FileNotFoundError(2, "not there", "a")


def die_at_five(item):
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def half_a_result():
    """Send the beginning of a result, as a process does that is killed meanwhile."""
    from multiprocessing.queues import SimpleQueue

    results = next(found for found in gc.get_objects() if isinstance(found, SimpleQueue))
    os.write(results._writer.fileno(), struct.pack("!i", 1000) + b"beginning")


def die_sending_five(item):
    if item == 5:
        half_a_result()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def send_for_ever(item):
    if item:
        half_a_result()
        time.sleep(1000)
    return item


def die_once(item):
    """Kills its worker where the file that it is given is not there yet."""
    path, number = item
    if number == 5:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return 10
        os._exit(7)
    return 2 * number


def begin(home, deaths):
    """Beginning of a worker; so many of them are killed then."""
    begun = Path(home, str(len(os.listdir(home))))
    begun.touch(exist_ok=False)
    if int(begun.name) < deaths:
        os.kill(os.getpid(), signal.SIGKILL)


def lost(item):
    return DIED


def workers_of(pid):
    """Process numbers of the children of a process that compute."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():  # children belong to the thread that has started them
        # Threads and processes may end while they are looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def die_at_a_name(file, convention):
    """Reading of a patch whose decoder may crash."""
    from solartrack.models.vgg.dataset import read

    if file.startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return read(file, convention)


def refuse(file, convention):
    raise ArchiveError("no more")
