import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "ratios.py"


def made(name, seconds, *, group="iou", params=None, peer=False):
    extra = {"peer": True} if peer else {}
    return {
        "name": name, "fullname": f"bench.py::{name}", "group": group, "params": params,
        "stats": {"min": seconds}, "extra_info": extra,
    }  # fmt: skip


def run_of(*benchmarks):
    return {"benchmarks": list(benchmarks)}


@pytest.fixture(scope="module")
def ratios():
    return runpy.run_path(str(SCRIPT))


def test_fastest_peer_of_the_group_is_the_one_compared(ratios):
    (row,) = ratios["rows"](run_of(made("ours", 1.0), made("a", 4.0, peer=True), made("b", 3.0, peer=True)))
    assert (row["peer"], row["ratio"]) == ("b", 3.0)


def test_peer_of_another_size_is_not_compared(ratios):
    run = run_of(
        made("ours[1-small]", 1.0, params={"threads": 1, "size": "small"}),
        made("ours[1-large]", 10.0, params={"threads": 1, "size": "large"}),
        made("peer[small]", 2.0, params={"size": "small"}, peer=True),
        made("peer[large]", 50.0, params={"size": "large"}, peer=True),
    )
    assert [row["ratio"] for row in ratios["rows"](run)] == [2.0, 5.0]


def test_parameter_that_names_the_peer_is_not_compared(ratios):
    run = run_of(
        made("read[solartrack-x]", 1.0, params={"reader": "solartrack", "file": "x"}),
        made("read[astropy-x]", 3.0, params={"reader": "astropy", "file": "x"}, peer=True),
        made("read[astropy-y]", 2.0, params={"reader": "astropy", "file": "y"}, peer=True),
        made("read[solartrack-y]", 1.0, params={"reader": "solartrack", "file": "y"}),
    )
    assert [row["ratio"] for row in ratios["rows"](run)] == [3.0, 2.0]


def test_benchmarks_without_a_group_are_not_compared_with_those_of_others(ratios):
    run = run_of(made("one", 1.0, group=None), made("other", 2.0, group=None, peer=True))
    (row,) = ratios["rows"](run)
    assert row["peer"] is None and row["ratio"] is None and " - " in ratios["table"]([row])


@pytest.mark.parametrize(("now", "status"), [(1.45, 0), (1.55, 1)])
def test_ratio_that_falls_by_a_third_is_an_error(tmp_path, now, status):
    for name, seconds in (("old", 1.0), ("new", now)):
        run = run_of(made("ours", seconds), made("peer", 9.0, peer=True))
        (tmp_path / name).write_text(json.dumps(run))
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "new", "--against", tmp_path / "old"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert ("ours (iou): 5.81 times its peer, was 9.00" in done.stderr) == bool(status)
    assert done.stdout.splitlines()[1].split() == ["iou", "ours", f"{now:.3g}", "s", "peer", f"{9 / now:.2f}"]
