"""Disturb downloads and archive runs for a time, and compare what they come to with undisturbed runs.

``python benchmarks/soak.py [SECONDS] [--seed N] [--rounds K]`` (default 3600 seconds, a seed of the clock, as
many rounds as the time allows). Each round has the next seed and is one of:

* a download from a local server that makes mistakes, some of them for ever;
* features of patches, or tracks of events, while files appear, vanish, grow and are damaged.

Runs are started again and again, sometimes two or three of them into one folder, and ended at random moments
by SIGKILL, SIGTERM, SIGINT or Ctrl-C; workers are killed; files may not grow any more; where file systems can
be mounted (root on Linux), the disk is full or read-only. Then a last run has its peace, and what it leaves
is compared: each unit once, equal to that of an undisturbed run; what is damaged named with its reason; no
temporary file, no process left. A claim that does not hold is printed with the seed: ``--seed N --rounds 1``
repeats its round, with the same choices, though not to the millisecond. Its folder is kept. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
from pytest_httpserver import HTTPServer

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import chores  # noqa: E402
from kill_run import features, tracks  # noqa: E402
from patch_files import write_patches  # noqa: E402
from solartrack import simulate  # noqa: E402
from solartrack.sources import Store, Transport, fetch, plan_table  # noqa: E402
from sources import made  # noqa: E402
from sources.replay import FAULTS, Replay  # noqa: E402

# How long a run may take to end, and its workers after it.
LONGEST, AFTER = 180, 60
SIGNALS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGINT": signal.SIGINT,
    "Ctrl-C": signal.SIGINT,
}
# What a run may end with where this happened to it.
SAID = {
    "full": "No space left on device|bytes are free in",
    "read-only": "Read-only file system",
    "no growth": "File too large",
    "rivals": "another run is working in",
}


class Violation(Exception):
    """A claim that does not hold."""


def claim(holds: object, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def content(folder: Path) -> dict[str, bytes]:
    """All files but the lock, what was put into quarantine, and the manifest of tracks with its times."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    left_out = {".lock", *(["manifest.json"] if (folder / "tracks").exists() else [])}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if name not in left_out and not (name.startswith("quarantine/") and "solartrack-part" not in name)
    }


def broken(dice: random.Random, data: bytes) -> bytes:
    """What is no image; never twice the same, so that a file that is damaged again has changed."""
    return dice.choice([data[:20], b"<html>not found</html>", b""]) + dice.randbytes(dice.randrange(1, 50))


