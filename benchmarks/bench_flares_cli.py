"""A forecast from one summary on the command line, the start of Python included."""

import json
import subprocess
import sys

import pytest

SUMMARY = """\
:Product: 0107SRS.txt
:Issued: 2014 Jan 07 0030 UTC
I.  Regions with Sunspots.  Locations Valid at 06/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
1944 S09W06   109  1510 Fkc   33   66 Beta-Gamma-Delta
1945 N09E34   137  0010 Axx   01   01 Alpha
IA. H-alpha Plages without Spots.  Locations Valid at 06/2400Z Jan
Nmbr  Location  Lo
None
II. Regions Due to Return 07 Jan to 09 Jan
Nmbr Lat    Lo
None
"""
COMMAND = "import sys; from solartrack.cli import main; sys.exit(main(sys.argv[1:]))"


def output(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.benchmark(group="flare-forecast")
def bench_forecast_from_one_summary_with_start_up(benchmark, tmp_path):
    file = tmp_path / "20140107SRS.txt"
    file.write_text(SUMMARY)
    command = ("-c", COMMAND, "flares", "forecast", str(file), "--json")
    told = json.loads(benchmark.pedantic(output, command, rounds=5, warmup_rounds=1))
    assert [row["region"] for row in told["regions"]] == [11944, 11945]


@pytest.mark.peer
@pytest.mark.benchmark(group="flare-forecast")
def bench_python_that_imports_pandas_alone(benchmark):
    command = ("-c", "import pandas, pyarrow; print(pandas.__version__)")
    assert benchmark.pedantic(output, command, rounds=5, warmup_rounds=1)
