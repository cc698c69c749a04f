"""One function over many items: the same results wherever, and nothing hangs or is left behind."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path

import pytest

import chores
import solartrack
from dask_cluster import running_cluster
from solartrack import _workers, features
from solartrack.archive import features as features_module
from solartrack.errors import ArchiveError

TESTS = Path(__file__).resolve().parents[1]
run = functools.partial(_workers.run, lost=chores.lost)
TWO = _workers.Workplace(2)


@pytest.fixture(params=["here", "processes", "cluster"])
def place(request):
    """Each place to work."""
    if request.param == "cluster":
        return _workers.workplace(None, request.getfixturevalue("threaded_cluster"))
    return _workers.Workplace(2 if request.param == "processes" else 0)


def gone(pid):
    """Whether a process ends within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


# -- the same everywhere -----------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7])
def test_every_item_has_its_result(place, chunk):
    found = list(run(chores.double, range(50), place, chunk=chunk))
    assert sorted(found) == [(i, 2 * i) for i in range(50)]


def test_items_are_taken_as_the_work_goes_on(place):
    taken = []

    def items():
        for i in range(300):
            taken.append(i)
            yield i

    results = run(chores.double, items(), place)
    for count, _ in enumerate(results, start=1):
        assert len(taken) <= count + max(16, 2 * 6)


@pytest.mark.parametrize("chunk", [1, 7])
def test_in_order_the_results_come_in_the_order_of_the_items(place, chunk):
    found = list(_workers.in_order(chores.unevenly, range(40), place, lost=chores.lost, chunk=chunk, hold=5))
    assert found == [(i, 2 * i) for i in range(40)]


def test_in_order_a_slow_item_pauses_the_work_instead_of_filling_the_memory():
    taken = []

    def items():
        for i in range(300):
            taken.append(i)
            yield i

    found = _workers.in_order(chores.slow_at_first, items(), TWO, lost=chores.lost, chunk=2, hold=10)
    with closing(found):
        assert next(found) == (0, 0)
        assert len(taken) <= 10 + 4 * 2 + 2
        assert [item for item, _ in found] == list(range(1, 300))


@pytest.mark.parametrize("chunk", [1, 4])
def test_in_order_an_item_that_kills_its_worker_keeps_its_place(chunk):
    found = list(_workers.in_order(chores.die_at_five, range(30), TWO, lost=chores.lost, chunk=chunk, hold=3))
    assert found == [(i, chores.DIED if i == 5 else 2 * i) for i in range(30)]


def test_an_error_of_the_function_ends_the_work(place):
    with pytest.raises(ZeroDivisionError, match="five"):
        list(run(chores.fail_at_five, range(1000), place))
    assert not multiprocessing.active_children()


def test_an_error_about_a_file_is_not_taken_for_a_lost_scheduler(place):
    with pytest.raises(FileNotFoundError, match="not there"):
        list(run(chores.no_file, range(3), place))


def test_without_items_nothing_is_started():
    never = _workers.Workplace(0, "tcp://127.0.0.1:9")
    assert list(run(chores.double, [], never)) == [] == list(run(chores.double, [], TWO))


# -- workers that die --------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_worker_that_dies_costs_only_the_item_that_kills_it_alone(chunk):
    found = dict(run(chores.die_at_five, range(12), TWO, chunk=chunk))
    assert found == {i: _workers.DIED if i == 5 else 2 * i for i in range(12)}


def test_a_worker_that_dies_while_it_sends_a_result_costs_only_that_item(monkeypatch):
    monkeypatch.setattr(_workers, "_QUIET", 0.5)
    found = dict(run(chores.die_sending_five, range(12), TWO))
    assert found == {i: chores.DIED if i == 5 else 2 * i for i in range(12)}


def test_workers_that_are_sending_a_result_can_be_killed():
    results = run(chores.send_for_ever, range(2), TWO)
    with closing(results):
        assert next(results) == (0, 0)
        time.sleep(0.3)


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    items = [(str(tmp_path / "died"), i) for i in range(12)]
    assert sorted(dict(run(chores.die_once, items, TWO)).values()) == [2 * i for i in range(12)]
    assert (tmp_path / "died").exists()


