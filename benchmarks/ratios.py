"""One table of all benchmarks: each beside the fastest peer that did the same work in the same run.

`pytest benchmarks --benchmark-json RUN.json` writes what this reads. Peers are the benchmarks with the mark
`peer`; with `peer(how=["OpenCV"])` those with this parameter. A peer did the same work if it is in the same
group and has the same parameters, but for those by which peers are told from ours. Times are the best round
of each; only ratios may be compared between runs.

    python benchmarks/ratios.py RUN.json                     prints the table
    python benchmarks/ratios.py RUN.json --against OLD.json  fails if a ratio has fallen by a third
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

FALL = 2 / 3  # of the ratio of the older run


def rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Each benchmark of a run that is no peer, in seconds, with the fastest peer or None."""
    groups = defaultdict(list)
    for one in run["benchmarks"]:
        groups[one["group"] or one["fullname"].partition("[")[0]].append(one)
    found = []
    for group, members in groups.items():
        peers = [one for one in members if "peer" in one["extra_info"]]
        ours = [one for one in members if "peer" not in one["extra_info"]]
        values = {
            who: {(k, str(v)) for one in them for k, v in (one["params"] or {}).items()}
            for who, them in (("peers", peers), ("ours", ours))
        }
        shared = {name for name, _ in values["peers"] & values["ours"]}
        for one in ours:
            same = [peer for peer in peers if _case(peer, shared) == _case(one, shared)]
            best = min(same, key=lambda peer: peer["stats"]["min"], default=None)
            found.append(
                {
                    "group": group,
                    "name": one["name"],
                    "seconds": one["stats"]["min"],
                    "peer": best and best["name"],
                    "ratio": best and best["stats"]["min"] / one["stats"]["min"],
                }
            )
    return found


def _case(benchmark: dict[str, Any], names: set[str]) -> dict[str, str]:
    return {k: str(v) for k, v in (benchmark["params"] or {}).items() if k in names}


def fallen(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[str]:
    """A line for each benchmark whose ratio to its peer is below two thirds of what it was."""
    before = {(row["group"], row["name"]): row["ratio"] for row in old if row["ratio"]}
    lines = []
    for row in new:
        was = before.get((row["group"], row["name"]))
        if was and row["ratio"] and row["ratio"] < FALL * was:
            lines.append(f"{row['name']} ({row['group']}): {row['ratio']:.2f} times its peer, was {was:.2f}")
    return lines


def table(found: list[dict[str, Any]]) -> str:
    """The rows as text in columns."""
    lines = [("group", "benchmark", "best", "fastest peer", "ratio")]
    for row in found:
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
        lines.append((row["group"], row["name"], _time(row["seconds"]), row["peer"] or "-", ratio))
    widths = [max(len(line[k] or "") for line in lines) for k in range(5)]
    return "\n".join(
        "  ".join((cell or "").ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _time(seconds: float) -> str:
    units = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
    unit = next((unit for unit, size in units.items() if seconds >= size), "us")
    return f"{seconds / units[unit]:.3g} {unit}"


def main() -> int:
    """Print the table; 1 if a ratio has fallen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="JSON file of pytest-benchmark")
    parser.add_argument("--against", type=Path, help="an older one")
    args = parser.parse_args()
    found = rows(json.loads(args.run.read_text()))
    print(table(found))
    if args.against is None:
        return 0
    lines = fallen(found, rows(json.loads(args.against.read_text())))
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
