"""Fields with known answers, and the keywords that JSOC's pipeline wrote for HARP 377."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from scipy import ndimage, stats

from solartrack import features, images
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, ImageWarning

SIDE = 0.4 * u.Mm
UNIT = {"pixel": SIDE}


def slope(ny=60, nx=80, step=3.0, middle=39.5):
    """A field that grows by `step` per column and is zero at column `middle`."""
    return np.tile(step * (np.arange(nx) - middle), (ny, 1))


def island(radius, n=201, step=2.0):
    """Negative inside a circle about the centre, positive outside, growing by `step` per pixel."""
    at = np.arange(n) - (n - 1) / 2
    return step * (np.hypot(at, at[:, None]) - radius)


def bipole(n=400, separation=40.0, width=12.0, peak=1500.0):
    """Two gaussian spots of opposite polarity, pixels."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    spots = [np.exp(-((x - s * separation / 2) ** 2 + y**2) / (2 * width**2)) for s in (1, -1)]
    return peak * (spots[0] - spots[1])


def harp(shared, segment):
    return shared / f"data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.{segment}.fits"


@pytest.fixture
def sharp(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # the card R_VALUE = nan
        yield lambda segment: harp(shared, segment)


def sky_header(n, *, cdelt=0.5, centre=0.0):
    return fits.Header(
        {
            "CTYPE1": "HPLN-TAN",
            "CTYPE2": "HPLT-TAN",
            "CUNIT1": "arcsec",
            "CUNIT2": "arcsec",
            "CDELT1": cdelt,
            "CDELT2": cdelt,
            "CRPIX1": (n + 1) / 2,
            "CRPIX2": (n + 1) / 2,
            "CRVAL1": centre,
            "CRVAL2": 0.0,
            "HGLT_OBS": 0.0,
            "DSUN_OBS": 1.496e11,
            "RSUN_REF": 6.96e8,
        }
    )


def test_uniform_field_gives_field_times_area():
    p = features.physical(np.full((50, 40), -100.0), pixel=2 * u.Mm)
    expected = 100 * 50 * 40 * 4e16 * u.Mx
    assert p.flux_unsigned.to_value("Mx") == pytest.approx(expected.value, rel=1e-14)
    assert p.flux_negative == p.flux_net == -p.flux_unsigned
    assert p.flux_positive == 0 * u.Mx
    assert p.gradient_max == p.nl_length.value * u.G / u.Mm == 0 * u.G / u.Mm
    assert np.isnan(p.nl_curvature_mean) and p.r_value == 0 and p.wlsg == 0 * u.G


def test_linear_field_has_its_gradient_at_every_pixel_and_no_edge_effect():
    p = features.physical(slope(step=3.0), **UNIT)
    for name in ("gradient_mean", "gradient_median", "gradient_max"):
        assert getattr(p, name).to_value("G / Mm") == pytest.approx(7.5, rel=1e-12)
    assert p.gradient_std.value == pytest.approx(0, abs=1e-10)
    assert np.isnan(p.gradient_skewness) and np.isnan(p.gradient_kurtosis)


@pytest.mark.parametrize("middle", [39.5, 40.0, 38.3])
def test_straight_line_has_its_length_its_weight_and_no_curvature(middle):
    p = features.physical(slope(middle=middle), **UNIT, strong_gradient=7 * u.G / u.Mm)
    # From the first contour point to the last: one pixel side less than the patch.
    assert p.nl_length.to_value("Mm") == pytest.approx(59 * 0.4, rel=1e-9)
    inner = p.nl_strong_length.to_value("Mm")  # where the gradient is known
    assert 57 * 0.4 <= inner <= 59 * 0.4
    assert p.nl_gradient_weighted_length.to_value("G") == pytest.approx(7.5 * inner, rel=1e-9)
    assert p.nl_curvature_max.value < 1e-9 and p.nl_bending_energy.value < 1e-9


def test_line_is_where_the_field_is_zero_not_half_a_pixel_beside_it():
    lines = features.magnetogram_lines(slope(middle=38.3), **UNIT)
    assert lines.ends_mm[:, :, 0] == pytest.approx((38.3 - 39.5) * 0.4)
    assert lines.length_mm.sum() == pytest.approx(59 * 0.4) and lines.pixel_mm == (0.4, 0.4)


@pytest.mark.parametrize("radius", [25.0, 50.0, 80.0])
def test_circle_has_its_length_curvature_and_bending_energy(radius):
    p = features.physical(island(radius), **UNIT)
    r = radius * 0.4
    assert p.nl_length.to_value("Mm") == pytest.approx(2 * np.pi * r, rel=0.01)
    assert p.nl_curvature_mean.to_value("1 / Mm") == pytest.approx(1 / r, rel=0.01)
    assert p.nl_curvature_median.to_value("1 / Mm") == pytest.approx(1 / r, rel=0.02)
    assert p.nl_curvature_max.to_value("1 / Mm") == pytest.approx(1 / r, rel=0.1)
    assert p.nl_bending_energy.to_value("1 / Mm") == pytest.approx(2 * np.pi / r, rel=0.01)
    assert p.nl_gradient_weighted_length.to_value("G") == pytest.approx(5.0 * 2 * np.pi * r, rel=0.02)


def test_oblong_pixels_are_measured_in_each_direction():
    field = np.add.outer(2.0 * np.arange(50), 3.0 * np.arange(50)) - 120
    p = features.physical(field, pixel=(0.5, 0.25) * u.Mm)
    assert p.gradient_mean.to_value("G / Mm") == pytest.approx(10.0, rel=1e-12)
    assert p.flux_net.to_value("Mx") == pytest.approx(field.sum() * 0.125e16)


def test_gradient_moments_are_those_of_scipy():
    field = np.random.default_rng(1).normal(0, 100, (40, 50))
    p = features.physical(field, pixel=1 * u.Mm)
    m = np.hypot(ndimage.sobel(field, 0), ndimage.sobel(field, 1))[1:-1, 1:-1].ravel() / 8
    got = [
        getattr(p, f"gradient_{k}").value for k in ("mean", "std", "median", "max", "skewness", "kurtosis")
    ]
    assert got == pytest.approx(
        [m.mean(), m.std(), np.median(m), m.max(), stats.skew(m), stats.kurtosis(m)], rel=1e-10
    )


def test_haar_energy_is_that_of_pywavelets_at_every_level():
    import pywt

    field = np.random.default_rng(2).normal(0, 100, (100, 77))
    p = features.physical(field, **UNIT)
    rest = field
    for level in range(1, 6):
        rest, details = pywt.dwt2(rest, "haar", mode="symmetric")
        energy = sum((band**2).sum() for band in details)
        assert getattr(p, f"haar_energy_l{level}").to_value("G2") == pytest.approx(energy, rel=1e-10)


def test_haar_energies_and_the_approximation_add_up_to_the_field():
    field = np.random.default_rng(3).normal(0, 100, (64, 96))
    p = features.physical(field, **UNIT)
    blocks = field.reshape(2, 32, 3, 32).sum((1, 3)) / 32
    total = sum(getattr(p, f"haar_energy_l{k}").value for k in range(1, 6)) + (blocks**2).sum()
    assert total == pytest.approx((field**2).sum(), rel=1e-12)


def test_nan_pixels_are_left_out_and_counted():
    field = island(50.0)
    holes = field.copy()
    holes[:12] = holes[90:110, :8] = np.nan  # away from the circle
    whole, p = features.physical(field, **UNIT), features.physical(holes, **UNIT)
    assert p.nan_pixels == np.isnan(holes).sum() and whole.nan_pixels == 0
    for name in ("nl_length", "nl_curvature_mean", "nl_bending_energy", "nl_gradient_weighted_length"):
        assert getattr(p, name).value == pytest.approx(getattr(whole, name).value, rel=1e-12)
    assert p.flux_positive.value == pytest.approx(holes[holes > 0].sum() * 0.16e16)
    assert p.gradient_max <= whole.gradient_max * (1 + 1e-12)


def test_edge_of_the_data_is_no_neutral_line():
    field = np.full((80, 80), 300.0)
    field[:, 40:] = np.nan
    field[:20] = 0.0  # as archives fill what they do not have
    p = features.physical(field, **UNIT)
    assert p.nl_length.value == 0 and p.wlsg.value == 0
    field[50:, :20] = -300.0
    assert features.physical(field, **UNIT).nl_length.value > 0


def test_small_patches_have_the_features_that_exist():
    p = features.physical([[5.0]], **UNIT)
    assert p.flux_net.to_value("Mx") == pytest.approx(5 * 0.16e16)
    assert np.isnan(p.gradient_mean) and p.nl_length.value == 0
    assert features.physical(np.ones((1, 30)), **UNIT).haar_energy_l1.value == 0


def test_result_is_named_with_units_and_makes_a_row():
    p = features.physical(island(50.0), **UNIT)
    assert p.names == tuple(features.PHYSICAL_UNITS) == tuple(p.as_dict())
    assert all(p.as_dict()[n].unit == unit for n, unit in features.PHYSICAL_UNITS.items())
    row = p.as_row()
    assert len(row) == len(p.names) and all(type(v) is float for v in row.values())
    assert {
        "flux_net_Mx", "gradient_mean_G_per_Mm", "nl_length_Mm", "nl_bending_energy_per_Mm", "wlsg_G",
        "haar_energy_l1_G2", "gradient_skewness", "r_value_log10_Mx",
    } <= set(row)  # fmt: skip
    assert row["nl_length_Mm"] == p.nl_length.value


# -- scale, mu, and where they come from -------------------------------------------


def test_units_of_field_and_pixel_are_converted():
    plain = features.physical(island(50.0), **UNIT)
    for same in (
        features.physical(island(50.0) * 1e-4 * u.T, pixel=400 * u.km),
        features.physical(island(50.0) * u.Mx / u.cm**2, pixel=SIDE / u.pix),
    ):
        assert same.flux_unsigned.to_value("Mx") == pytest.approx(plain.flux_unsigned.value, rel=1e-12)
        assert same.nl_length.to_value("Mm") == pytest.approx(plain.nl_length.value, rel=1e-9)


def test_angle_of_a_pixel_is_a_length_at_one_astronomical_unit():
    p = features.physical(np.ones((3, 3)), pixel=2 * u.arcsec)
    side = (2 * u.arcsec).to_value(u.rad) * u.au.to(u.cm)
    assert p.flux_net.to_value("Mx") == pytest.approx(9 * side**2, rel=1e-9)


def test_wcs_header_and_file_agree(tmp_path):
    header, field = sky_header(60), island(20.0, 60)
    path = tmp_path / "patch.fits"
    fits.writeto(path, field, header)
    expected = features.physical(path).as_row()
    for world in (header, WCS(header)):
        same = features.physical(field, wcs=world).as_row()
        assert same == pytest.approx(expected, rel=1e-9, nan_ok=True)
    side = 0.5 / 3600 * np.pi / 180 * 1.496e11 * 1e-6
    assert expected["flux_net_Mx"] == pytest.approx(field.sum() * side**2 * 1e16, rel=1e-4)


def test_sunpy_map_is_taken_with_its_units_and_mask():
    sunpy_map = pytest.importorskip("sunpy.map")
    header, field = sky_header(60), island(20.0, 60)
    header["BUNIT"], header["DATE-OBS"], header["HGLN_OBS"] = "T", "2014-01-01T00:00:00", 0.0
    mask = np.zeros(field.shape, dtype=bool)
    mask[:4] = True
    made = sunpy_map.Map(field * 1e-4, header)
    masked = sunpy_map.Map(made.data, made.meta, mask=mask)
    plain = features.physical(field, wcs=sky_header(60)).as_row()
    assert features.physical(made).as_row() == pytest.approx(plain, rel=1e-6, abs=1e-9, nan_ok=True)
    p = features.physical(masked)
    assert p.nan_pixels == mask.sum()
    assert features.complexity(made).gradient_max == pytest.approx(features.complexity(field).gradient_max)
    assert features.r_value(made) == features.r_value(field, wcs=sky_header(60))


def test_foreshortening_gives_the_area_of_the_sphere():
    """A uniform radial field over a whole disk: half the sphere's area times the field."""
    n = 400
    header = sky_header(n, cdelt=2000.0 / n)
    geometry = ImageGeometry.from_header(header)
    y, x = np.mgrid[:n, :n] + 0.5
    radius = np.hypot(x - n / 2, y - n / 2) / geometry.disk_radius
    mu = np.sqrt(np.where(radius < 1, 1 - radius**2, np.nan))
    field = 10.0 * mu
    p = features.physical(field, wcs=header, foreshortening=True, radial=True)
    # Closer to the limb than mu = 0.1 nothing counts; the limb itself is seen a little short of 90 degrees.
    expected = 10.0 * 2 * np.pi * (6.96e10) ** 2 * 0.9
    assert p.flux_net.to_value("Mx") == pytest.approx(expected, rel=0.01)
    given = features.physical(field, wcs=header, mu=mu, foreshortening=True, radial=True)
    assert given.flux_net.to_value("Mx") == pytest.approx(p.flux_net.value, rel=0.01)
    plain = features.physical(field, wcs=header, foreshortening=False)
    assert plain.flux_net.to_value("Mx") == pytest.approx(10 * np.pi * 6.96e10**2 * 2 / 3, rel=0.01)


def test_equal_area_pixels_are_not_foreshortened_twice(sharp):
    path = sharp("Br")
    assert features.physical(path, foreshortening=True).flux_net == features.physical(path).flux_net


def test_mu_of_an_equal_area_map_is_that_of_sunpy(sharp):
    pytest.importorskip("sunpy")
    from astropy.coordinates import SkyCoord
    from sunpy.coordinates import HeliographicStonyhurst

    from solartrack.features._scale import mu_of

    header, _ = images.read_header(sharp("Br"))
    mu = mu_of(None, header, (377, 744))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        lon, lat = WCS(header).wcs_pix2world([10, 700], [20, 350], 0)
    frame = HeliographicStonyhurst(obstime="2011-02-15T02:00:00")
    rsun = header["RSUN_REF"] * u.m
    lon = lon - header["CRLN_OBS"]
    points = SkyCoord(lon * u.deg, lat * u.deg, rsun, frame=frame).cartesian.xyz.to_value(u.m)
    observer = SkyCoord(0 * u.deg, header["CRLT_OBS"] * u.deg, header["DSUN_OBS"] * u.m, frame=frame)
    towards = observer.cartesian.xyz.to_value(u.m)[:, None] - points
    cosine = (points * towards).sum(0) / np.linalg.norm(points, axis=0) / np.linalg.norm(towards, axis=0)
    assert mu[[20, 350], [10, 700]] == pytest.approx(cosine, rel=1e-9)


def cea_header(n, **observer):
    kinds = {"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg"}
    place = {"CDELT1": 0.5, "CDELT2": 0.5, "CRPIX1": (n + 1) / 2, "CRPIX2": (n + 1) / 2, "CRVAL1": 10.0}
    return fits.Header(kinds | place | {"CRVAL2": 0.0, "CRLN_OBS": 10.0} | observer)


def test_an_observer_on_the_equator_is_not_a_missing_one():
    field = np.full((41, 41), 100.0)
    with pytest.raises(GeometryError, match="CRLT_OBS"):
        features.physical(field, wcs=cea_header(41), radial=True)
    level = features.physical(field, wcs=cea_header(41, CRLT_OBS=0.0), radial=True)
    nearly = features.physical(field, wcs=cea_header(41, CRLT_OBS=1e-9), radial=True)
    assert level.flux_net.value == pytest.approx(nearly.flux_net.value, rel=1e-9)
    misled = features.physical(field, wcs=cea_header(41, CRLT_OBS=0.0, HGLT_OBS=7.0), radial=True)
    assert misled.flux_net == level.flux_net


def test_an_equal_area_map_that_is_not_heliographic_has_no_mu():
    header = cea_header(41, CRLT_OBS=0.0, HGLN_OBS=0.0)
    header["CTYPE1"], header["CTYPE2"] = "GLON-CEA", "GLAT-CEA"
    with pytest.raises(GeometryError, match=r"GLON-CEA.*give mu="):
        features.physical(np.full((41, 41), 100.0), wcs=header, radial=True)


# -- the community's predictors ----------------------------------------------------


def test_usflux_and_meangbz_are_those_of_the_jsoc_pipeline(sharp):
    segments = [sharp(s) for s in ("Br", "bitmap", "conf_disambig")]
    header, _ = images.read_header(segments[0])
    mask = (images.read(segments[1]).array >= 30) & (images.read(segments[2]).array >= 70)
    assert mask.sum() == header["CMASK"] == 45703
    assert features.usflux(*segments).to_value("Mx") == pytest.approx(header["USFLUX"], rel=1e-6)
    gradient = features.meangbz(*segments)
    assert gradient.unit == u.G / u.pix
    assert gradient.value == pytest.approx(header["MEANGBZ"], rel=1e-4)


def test_usflux_and_meangbz_count_the_masked_pixels_only():
    br = slope()
    bitmap, confidence = np.full(br.shape, 34), np.full(br.shape, 90)
    bitmap[:, :40] = 2
    confidence[:, 60:] = 60
    flux = features.usflux(br, bitmap, confidence, **UNIT)
    assert flux.to_value("Mx") == pytest.approx(np.abs(br[:, 40:60]).sum() * 0.16e16)
    assert features.meangbz(br, bitmap, confidence).to_value("G / pix") == pytest.approx(3.0)
    assert features.meangbz(br, bitmap, confidence, **UNIT).to_value("G / Mm") == pytest.approx(7.5)
    br[30, 50] = np.nan
    bitmap[30, 50] = 34
    assert np.isfinite(features.usflux(br, bitmap, confidence, **UNIT).value)
    assert features.meangbz(br, bitmap, confidence).to_value("G / pix") == pytest.approx(3.0)
    assert np.isnan(features.meangbz(br, 0 * bitmap, confidence))


def schrijver(field, threshold=150.0):
    """R on pixels of 1.45 Mm, as published, in gauss times pixels."""
    strong = [ndimage.binary_dilation(s * field > threshold, np.ones((3, 3))) for s in (1, -1)]
    line = (strong[0] & strong[1]).astype(float)
    sigma = 15 / 1.45 / np.sqrt(8 * np.log(2))
    weight = ndimage.gaussian_filter(line, sigma, mode="constant", truncate=8)
    return np.log10((weight * np.abs(field)).sum())


def test_r_value_on_its_own_pixels_is_the_published_recipe():
    field = bipole(80, separation=10, width=4)
    got = features.r_value(field, pixel=1.45 * u.Mm)
    assert got == pytest.approx(schrijver(field) + np.log10(1.45e8**2), abs=1e-3)
    assert 20 < got < 23


def test_r_value_depends_on_the_pixel_scale_only_by_where_the_grid_falls():
    fine = bipole(400, separation=40, width=12)  # of 0.3625 Mm: 4 in one
    reference = features.r_value(fine, pixel=0.3625 * u.Mm)
    for n in (300, 260, 133):
        side = 400 / n
        coarse = bipole(n, separation=40 / side, width=12 / side)
        assert features.r_value(coarse, pixel=0.3625 * side * u.Mm) == pytest.approx(reference, abs=0.15)


@pytest.mark.parametrize("width", [0.5, 1.0, 15.0, 1e9])
def test_r_value_weighs_a_pixel_at_most_once_whatever_the_width(width):
    """The largest is what metres taken for megametres give; the time must not grow with it."""
    n = 200
    field = np.where(np.arange(n) < n // 2, -1000.0, 1000.0) * np.ones((n, 1))
    area_cm2 = (1.45e8) ** 2
    sigma = width / np.sqrt(8 * np.log(2)) / 1.45
    offset = np.arange(n) - np.arange(n)[:, None]
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    samples = np.exp(-0.5 * (np.arange(-9999, 10000) / sigma) ** 2).sum()
    kernel /= samples if width < 100 else sigma * np.sqrt(2 * np.pi)
    line = np.abs(np.arange(n) - (n - 1) / 2) < 1
    weight = np.outer(kernel.sum(1), kernel @ line)
    assert weight.max() <= 1 + 1e-9
    want = np.log10(1000.0 * area_cm2 * weight.sum())
    assert features.r_value(field, pixel=1.45 * u.Mm, width=width * u.Mm) == pytest.approx(want, abs=1e-9)


def test_r_value_is_zero_without_a_strong_line_and_ignores_nan():
    assert features.r_value(np.full((60, 60), 500.0), **UNIT) == 0.0
    field = bipole(160)
    holes = field.copy()
    holes[:20] = np.nan
    assert features.r_value(holes, **UNIT) == pytest.approx(features.r_value(field, **UNIT), abs=1e-3)
    assert features.r_value(field, **UNIT, threshold=5000 * u.G) == 0.0


def moved(rows, cols, *, peak, separation, width, n=60):
    """A small bipole on a weak background, in a patch that begins at a given row and column."""
    y, x = np.mgrid[:n, :n] - n / 2
    spots = [np.exp(-((x - s * separation / 2) ** 2 + y**2) / (2 * width**2)) for s in (1, -1)]
    return (peak * (spots[0] - spots[1]) + 1e-3)[rows:, cols:]


@pytest.mark.parametrize("side", [0.36, 0.4, 1.45, 2.0])
@pytest.mark.parametrize("frame", [(1, 0, 0, 0), (0, 3, 2, 0), (7, 1, 5, 11)])
def test_r_value_does_not_change_with_empty_rows_and_columns_around_the_patch(side, frame):
    spots = moved(2, 7, peak=3000.0, separation=8, width=4.0, n=40)
    top, bottom, left, right = frame
    padded = np.pad(spots, ((top, bottom), (left, right)))
    expected = features.r_value(spots, pixel=side * u.Mm)
    assert expected > 16
    assert features.r_value(padded, pixel=side * u.Mm) == pytest.approx(expected, abs=1e-9)


def test_r_value_depends_on_where_a_small_region_was_cut_out_by_no_more_than_the_docstring_says():
    for peak, separation, width in ((400, 10, 4), (1000, 10, 4), (1500, 40, 12), (800, 20, 8)):
        r = [
            features.r_value(
                moved(row, col, peak=peak, separation=separation, width=width), pixel=0.36 * u.Mm
            )
            for row in range(4)
            for col in range(4)
        ]
        assert min(r) > 16 and np.ptp(r) < 0.4


def test_r_value_sees_spots_in_a_part_of_a_coarse_pixel_at_the_edge_and_is_never_negative():
    field = np.full((13, 13), 1e-3)  # 4 pixels in one: the last row of the grid holds one of them
    field[-1, 2:6], field[-1, 6:10] = 800.0, -800.0
    assert features.r_value(field, pixel=0.3625 * u.Mm) > 16
    assert features.r_value(field, pixel=1e-12 * u.Mm) >= 0.0
    assert features.r_value(1e3 * bipole(40), pixel=1e-9 * u.Mm, threshold=1e-9 * u.G) >= 0.0


def test_wlsg_is_gradient_times_length_where_the_potential_field_is_strong():
    field = bipole(200, separation=30, width=10)
    everything = features.wlsg(field, **UNIT, transverse=1e-6 * u.G)
    p = features.physical(field, **UNIT)
    assert everything.to_value("G") == pytest.approx(p.nl_gradient_weighted_length.value, rel=1e-9)
    assert p.wlsg == features.wlsg(field, **UNIT)
    assert 0 * u.G < p.wlsg < everything
    assert features.wlsg(field, **UNIT, transverse=1e5 * u.G) == 0 * u.G


def test_real_active_region_is_in_the_published_range(sharp):
    p = features.physical(sharp("Br"))
    assert p.flux_unsigned.to_value("Mx") == pytest.approx(3.417e22, rel=1e-3)
    assert 4.5 < p.r_value - 16.32 < 5.2  # JSOC's unit; X-flaring regions are beyond 4.5
    assert p.nl_strong_length < p.nl_length


# -- bad input ---------------------------------------------------------------------

EVERY = [features.physical, features.r_value, features.wlsg]


def masked_usflux(patch, **given):
    shape = np.shape(patch)
    return features.usflux(patch, np.full(shape, 34), np.full(shape, 90), **given)


@pytest.mark.parametrize("function", [*EVERY, masked_usflux])
@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        (np.ones((3, 4, 5)), ValueError, r"must be 2-D .*\(3, 4, 5\)"),
        (np.ones((0, 4)), ValueError, "no pixels"),
        (np.ones((4, 4), complex), TypeError, "real numbers, got dtype complex"),
        (np.full((4, 4), np.nan), ValueError, "all 16 pixels of (the patch|Br) are NaN"),
        (np.where(np.eye(4), np.inf, 1.0), ValueError, "infinite values"),
        (np.ma.masked_equal(np.eye(4), 0), TypeError, "masked array"),
        (np.ones((4, 4)) * u.s, ValueError, r"magnetic field \(G, Mx / cm2, T\), got s"),
    ],
)
def test_bad_patches_are_refused(function, patch, error, message):
    with pytest.raises(error, match=message):
        function(patch, pixel=SIDE)


