"""The only place that starts processes and talks to clusters: one function over many items.

`run` calls a function for each item of a sequence and yields the results in the order of completion,
`in_order` in that of the items. They work in this process, in local processes, or on a Dask cluster, and come
to the same in each.

* Few items are underway at a time, so memory stays bounded and an interruption loses little.
* A worker process that dies (killed, out of memory, a crash in a decoder) costs only the item that
  kills its worker again when tried alone.
* After an error, Ctrl-C or an early end of the loop over `run` the workers are killed. They also end
  when this process is killed.
* Each worker process computes with one thread: the processes share the cores already.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import solartrack
from solartrack._optional import require
from solartrack.errors import ArchiveError

__all__ = ["DIED", "Workplace", "in_order", "local", "run", "workplace"]

Item = TypeVar("Item")
Result = TypeVar("Result")
# Does a chunk.
_Call = Callable[[list[Item]], list[Result]]
# Yields items with their results; returns the chunks whose worker died.
_Flights = Generator[tuple[Item, Result], None, list[list[Item]]]

#: What to say of an item that kills its worker.
DIED = "the process that worked on it died, twice (out of memory, or a crash in a decoder)"

_GUARD = (
    "worker processes cannot start; a script must start the work below if __name__ == '__main__':, "
    "or do it in this process ({alone})"
)
_OTHER_VERSION = "the {} has solartrack {}, the run needs {}; give all workers the same"
_NO_FILE = "the {} does not see {}; all workers must see the files under the same paths"
_CONNECT = "20s"
# Seconds without a result after which it is asked whether there are still workers.
_QUIET = 30.0
# How often the first worker is started where something kills it, such as want of memory.
_STARTS = 3
# Chunks underway on a cluster of few workers: more may join.
_LEAST_AHEAD = 16


class Workplace(NamedTuple):
    """Where work is done; made by `workplace`.

    Attributes
    ----------
    processes : int
        Local worker processes; 0 works in this process.
    scheduler : str or None
        Address of a Dask scheduler; then `processes` is 0.
    alone : str
        The argument of the public function that makes it work in this process, for messages.
    """

    processes: int = 0
    scheduler: str | None = None
    alone: str = "workers=0"


def workplace(workers: int | None, scheduler: str | None = None, *, alone: str = "workers=0") -> Workplace:
    """Check where work shall be done, before anything is written.

    Parameters
    ----------
    workers : int or None
        Local processes; 0 works in this process; None for the cores that this process may use, or
        with a warning in this process if it is a daemon.
    scheduler : str, optional
        Address of a Dask scheduler to work there instead.
    alone : str
        See `Workplace`.

    Returns
    -------
    Workplace

    Raises
    ------
    ValueError
        If both are given, or `workers` is not a count.
    ArchiveError
        If this process may not start others: it is a daemon, or a worker that is still importing the
        user's script.
    ImportError
        If `scheduler` is given and dask.distributed is not installed.
    """
    if workers is not None and scheduler is not None:
        raise ValueError("give workers or scheduler, not both")
    if scheduler is not None:
        _distributed()
        return Workplace(0, scheduler, alone)
    process = multiprocessing.current_process()
    if workers is None and process.daemon:
        warnings.warn(
            "this process is a daemon (such as a worker of a Dask cluster), which may not start others; the "
            "work is done in it, on one core",
            stacklevel=4,  # who called the function of the archive
        )
        return Workplace(0, None, alone)
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not 0 <= workers < math.inf or int(workers) != workers:
        raise ValueError(f"workers must be 0 or a number of processes, got {workers!r}")
    if workers:
        if getattr(process, "_inheriting", False):
            raise ArchiveError(_GUARD.format(alone=alone))
        if process.daemon:
            raise ArchiveError(
                "this process is a daemon (such as a worker of a pool or of a Dask cluster), which may not "
                f"start others; use {alone}, or give the address of a scheduler"
            )
    return Workplace(int(workers), None, alone)


def local(place: Workplace) -> Workplace:
    """A place on this machine, for files that the workers of a cluster may not see."""
    if place.scheduler is None:
        return place
    process = multiprocessing.current_process()
    if process.daemon or getattr(process, "_inheriting", False):
        return Workplace()
    return workplace(None)


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    place: Workplace,
    *,
    lost: Callable[[Item], Result],
    chunk: int = 1,
    needs_file: str | None = None,
    pause: Callable[[], bool] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Call a function for many items, wherever the work is done.

    Parameters
    ----------
    function : callable
        Of one item. It, the items and the results must be picklable.
    items : iterable
        Consumed as the work goes on.
    place : Workplace
    lost : callable
        Of one item that kills its worker, even when tried alone: what to take for its result.
    chunk : int
        Items that a worker gets at a time; more than one where an item is quickly done.
    needs_file : str, optional
        A file that all workers of a cluster must see.
    pause : callable, optional
        While it gives True no work is begun; it must not, once all that was begun has been yielded.

    Yields
    ------
    (item, result)
        In the order of completion. Close the generator (`contextlib.closing`) to end the work early.

    Raises
    ------
    ArchiveError
        If worker processes cannot start, or the cluster does not answer, goes away, or has workers
        that lack solartrack, have another version of it, or do not see the file.
    Exception
        What `function` raises ends the work.
    """
    remaining = iter(items)
    chunks = iter(lambda: list(islice(remaining, chunk)), [])
    first = next(chunks, None)
    if first is None:
        return  # nothing to do: no process is started
    chunks = chain([first], chunks)
    if place.scheduler is None and not place.processes:
        for item in chain.from_iterable(chunks):
            yield item, function(item)
        return
    call = partial(_do, function, solartrack.__version__, needs_file if place.scheduler else None)
    paused = pause or _never
    if place.scheduler is None:
        yield from _on_processes(call, chunks, place, lost, paused)
    else:
        yield from _on_cluster(call, chunks, place.scheduler, lost, needs_file, paused)


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    place: Workplace,
    *,
    lost: Callable[[Item], Result],
    chunk: int = 1,
    hold: int = 64,
) -> Generator[tuple[Item, Result], None, None]:
    """As `run`, but the results come in the order of the items.

    Parameters
    ----------
    function, items, place, lost, chunk
        As for `run`.
    hold : int
        Results that may wait for an earlier one before work pauses: together with what is underway then
        (twice the processes, times `chunk`) all that is held in memory.

    Yields
    ------
    (item, result)

    Raises
    ------
    ArchiveError, Exception
        As for `run`.
    """
    early: dict[int, tuple[Item, Result]] = {}
    results = run(
        partial(_second, function),
        enumerate(items),
        place,
        lost=lambda numbered: lost(numbered[1]),
        chunk=chunk,
        pause=lambda: len(early) >= hold,
    )
    turn = 0
    with contextlib.closing(results):
        for (number, item), result in results:
            early[number] = item, result
            while turn in early:
                yield early.pop(turn)
                turn += 1


