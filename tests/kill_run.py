"""A run over an archive that takes its time where files are written: kill_run.py JOB INPUT OUTPUT PLACE."""

import os
import sys
import time

from solartrack.archive import features, forecasts, tracks

features._PART, features._TASK = 3, 2
_fsync = os.fsync


def _slow_fsync(handle):
    time.sleep(0.03)
    _fsync(handle)


if __name__ == "__main__":
    job, source, output, place = sys.argv[1:]
    os.fsync = _slow_fsync
    where = {"workers": int(place)} if place.isdigit() else {"scheduler": place}
    if job == "tracks":
        tracks.track_archive(
            f"{source}/catalogue.csv", f"{source}/store", output, tracker="rotation", **where
        )
    elif job == "forecasts":
        forecasts.forecast_archive(f"{source}/patches", f"{source}/model.skops", output, **where)
    else:
        features.extract(f"{source}/patches", output, **where)