@pytest.mark.parametrize("function", [*EVERY, masked_usflux])
@pytest.mark.parametrize(
    ("pixel", "error", "message"),
    [
        (None, GeometryError, "nothing tells the side of a pixel.*give pixel="),
        (0.4, ValueError, "pixel must be a quantity such as 0.36 Mm"),
        (3 * u.s, ValueError, "pixel must be a quantity"),
        (-1 * u.Mm, ValueError, "positive and finite"),
        (np.nan * u.Mm, ValueError, "positive and finite"),
        ([1, 2, 3] * u.Mm, ValueError, "pixel must be a quantity"),
    ],
)
def test_bad_pixel_sides_are_refused(function, pixel, error, message):
    with pytest.raises(error, match=message):
        function(np.ones((5, 5)), pixel=pixel)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"radial": True}, GeometryError, "lacks CRPIX1"),
        (
            {"mu": np.ones(3), "radial": True},
            ValueError,
            r"mu must be one number or have .*\(5, 5\), got \(3,\)",
        ),
        ({"mu": 1.5, "radial": True}, ValueError, "mu must be a cosine"),
        ({"mu": 0.01, "radial": True}, ValueError, "mu of at least 0.1"),
        ({"strong_gradient": 50}, ValueError, "strong_gradient must be one quantity"),
        ({"strong_gradient": 50 * u.G}, ValueError, "strong_gradient must be one quantity"),
    ],
)
def test_bad_options_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        features.physical(np.ones((5, 5)), **UNIT, **given)


