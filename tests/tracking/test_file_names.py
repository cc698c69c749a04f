import os

import numpy as np
from astropy.io import fits

from solartrack import tracking
from solartrack.coordinates import ImageGeometry


def test_a_file_name_that_is_not_utf8_costs_no_row(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"images")
    os.mkdir(folder)
    for hour, name in enumerate((b"a.fits", b"b_\xe9.fits", b"c_\xe9.fits")):
        path = os.fsdecode(os.path.join(folder, name))
        header = fits.Header({"DATE-OBS": f"2014-02-03T0{hour}:00:00"})
        if name.startswith(b"c"):
            with open(path, "wb") as file:
                file.write(b"broken")
        else:
            fits.writeto(path, np.zeros((256, 256), np.float32), header)
    track = tracking.track(
        os.fsdecode(folder), [140, 140, 170, 170], tracker="rotation",
        geometry=ImageGeometry.from_disk((128, 128), 100),
    )  # fmt: skip
    tracking.write_track(track, tmp_path / "track.csv")
    found = tracking.read_track(tmp_path / "track.csv")
    by_name = {os.path.basename(row.file): row for row in found.itertuples()}
    assert set(by_name) == {"a.fits", r"b_\xe9.fits", r"c_\xe9.fits"}
    assert by_name[r"b_\xe9.fits"].state == "tracked"
    assert r"c_\xe9.fits" in by_name[r"c_\xe9.fits"].message
