"""All headers that sunpy ships with its tests, each placed as sunpy.map places it or refused by name."""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import sunpy
import sunpy.map
from astropy.io import fits

from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError

HEADERS = sorted((Path(sunpy.__file__).parent / "data/test").rglob("*.header"))
REFUSED = {
    # Heliographic maps.
    "adapt": "helioprojective",
    "gong_synoptic": "got 'CRLN-CEA', 'CRLT-CEA'; reproject it first",
    "hmi_cea_sharp_magnetogram": "got 'CRLN-CEA', 'CRLT-CEA'; reproject it first",
    "hmi_synoptic": "got 'CRLN-CEA', 'CRLT-CEA'; reproject it first",
    "mdi_synoptic": "got 'CRLN-CEA', 'CRLT-CEA'; reproject it first",
    # Wide fields, which no gnomonic image can hold.
    "hi_20110910_114721_s7h2A": "got 'HPLN-AZP', 'HPLT-AZP'; reproject it first",
    "punch": "got 'HPLN-ARC', 'HPLT-ARC'; reproject it first",
    # Not known to sunpy.
    "medn_halph_fl_20050501_074655": "lacks CRPIX1.*sunpy cannot place.*give the disk",
    "mq130812.084253": "lacks CRPIX1.*sunpy cannot place.*give the disk",
    "na120701.091058": "lacks CRVAL1.*sunpy cannot place.*give the disk",
    "svsm_e3100_S2_20110625_1856": "got 'SOLX', 'SOLY'.*sunpy cannot place.*give the disk",
}
# Degrees. sunpy takes two of these observers from the place of the telescope, not from the header's
# heliographic cards; and MDI's CRLN_OBS, which is for T_OBS, at DATE-OBS, three minutes before.
LESS_CLOSE = {"KCorMap": 0.05, "SUVIMap": 0.02, "MDIMap": 0.03}
PLACED = [path for path in HEADERS if path.stem not in REFUSED]


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.Header.fromtextfile(path)


def sunpy_map(header):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = header["NAXIS2"], header["NAXIS1"]
        return sunpy.map.Map(np.broadcast_to(np.float32(0), shape), header)


def test_at_least_43_headers_are_placed():
    assert len(PLACED) >= 43


@pytest.mark.parametrize("path", PLACED, ids=lambda path: path.stem)
def test_a_header_is_placed_where_sunpy_places_it(path):
    header = read(path)
    there, geometry = sunpy_map(header), ImageGeometry.from_header(header)
    ny, nx = there.data.shape
    x, y = np.meshgrid(np.linspace(0.5, nx - 0.5, 7), np.linspace(0.5, ny - 0.5, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sky = there.pixel_to_world((x - 0.5) * u.pix, (y - 0.5) * u.pix)
        seen = there.observer_coordinate
    tx, ty = geometry.pixel_to_helioprojective(x, y)
    np.testing.assert_allclose(tx, sky.Tx.to_value("arcsec"), atol=0.05, rtol=0)
    np.testing.assert_allclose(ty, sky.Ty.to_value("arcsec"), atol=0.05, rtol=0)
    # 0.003 degree is 0.05 arcsec at the centre of the disk.
    close = LESS_CLOSE.get(type(there).__name__, 0.003)
    assert geometry.b0_deg == pytest.approx(seen.lat.to_value("deg"), abs=close)
    assert geometry.l0_deg == pytest.approx(seen.lon.to_value("deg"), abs=close)
    assert geometry.rsun_arcsec == pytest.approx(
        np.degrees(np.arcsin((there.rsun_meters / there.dsun).to_value(""))) * 3600,
        abs=0.2 if "SUVI" in type(there).__name__ else 0.05,
    )


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_what_sunpy_cannot_place_is_refused_with_the_cure(name, message):
    (path,) = (path for path in HEADERS if path.stem == name)
    with pytest.raises(GeometryError, match=message):
        ImageGeometry.from_header(read(path))