def _second(function: Callable[[Item], Result], numbered: tuple[int, Item]) -> Result:
    return function(numbered[1])


def _never() -> bool:
    return False


def _do(
    function: Callable[[Item], Result], version: str, needs_file: str | None, items: list[Item]
) -> list[Result]:
    """Do a chunk of the work, in the worker; one of a cluster may have come after `_check_workers`."""
    if version != solartrack.__version__:
        here = f"worker on {socket.gethostname()}"
        raise ArchiveError(_OTHER_VERSION.format(here, solartrack.__version__, version))
    if needs_file is not None and not os.path.exists(needs_file):
        raise ArchiveError(_NO_FILE.format(f"worker on {socket.gethostname()}", needs_file))
    os.environ.setdefault("SOLARTRACK_NUM_THREADS", "1")
    return [function(item) for item in items]


def _flights(
    call: _Call[Item, Result],
    chunks: Iterator[list[Item]],
    submit: Callable[..., Any],
    wait_first: Callable[[Iterable[Any]], Iterable[Any]],
    ahead: Callable[[], int],
    paused: Callable[[], bool],
    killed: tuple[type[Exception], ...] = (),
) -> _Flights[Item, Result]:
    """Yield results as they come, with `ahead` chunks underway; return the chunks whose worker died.

    `submit` starts the call for a chunk and returns a future, `wait_first` waits until some futures are
    done and returns these. A broken pool loses all chunks underway; an error of the kinds `killed` means
    that of one chunk.
    """
    underway: dict[Any, list[Item]] = {}
    died: list[list[Item]] = []
    while True:
        for some in islice(chunks, 0 if paused() else max(0, ahead() - len(underway))):
            try:
                underway[submit(call, some)] = some
            except BrokenProcessPool:
                return [*underway.values(), some]
        if not underway:
            return died
        broken = False
        for future in wait_first(list(underway)):
            try:
                results = future.result()
            except BrokenProcessPool:
                broken = True
            except killed:
                died.append(underway.pop(future))
            else:
                yield from zip(underway.pop(future), results, strict=True)
        if broken:
            return list(underway.values())


