"""26 000 events of the HEK, parsed and cleaned; the largest boxes inside outlines.

The rows are those of the recorded day (50 active regions, 39 coronal holes of SPoCA, all 132 or 170 keys),
293 times, each time two days later and with ids of their own, in pages of 500 as the service sends them.
"""

import json
from datetime import datetime, timedelta

import pytest

from solartrack.sources import hek

RADIUS = 973.4
TURNS = 293  # 26 077 rows
PAGE = 500


@pytest.fixture(scope="module")
def pages(shared):
    """The bodies of the answers, 215 MB."""
    body = (shared / "data" / "hek" / "hek_spoca_AR_CH_20130201.json").read_bytes()
    recorded = json.loads(body.decode("latin-1"))["result"]
    rows = []
    for turn in range(TURNS):
        for row in recorded:
            moved = {
                key: (datetime.fromisoformat(row[key]) + timedelta(days=2 * turn)).isoformat()
                for key in ("event_starttime", "event_endtime")
            }
            named = {key: f"{row[key]}_{turn}" for key in ("kb_archivid", "frm_specificid")}
            rows.append({**row, **moved, **named})
    return [
        ("\n       " + json.dumps({"result": rows[at : at + PAGE], "overmax": True})).encode("latin-1")
        for at in range(0, len(rows), PAGE)
    ]


@pytest.mark.benchmark(group="hek-26000")
def bench_parse_and_clean(benchmark, pages):
    def work():
        events = hek.read(pages)
        return events, hek.tracks(events, radius=RADIUS)

    events, result = benchmark.pedantic(work, rounds=1)
    assert len(events) == 89 * TURNS and events["event"].is_unique
    assert (len(result.catalogue), len(result.boxes)) == (7 * TURNS, 43 * TURNS)


@pytest.mark.benchmark(group="hek-26000")
def bench_clean_with_the_radius_of_the_time(benchmark, pages):
    events = hek.read(pages)
    result = benchmark.pedantic(hek.tracks, (events,), rounds=1)
    assert len(result.boxes) + len(result.excluded) == len(events)


@pytest.mark.benchmark(group="hek-outlines")
def bench_largest_boxes_inside_outlines(benchmark, shared):
    events = hek.read(shared / "data" / "hek" / "hek_spoca_AR_CH_20130201.json")
    result = benchmark.pedantic(hek.outline_boxes, (events,), rounds=1)
    assert (result["trouble"] == "").all()