class Download:
    """A store, filled from a server that makes mistakes."""

    def __init__(self, dice: random.Random, home: Path, server: HTTPServer, counts: Counter[str]) -> None:
        self.dice, self.counts = dice, counts
        self.replay = Replay(server.url_for("/"))
        server.clear()
        server.expect_request(re.compile(".*")).respond_with_handler(self.replay.answer)
        kinds = {
            "fits": lambda n: made.fits_bytes(n, side=dice.choice((10, 150))),
            "jp2": lambda n: made.jp2_bytes(n),
            "png": lambda n: made.image_bytes(seed=n),
            "tar": lambda n: made.tar_bytes({"noise": dice.randbytes(2**20)}),
        }
        rows, self.contents = [], {}
        for n in range(dice.randint(10, 60)):
            kind = dice.choices(list(kinds), (5, 5, 5, 1))[0]
            name = f"{n}.{kind}"
            self.contents[name] = kinds[kind](n)
            url = self.replay.add(f"/{name}", self.contents[name], ranges=dice.random() < 0.5)
            rows.append(
                {"source": "images", "id": f"n{n}", "url": url, "name": name, "event": f"e{n % 3}",
                 "check": "image" if kind == "png" else kind, "bytes": len(self.contents[name])}
            )  # fmt: skip
        self.always = {
            f"/{name}": dice.choice([("status", 404), ("status", 403), "html", "500"])
            for name in self.contents
            if dice.random() < 0.05
        }
        self.share = 0.0
        self.replay.chance(self.fault)
        plan = plan_table(rows)
        self.whole = fetch(plan, home / "whole", transport=Transport(first_wait=0.01, longest_wait=0.1))
        (home / "plan").write_bytes(pickle.dumps(plan))
        self.command = [str(TESTS / "sources/kill_fetch.py"), str(home / "plan")]
        self.share = dice.uniform(0.05, 0.6)
        self.replay.rate, self.replay.delay = 2e6, 0.02
        self.done: set[str] = set()
        self.cut: set[str] = set()
        self.asked = len(self.replay.asked)

    def fault(self, asked: object) -> object:
        if (always := self.always.get(asked.path)) is not None:
            return always
        if random.random() >= self.share:
            return None
        fault = random.choice([f for f in FAULTS if f != "status"])
        self.counts[f"fault {fault}"] += 1
        # Longer than a fetch waits; or an answer that comes late.
        return (fault, random.choice((0.5, 7))) if fault in ("time-out", "stall") else fault

    def arguments(self) -> list[str]:
        return []

    def disturb(self, output: Path) -> None:
        """The server does so."""

    def between(self, output: Path) -> None:
        """Nothing that is complete was asked for again; then damage a file that is."""
        again = {one.path[1:] for one in self.replay.asked[self.asked :]} & self.done
        claim(not again, f"asked for again: {sorted(again)}")
        there = {p.name: p for p in output.glob("images/*") if p.name in self.contents}
        other = {name for name, path in there.items() if path.read_bytes() != self.contents[name]}
        claim(other <= self.cut, f"{sorted(other - self.cut)} are not what the server has")
        self.cut = other  # what the runs since have not come to
        self.done = there.keys() - other
        self.asked = len(self.replay.asked)
        if not (output / "manifest.parquet").exists() or self.dice.random() < 0.7:
            return
        rows = Store(output).manifest
        noted = sorted(self.done & set(rows.loc[rows["state"] == "done", "name"]))
        if noted:
            name = self.dice.choice(noted)
            if self.dice.random() < 0.5:
                there[name].unlink()
            else:
                there[name].write_bytes(self.contents[name][:-1])
                self.cut.add(name)
            self.done.discard(name)
            self.counts["files lost or cut"] += 1

    def settle(self) -> None:
        self.share = self.replay.rate = self.replay.delay = 0.0

    def check(self, output: Path) -> None:
        store = Store(output)
        claim(store.manifest.equals(self.whole.manifest), f"other manifest:\n{store.manifest.to_string()}")
        for row in store.manifest.itertuples():
            if f"/{row.name}" in self.always:
                claim(
                    row.state in ("failed", "absent") and row.reason,
                    f"{row.name}: {row.state}, {row.reason!r}",
                )
            else:
                claim(row.state == "done", f"{row.name}: {row.state}, {row.reason}")
                claim(
                    (output / row.path).read_bytes() == self.contents[row.name], f"{row.path} is another file"
                )
        claim(store.verify().empty, store.verify().to_string())
        claim(content(output) == content(self.whole.folder), _difference(output, self.whole.folder))