def _alone(
    chunks: list[list[Item]],
    attempt: Callable[[list[Item]], _Flights[Item, Result]],
    lost: Callable[[Item], Result],
) -> Generator[tuple[Item, Result], None, None]:
    """Try chunks one at a time, and what dies again item by item, to find the one that kills."""
    for some in chunks:
        if not (yield from attempt(some)):
            continue
        if len(some) > 1:
            yield from _alone([[item] for item in some], attempt, lost)
        else:
            yield some[0], lost(some[0])


# -- local processes ---------------------------------------------------------------


def _on_processes(
    call: _Call[Item, Result],
    chunks: Iterator[list[Item]],
    place: Workplace,
    lost: Callable[[Item], Result],
    paused: Callable[[], bool],
) -> Generator[tuple[Item, Result], None, None]:
    def ahead() -> int:
        return 2 * place.processes

    # What died is tried again whatever is held: others may wait for its results.
    def attempt(some: list[Item]) -> _Flights[Item, Result]:
        with _processes(1, place.alone) as pool:
            first_done = partial(_first_done, pool)
            return (yield from _flights(call, iter([some]), pool.submit, first_done, lambda: 1, _never))

    while True:
        with _processes(place.processes, place.alone) as pool:
            first_done = partial(_first_done, pool)
            died = yield from _flights(call, chunks, pool.submit, first_done, ahead, paused)
        if not died:
            return
        yield from _alone(died, attempt, lost)