def test_a_worker_that_is_killed_while_it_starts_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "_begin_worker", functools.partial(chores.begin, str(tmp_path), 2))
    assert dict(run(chores.double, range(3), _workers.Workplace(1))) == {0: 0, 1: 2, 2: 4}
    assert len(list(tmp_path.iterdir())) == 3


def test_workers_that_are_always_killed_while_they_start_are_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "_begin_worker", functools.partial(chores.begin, str(tmp_path), 100))
    with pytest.raises(ArchiveError, match="are killed while they start, 3 times; use workers=0"):
        list(run(chores.double, range(3), _workers.Workplace(1)))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("chunk", [1, 4])
def test_on_a_cluster_a_worker_that_dies_costs_the_same(cluster, chunk):
    place = _workers.workplace(None, cluster[0])
    found = dict(run(chores.die_at_five, range(12), place, chunk=chunk))
    assert found == {i: _workers.DIED if i == 5 else 2 * i for i in range(12)}


def test_on_a_cluster_in_order_an_item_that_kills_its_worker_does_not_end_work_that_paused(cluster):
    place = _workers.workplace(None, cluster[0])
    found = list(_workers.in_order(chores.die_at_five, range(30), place, lost=chores.lost, hold=3))
    assert found == [(i, chores.DIED if i == 5 else 2 * i) for i in range(30)]


def test_a_cluster_without_workers_is_waited_for_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "_QUIET", 0.2)
    with running_cluster(tmp_path, workers=0) as (address, _):
        place = _workers.workplace(None, address)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "the Dask cluster at .* has no workers left")
            warnings.filterwarnings("ignore", "the Dask cluster at .* has no workers yet")
            with pytest.raises(UserWarning, match="has no workers left: waiting for some"):
                list(run(chores.double, range(3), place))


# -- ends --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, None])
def test_whatever_ends_the_loop_early_kills_the_workers(error):
    def loop():
        with closing(run(chores.slowly, range(1000), TWO)) as results:
            for _ in results:
                workers.extend(p.pid for p in multiprocessing.active_children())
                if error:
                    raise error
                break

    workers = []
    begin = time.monotonic()
    if error:
        with pytest.raises(error):
            loop()
    else:
        loop()
    assert workers and all(map(gone, workers)) and time.monotonic() - begin < 20


FOREVER = """
import chores
from solartrack import _workers
if __name__ == "__main__":
    list(_workers.run(chores.forever, range(9), _workers.Workplace(2), lost=chores.lost))
"""


def start(tmp_path, text, *given):
    script = tmp_path / "script.py"
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, given)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path, sign):
    process = start(tmp_path, FOREVER)
    while len(workers := chores.workers_of(process.pid)) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, sign)
    process.communicate()
    assert all(map(gone, workers))


def test_ctrl_c_ends_workers_that_are_busy(tmp_path):
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = start(tmp_path, heard + FOREVER)
    while len(workers := chores.workers_of(process.pid)) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert all(map(gone, workers)) and err.strip().endswith("KeyboardInterrupt")


# -- where it may not start --------------------------------------------------------


def test_worker_processes_compute_with_one_thread(monkeypatch):
    monkeypatch.setenv("SOLARTRACK_NUM_THREADS", "8")
    found = [result for _, result in run(chores.environment, range(4), TWO)]
    assert {threads for _, threads in found} == {"1"} and os.getpid() not in {pid for pid, _ in found}


NO_GUARD = """
import sys
from solartrack import features
features.extract(sys.argv[1], sys.argv[2], workers=2)
"""


def test_a_script_without_the_main_guard_is_told_so_in_the_last_line(tmp_path):
    for i in range(40):
        (tmp_path / f"{i}.fits").write_bytes(b"")
    process = start(tmp_path, NO_GUARD, tmp_path, tmp_path / "out")
    _, err = process.communicate(timeout=60)
    last = err.strip().splitlines()[-1]
    assert process.returncode == 1
    assert "ArchiveError: worker processes cannot start; a script must" in last
    assert 'below if __name__ == "__main__":' in last.replace("'", '"') and "(workers=1)" in last
    assert "another run is working" not in err and "BrokenProcessPool" not in err