class Archive:
    """Features of patches, or tracks of events, whose files change meanwhile."""

    def __init__(self, job: str, dice: random.Random, home: Path, counts: Counter[str]) -> None:
        self.job, self.dice, self.home, self.counts = job, dice, home, counts
        source = home / "source"
        if job == "features":
            files = write_patches(source / "patches", dice.randint(10, 60), seed=dice.randrange(1000))
        else:
            simulate.write(source / "store", simulate.sequence(dice.randrange(100), 12, "4h", size=64))
            files = sorted((source / "store").glob("*.fits"))
            events = pd.read_csv(source / "store/truth.csv").groupby("id").nth(0).sample(
                dice.randint(8, 25), replace=True, random_state=dice.randrange(1000)
            )  # fmt: skip
            events["event"] = [f"e{n}" for n in range(len(events))]
            self.events = events["event"].tolist()
            events[["event", "time", "x0", "y0", "x1", "y1"]].to_csv(source / "catalogue.csv", index=False)
        self.files = {file: file.read_bytes() for file in files}
        # What becomes of each file; the first is good, so that there is one image with a time.
        self.last: dict[Path, bytes | None] = dict(self.files)
        for file in files[1:]:
            if dice.random() < 0.1:
                self.last[file] = broken(dice, self.files[file])
            elif dice.random() < 0.05 and job == "features":
                self.last[file] = None
        self.growing = dice.sample(files[1:], len(files) // 3)
        for file in self.growing:
            self.change(file, missing=job == "features")
        self.command = [str(TESTS / "kill_run.py"), job, str(source)]

    def arguments(self) -> list[str]:
        return [str(self.dice.choice((1, 2, 2) if self.job == "features" else (0, 2, 2)))]

    def change(self, file: Path, *, missing: bool) -> None:
        self.counts["files changed"] += 1
        what = self.dice.choice(["begin", "grow", "whole", "broken", *(["missing"] if missing else [])])
        whole = self.files[file]
        if what == "missing":
            file.unlink(missing_ok=True)
        elif what == "grow" and file.exists() and whole.startswith(begun := file.read_bytes()):
            with file.open("ab") as opened:
                opened.write(whole[len(begun) : self.dice.randint(len(begun), len(whole))])
        else:
            begin = whole[: self.dice.randrange(len(whole))]
            file.write_bytes({"whole": whole, "broken": broken(self.dice, whole)}.get(what, begin))

    def disturb(self, output: Path) -> None:
        """Change a file. Tracks are of the images that the run finds at first: none may be missing then."""
        missing = self.job == "features" or (output / "index.parquet").exists()
        self.change(self.dice.choice(self.growing), missing=missing)

    def between(self, output: Path) -> None:
        """Nothing."""

    def settle(self) -> None:
        for file, data in self.last.items():
            if data is None:
                file.unlink(missing_ok=True)
            elif not file.exists() or file.read_bytes() != data:
                file.write_bytes(data)
        self.whole = self.home / "whole"
        source = self.home / "source"
        if self.job == "features":
            features.extract(source / "patches", self.whole, workers=1)
        else:
            tracks.track_archive(
                source / "catalogue.csv", source / "store", self.whole, tracker="rotation", workers=0
            )

    def check(self, output: Path) -> None:
        claim(content(output) == content(self.whole), _difference(output, self.whole))
        one, other = (json.loads((folder / "manifest.json").read_text()) for folder in (output, self.whole))
        for manifest in (one, other):
            manifest.pop("started", None), manifest.pop("finished", None)
        claim(one == other and one["state"] == "finished", f"other manifest: {one}, {other}")
        there = {str(file) for file, data in self.last.items() if data is not None}
        bad = {str(file) for file in there if self.last[Path(file)] != self.files[Path(file)]}
        if self.job == "features":
            errors = pd.read_csv(output / "errors.csv")
            rows = pd.read_parquet(output / "features")["file"].tolist()
            claim(sorted(rows) == sorted(there - bad), "a good file has no row, or two")
            claim(sorted(errors["file"]) == sorted(bad), f"errors name {errors['file'].tolist()}, not {bad}")
        else:
            errors = pd.read_parquet(output / "errors.parquet")
            units = [set(pd.read_parquet(p)["event"]) for p in sorted((output / "tracks").glob("*"))]
            rows = [event for unit in units for event in unit]
            claim(all(len(unit) < 2 for unit in units), f"several events in a unit: {units}")
            failed = set(errors["event"]) - {""}
            claim(
                len(rows) == len(set(rows)) and set(rows) | failed == set(self.events), f"events are {rows}"
            )
            claim(bad <= set(errors["file"]), f"errors lack {bad - set(errors['file'])}")
        claim((errors["reason"].str.len() > 0).all(), "an error without a reason")


def _difference(one: Path, other: Path) -> str:
    a, b = content(one), content(other)
    other = [name for name in a if b.get(name, a[name]) != a[name]]
    return f"more: {sorted(a.keys() - b)}; fewer: {sorted(b.keys() - a)}; other: {other}"


class Disk:
    """A folder for the output, on a file system of its own where one can be mounted."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.mounted = os.geteuid() == 0 and self.mount("size=64m")

    def mount(self, *options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.home)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def trouble(self, what: str, dice: random.Random) -> None:
        """Make it full but for some pages, read-only, or good."""
        used = sum(-(-p.stat().st_size // 4096) + 1 for p in self.home.rglob("*")) + 1
        size = "64m" if what != "full" else f"{(used + dice.randint(0, 20)) * 4}k"
        claim(self.mount("remount", "ro" if what == "read-only" else "rw", f"size={size}"), "cannot remount")

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.home)], check=True)


class Run:
    """A process, and all that it starts."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def members(self) -> list[int]:
        """Its processes that are alive, workers included."""
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if os.getsid(pid := int(folder.name)) == self.process.pid and not ended:
                    found.append(pid)
        return found

    def end(self, how: str, trouble: set[str], counts: Counter[str]) -> None:
        """Send a signal, or none, and see how it ends."""
        process = self.process
        sent = how if how and process.poll() is None else ""
        if sent:
            (os.killpg if sent == "Ctrl-C" else os.kill)(process.pid, SIGNALS[sent])
            counts[sent] += 1
        try:
            _, said = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            raise Violation(f"runs {LONGEST} s after {sent or 'its start'}: {self.members()}") from None
        until = time.monotonic() + AFTER
        while (left := self.members()) and time.monotonic() < until:
            time.sleep(0.02)
        claim(not left, f"processes {left} are left {AFTER} s after {sent or 'the end'}")
        why = [what for what in trouble if re.search(SAID[what], said)]
        interrupted = sent and (process.returncode == -SIGNALS[sent] or "KeyboardInterrupt" in said)
        if process.returncode == 1 and why:
            counts.update(f"ended: {what}" for what in why)
        claim(
            process.returncode == 0 or interrupted or (process.returncode == 1 and why),
            f"ended with {process.returncode} after {sent or 'no signal'}, {trouble or 'no trouble'}: {said}",
        )

    def kill(self) -> None:
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def disturbed(job: Download | Archive, disk: Disk, dice: random.Random, counts: Counter[str]) -> None:
    """Start, disturb and end runs, once."""
    output = disk.home / "run"
    trouble = set()
    if disk.mounted and dice.random() < 0.25:
        trouble.add(what := dice.choice(["full", "read-only"]))
        disk.trouble(what, dice)
    several = dice.choice((1, 1, 1, 2, 3))
    if several > 1:
        trouble.add("rivals")
    runs = [Run([*job.command, str(output), *job.arguments()]) for _ in range(several)]
    counts["starts"] += several
    try:
        first = runs[0].process
        # Some of the moments are anywhere, others when some more files are there.
        until = time.monotonic() + (dice.uniform(0, 4) if dice.random() < 0.3 else 20)
        goal = len(_names(output)) + dice.randint(1, 8)
        while first.poll() is None and time.monotonic() < until and len(_names(output)) < goal:
            if dice.random() < 0.01:
                job.disturb(output)
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.2))
        if dice.random() < 0.8 and first.poll() is None and (workers := chores.workers_of(first.pid)):
            with suppress(ProcessLookupError):
                os.kill(dice.choice(workers), dice.choice([signal.SIGKILL, signal.SIGTERM]))
                counts["workers killed"] += 1
            time.sleep(dice.uniform(0, 1.5))
        if dice.random() < 0.15:
            trouble.add("no growth")
            with suppress(ProcessLookupError):
                limit = dice.choice((0, 100, 1000, 6000))
                resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            time.sleep(dice.uniform(0, 2))
        for run in runs:
            run.end(dice.choice([*SIGNALS, *SIGNALS, ""]), trouble, counts)
    finally:
        for run in runs:
            run.kill()
        if disk.mounted:
            disk.trouble("", dice)
    job.between(output)