def _first_done(pool: ProcessPoolExecutor, futures: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
    while True:
        if done := wait(futures, _QUIET, return_when=FIRST_COMPLETED).done:
            return done
        # The pool notices a dead worker, except one that died while it sent a result.
        if any(process.exitcode is not None for process in _members(pool)):
            _kill(pool)


def _members(pool: ProcessPoolExecutor) -> list[Any]:
    return list((pool._processes or {}).values())


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the workers of a pool, and let its thread notice."""
    for process in _members(pool):
        process.kill()
    # It may have read half of a result, whose end it would expect for ever: this process, too, can write to
    # that pipe.
    if (results := getattr(pool, "_result_queue", None)) is not None:
        results._writer.close()


class _Pool(ProcessPoolExecutor):
    """Processes that Ctrl-C in a terminal, which interrupts them as well, does not hit while they start."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit work, which may start a process: that inherits what is blocked here."""
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(*args, **kwargs)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _processes(count: int, alone: str) -> Iterator[ProcessPoolExecutor]:
    """Spawned worker processes, which are killed where the block is left by an exception."""
    # Not forked: a fork copies the locks of threads that it does not copy.
    pool: ProcessPoolExecutor | None = None
    try:
        try:
            for _ in range(_STARTS):
                pool = _Pool(count, multiprocessing.get_context("spawn"), _begin_worker)
                begun = pool.submit(os.getpid)
                first = _members(pool)
                with contextlib.suppress(BrokenProcessPool):  # its traceback says nothing more
                    begun.result()
                    break
                pool.shutdown()
                # Of one that something has killed another may start; a script without its guard exits.
                if not any((process.exitcode or 0) < 0 for process in first):
                    raise ArchiveError(_GUARD.format(alone=alone))
            else:
                raise ArchiveError(
                    f"worker processes are killed while they start, {_STARTS} times; use {alone}"
                )
        except OSError as error:  # no memory, no semaphores, too many processes
            raise ArchiveError(f"worker processes cannot start ({error}); use {alone}") from error
        yield pool
    except BaseException:
        # Nobody waits for what is underway: what is not written does not exist.
        if pool is not None:
            _kill(pool)
        raise
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    os.environ["SOLARTRACK_NUM_THREADS"] = "1"
    # A parent that was killed cannot say so: without this its workers would wait for work for ever.
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


# -- a Dask cluster ----------------------------------------------------------------


def _distributed() -> Any:
    return require("distributed", extra="archive", purpose="working on a Dask cluster")


def _on_cluster(
    call: _Call[Item, Result],
    chunks: Iterator[list[Item]],
    address: str,
    lost: Callable[[Item], Result],
    needs_file: str | None,
    paused: Callable[[], bool],
) -> Generator[tuple[Item, Result], None, None]:
    distributed = _distributed()
    closed = require("distributed.comm", extra="archive", purpose="a Dask cluster").CommClosedError
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"no Dask scheduler answers at {address}: {error}") from error

    killed = (distributed.KilledWorker,)

    def ahead() -> int:
        return max(_LEAST_AHEAD, 2 * sum(map(int, client.nthreads().values())))

    def attempt(some: list[Item]) -> _Flights[Item, Result]:
        return _flights(
            call, iter([some]), submit, first_done, lambda: 1, _never, (distributed.KilledWorker,)
        )

    # Dask's own futures, not those of its executor: these may never be done, or fail, if a worker dies
    # while their result is on its way.
    submit = partial(client.submit, pure=False)

    first_done = partial(_first_done_on_cluster, client, address)

    try:
        _check_workers(client, address, needs_file)
        # Again, because work that pauses for what died is not at its end.
        while died := (yield from _flights(call, chunks, submit, first_done, ahead, paused, killed)):
            yield from _alone(died, attempt, lost)
    except (CancelledError, OSError, TimeoutError) as error:
        if not isinstance(error, CancelledError | closed) and client.status == "running":
            raise  # an error of the function
        raise ArchiveError(
            f"the Dask scheduler at {address} went away ({type(error).__name__}); what is finished is kept: "
            "start again to go on"
        ) from error
    finally:
        log = logging.getLogger("distributed.client")
        level = log.level
        log.setLevel(logging.CRITICAL)  # a scheduler that is gone is no news by now
        client.close(timeout=5)
        log.setLevel(level)


def _first_done_on_cluster(client: Any, address: str, futures: Iterable[Any]) -> Iterable[Any]:
    distributed = _distributed()
    with client.as_current():
        while True:
            try:
                done: Iterable[Any] = distributed.wait(futures, _QUIET, return_when="FIRST_COMPLETED").done
                return done
            except TimeoutError:
                # Dask gives up a worker that is killed again before it is fully up; others may come.
                if not client.nthreads():
                    gone = f"the Dask cluster at {address} has no workers left: waiting for some"
                    warnings.warn(gone, stacklevel=2)


def _check_workers(client: Any, address: str, needs_file: str | None) -> None:
    """Refuse workers that cannot do the work; later ones are asked for their version by `_do`."""

    def ask(path: str | None) -> tuple[str, bool]:  # local, and so sent as code: solartrack may be missing
        import os

        try:
            from solartrack import __version__ as version
        except ImportError:
            version = ""
        return version, path is None or os.path.exists(path)

    answers = client.run(ask, needs_file)
    if not answers:
        warnings.warn(f"the Dask cluster at {address} has no workers yet: waiting for some", stacklevel=2)
    wanted = solartrack.__version__
    for worker, (found, sees) in answers.items():
        if not found:
            raise ArchiveError(f"the Dask worker {worker} has no solartrack; install {wanted} there")
        if found != wanted:
            raise ArchiveError(_OTHER_VERSION.format(f"Dask worker {worker}", found, wanted))
        if not sees:
            raise ArchiveError(_NO_FILE.format(f"Dask worker {worker}", needs_file))