DAEMON = """
import multiprocessing, sys
def job(source, output):
    from solartrack import features
    features.extract(source, output)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=job, args=sys.argv[1:], daemon=True)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def test_a_daemon_process_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLARTRACK_NUM_THREADS", "2")
    (tmp_path / "a.fits").write_bytes(b"")
    process = start(tmp_path, DAEMON, tmp_path, tmp_path / "out")
    _, err = process.communicate(timeout=60)
    last = err.strip().splitlines()[-1]
    assert process.returncode == 1 and "this process is a daemon" in last and "use workers=1" in last
    assert not (tmp_path / "out").exists()


def test_a_daemon_process_that_asks_for_no_number_works_alone_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.delenv("SOLARTRACK_NUM_THREADS", raising=False)
    monkeypatch.setattr(features_module, "as_threads", lambda workers: 4)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    (tmp_path / "a.fits").write_bytes(b"")
    with pytest.warns(UserWarning, match="this process is a daemon .*the work is done in it") as caught:
        assert features.extract(tmp_path, tmp_path / "out").failed == 1
    assert caught[0].filename == __file__


def test_processes_that_cannot_be_had_are_named(monkeypatch):
    def none_left(*given, **more):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(_workers, "_Pool", none_left)
    with pytest.raises(ArchiveError, match=r"cannot start \(.*temporarily unavailable\); use workers=0"):
        list(run(chores.double, range(3), TWO))


@pytest.mark.parametrize("workers", [-1, 1.5, True])
def test_workers_must_be_a_count(workers):
    with pytest.raises(ValueError, match="workers must be 0 or a number"):
        _workers.workplace(workers)


# -- clusters that cannot do it ----------------------------------------------------


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr(_workers, "_CONNECT", "1s")
    for address, message in (
        ("tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("nonsense://x", "nonsense"),
    ):
        with pytest.raises(ArchiveError, match=message):
            list(run(chores.double, range(3), _workers.workplace(None, address)))


def test_workers_with_another_version_or_without_the_files_are_refused(
    threaded_cluster, tmp_path, monkeypatch
):
    place = _workers.workplace(None, threaded_cluster)
    with pytest.raises(ArchiveError, match=r"the Dask worker tcp://.* does not see .*nowhere"):
        list(run(chores.double, range(3), place, needs_file=str(tmp_path / "nowhere")))
    version = solartrack.__version__
    monkeypatch.setattr(solartrack, "__version__", "9.9")
    with pytest.raises(
        ArchiveError, match=rf"the Dask worker tcp://.* has solartrack {version}, the run needs 9.9"
    ):
        list(run(chores.double, range(3), place))
    # One that comes later is asked with its first item.
    monkeypatch.setattr(_workers, "_check_workers", lambda *given: None)
    with pytest.raises(ArchiveError, match=rf"the worker on \S+ has solartrack {version}, the run needs 9.9"):
        list(run(chores.double, range(3), place))
    monkeypatch.setattr(solartrack, "__version__", version)
    with pytest.raises(ArchiveError, match=r"the worker on \S+ does not see .*nowhere; all workers must"):
        list(run(chores.double, range(3), place, needs_file=str(tmp_path / "nowhere")))


class Cluster:
    """Stands for a client whose workers give an answer."""

    def __init__(self, answers):
        self.answers = answers

    def run(self, ask, path):
        assert ask(path) == (solartrack.__version__, True)  # what it would be here
        return self.answers


def test_workers_without_solartrack_and_clusters_without_workers_are_said(tmp_path):
    with pytest.raises(ArchiveError, match=r"worker tcp://b has no solartrack; install"):
        answers = {"tcp://a": (solartrack.__version__, True), "tcp://b": ("", True)}
        _workers._check_workers(Cluster(answers), "tcp://s", str(tmp_path))
    with pytest.warns(UserWarning, match="cluster at tcp://s has no workers yet"):
        _workers._check_workers(Cluster({}), "tcp://s", None)


def test_a_scheduler_that_goes_away_is_said(cluster):
    address, process = cluster
    with pytest.raises(ArchiveError, match=r"scheduler at tcp://.* went away .* start again to go on"):
        for count, _ in enumerate(run(chores.slowly, range(1000), _workers.workplace(None, address))):
            if count == 5:
                process.kill()


@pytest.mark.parametrize("workers", [float("inf"), float("nan"), -1, 1.5, True])
def test_a_number_of_processes_that_is_none_is_refused(workers):
    with pytest.raises(ValueError, match="workers must be 0 or a number of processes"):
        _workers.workplace(workers)