def _names(folder: Path) -> list[str]:
    """Files that are there, while they come and go."""
    return [name for _, _, names in os.walk(folder) for name in names]


def one_round(seed: int, server: HTTPServer, counts: Counter[str]) -> bool:
    """Whether all claims hold."""
    dice = random.Random(seed)
    random.seed(seed)
    kind = dice.choice(["download", "features", "tracks"])
    home = Path(tempfile.mkdtemp(prefix=f"soak-{seed}-"))
    disk = Disk(home / "disk")
    output, held = disk.home / "run", False
    try:
        if kind == "download":
            job: Download | Archive = Download(dice, home, server, counts)
        else:
            job = Archive(kind, dice, home, counts)
        for _ in range(dice.randint(1, 5)):
            disturbed(job, disk, dice, counts)
        job.settle()
        last = Run([*job.command, str(output), *job.arguments()])
        try:
            last.end("", set(), counts)
        finally:
            last.kill()
        job.check(output)
        held = True
        print(f"seed {seed}, {kind}: all claims hold", flush=True)
    except Exception as error:
        if not isinstance(error, Violation):
            traceback.print_exc()
        print(f"seed {seed}, {kind}: VIOLATED, see {home}: {type(error).__name__}: {error}", flush=True)
        if disk.mounted and output.exists():
            shutil.copytree(output, home / "run")
    finally:
        disk.remove()
        if held:
            shutil.rmtree(home)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10**6)
    parser.add_argument("--rounds", type=int, default=10**9)
    given = parser.parse_args()
    # A shell that starts this in the background has it ignore this signal, and so its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a line for each request
    counts: Counter[str] = Counter()
    violated = []
    start = time.monotonic()
    print(f"seed {given.seed}", flush=True)
    server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    server.start()
    try:
        for seed in range(given.seed, given.seed + given.rounds):
            if time.monotonic() - start > given.seconds:
                break
            counts["rounds"] += 1
            if not one_round(seed, server, counts):
                violated.append(seed)
    finally:
        server.stop()
        print(
            f"{time.monotonic() - start:.0f} s:",
            ", ".join(f"{n} {what}" for what, n in sorted(counts.items())),
        )
    print(f"violated: {violated or 'none'}", flush=True)
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