def test_masks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"bitmap must have the shape of Br, \(5, 5\), got \(5, 4\)"):
        features.usflux(np.ones((5, 5)), np.ones((5, 4)), np.ones((5, 5)), **UNIT)
    with pytest.raises(ValueError, match="conf_disambig must have the shape"):
        features.meangbz(np.ones((5, 5)), np.full((5, 5), 34), np.ones((4, 5)))


def test_bytes_in_any_order_and_integers_give_the_same():
    field = np.round(island(30.0, 80)).astype(np.int16)
    expected = features.physical(field.astype(float), **UNIT).as_row()
    for same in (field, field.astype(">i2"), field.astype(">f8"), np.asfortranarray(field), field.tolist()):
        assert features.physical(same, **UNIT).as_row() == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_files_that_are_no_magnetogram_are_refused(tmp_path):
    from PIL import Image

    empty, counts, odd = (tmp_path / f"{name}.fits" for name in ("empty", "counts", "odd"))
    fits.PrimaryHDU().writeto(empty)
    fits.PrimaryHDU(np.ones((5, 5)), fits.Header({"BUNIT": "DN"})).writeto(counts)
    fits.PrimaryHDU(np.ones((5, 5)), fits.Header({"BUNIT": "flurbs"})).writeto(odd)
    picture = tmp_path / "patch.png"
    Image.fromarray(np.full((5, 5), 128, np.uint8)).save(picture)
    with pytest.raises(ImageError, match="no image"):
        features.physical(empty, **UNIT)
    with pytest.raises(ValueError, match="got DN"):
        features.physical(counts, **UNIT)
    with pytest.raises(ValueError, match="BUNIT 'flurbs' is no unit"):
        features.physical(odd, **UNIT)
    with pytest.raises(ValueError, match="is a picture, whose pixels are counts"):
        features.physical(picture, **UNIT)
    with pytest.raises(FileNotFoundError):
        features.r_value(tmp_path / "none.fits", **UNIT)


@pytest.mark.parametrize("function", [features.physical, features.r_value])
def test_a_pixel_that_makes_the_patch_longer_than_the_sun_is_refused(function):
    with pytest.raises(ValueError, match=r"pixel of 3000 x 0.4 Mm .*\(60, 80\).* 2.4e\+05 Mm long"):
        function(slope(), pixel=[3000.0, 0.4] * u.Mm)
    assert features.r_value(300 * slope(), pixel=55.0 * u.Mm) > 0  # 4400 Mm


def test_sky_header_without_units_is_refused():
    for key in ("CUNIT1", "CUNIT2"):
        header = sky_header(20)
        del header[key]
        with pytest.raises(GeometryError, match=f"lacks {key}, .*give pixel="):
            features.physical(np.ones((20, 20)), wcs=header)
        assert features.physical(np.ones((20, 20)), wcs=header, pixel=SIDE).flux_net > 0 * u.Mx


def test_maps_of_other_projections_are_refused():
    header = sky_header(20)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "HPLT-CAR"
    with pytest.raises(GeometryError, match=r"helioprojective \(TAN\) or equal-area|cannot be read"):
        features.physical(np.ones((20, 20)), wcs=header)
