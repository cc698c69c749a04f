"""The SHARP and SMARP keywords: JSOC's own values, the plain definition, symmetries, and bad input."""

import math
import subprocess
import sys
import threading
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import sharp as reference
from solartrack import features
from solartrack.errors import GeometryError, ImageError, ImageWarning
from solartrack.features import SHARP_ERRORS, SHARP_UNITS
from solartrack.features._potential import fourier_field, jsoc_field

HARP377 = "data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI"
SEGMENTS = ("Br", "Bt", "Bp", "bitmap", "conf_disambig", "magnetogram", "Br_err", "Bt_err", "Bp_err")
VECTOR = tuple(name for name in SHARP_UNITS if name not in ("R_VALUE", "USFLUXL", "MEANGBL", "CMASKL"))
SIDE = 0.36 * u.Mm
SIDE_M, SIDE_ARCSEC = 0.36e6, 0.36e6 / 1.495978707e11 / math.radians(1 / 3600)
# Keywords that change sign with the handedness of the axes.
ODD = ("MEANJZD", "MEANALP", "MEANJZH")


def monopoles(shape, depth, charges):
    """Field to the west, north and up of charges ``(charge, row, column)`` below the plane."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    field = np.zeros((3, *shape))
    for charge, row, col in charges:
        r3 = ((x - col) ** 2 + (y - row) ** 2 + depth**2) ** 1.5
        field += charge * np.array([x - col, y - row, np.full(shape, depth)]) / r3
    return field


def region(shape=(40, 52), seed=0):
    """A sheared bipole with noise: the segments of a patch by name."""
    rng = np.random.default_rng(seed)
    rows, cols = shape
    x, y, z = monopoles(shape, 6.0, [(9e4, rows / 2 - 3, cols / 2 - 8), (-9e4, rows / 2 + 3, cols / 2 + 8)])
    x, y = x + 0.4 * y + rng.normal(0, 30, shape), y - 0.3 * x + rng.normal(0, 30, shape)
    errors = rng.uniform(5, 60, (3, *shape))
    planes = {"Br": z + rng.normal(0, 10, shape), "Bt": -y, "Bp": x}
    planes |= dict(zip(("Br_err", "Bt_err", "Bp_err"), errors, strict=True))
    strong = np.abs(z) > np.quantile(np.abs(z), 0.4)
    planes["bitmap"] = np.where(strong, 34.0, 1.0)
    planes["conf_disambig"] = np.where(rng.random(shape) < 0.9, 90.0, 60.0)
    planes["magnetogram"] = 0.9 * planes["Br"]
    return planes


def keywords(planes, **more):
    options = {"pixel": SIDE} | more
    return features.sharp_keywords(**{name.lower(): plane for name, plane in planes.items()}, **options)


def defined(planes, **more):
    """Keywords and errors by the plain definition."""
    mask = (planes["bitmap"] >= 30) & (planes["conf_disambig"] >= 70)
    fields = [planes[name] for name in ("Br", "Bt", "Bp")]
    errors = [planes[f"{name}_err"] for name in ("Br", "Bt", "Bp")]
    return reference.keywords(fields, errors, mask, SIDE_M, SIDE_ARCSEC, **more)


def cea_header(shape, **cards):
    return fits.Header(
        {"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 0.03,
         "CDELT2": 0.03, "CRPIX1": shape[1] / 2, "CRPIX2": shape[0] / 2, "CRVAL1": 30.0, "CRVAL2": -20.0,
         "DSUN_OBS": 1.477e11, "RSUN_OBS": 971.67, "RSUN_REF": 6.96e8, "T_REC": "2011.02.15_02:00:00_TAI",
         "HARPNUM": 377, "CRLN_OBS": 21.7, "CRLT_OBS": -6.8, "INSTRUME": "HMI_SIDE1"} | cards
    )  # fmt: skip


def write(folder, planes, start="hmi.sharp_cea_720s.377.20110215_020000_TAI", **cards):
    """Write the segments of a patch; a card whose value is None is left out."""
    folder.mkdir(exist_ok=True)
    header = cea_header(next(iter(planes.values())).shape)
    for key, value in cards.items():
        if value is None:
            header.remove(key)
        else:
            header[key] = value
    for name, plane in planes.items():
        fits.PrimaryHDU(plane, header).writeto(folder / f"{start}.{name}.fits")
    return folder / start


@pytest.fixture(scope="module")
def harp377(shared):
    return features.sharp_keywords(shared / HARP377)


@pytest.fixture(scope="module")
def header377(shared):
    with fits.open(shared / f"{HARP377}.Br.fits") as hdus:
        return hdus[1].header.copy()


# -- JSOC's own values ---------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in VECTOR if name not in ("USFLUX", "CMASK")])
def test_keywords_of_harp_377_are_those_in_its_header(harp377, header377, name):
    assert harp377.values[name] == pytest.approx(header377[name], rel=1e-4)


def test_flux_and_mask_of_harp_377_are_those_in_its_header(harp377, header377):
    assert harp377.values["USFLUX"] == pytest.approx(header377["USFLUX"], rel=1e-5)
    assert harp377.values["CMASK"] == header377["CMASK"] == 45703


# The header has three digits after the point of some, and 0 for the error of MEANSHR.
@pytest.mark.parametrize("name", [name for name in SHARP_ERRORS if name != "MEANSHR"])
def test_errors_of_harp_377_are_those_in_its_header(harp377, header377, name):
    said = header377[SHARP_ERRORS[name]]
    rounding = 0.0005 if name in ("MEANGAM", "MEANGBT", "MEANGBZ", "MEANGBH") else 0.0
    assert harp377.errors[name] == pytest.approx(said, rel=1e-4, abs=rounding)


def test_line_of_sight_keywords_of_harp_377_are_the_published_ones(harp377, shared):
    assert harp377.values["R_VALUE"] == pytest.approx(4.607, abs=0.01)
    assert harp377.values["CMASKL"] == 123890
    assert harp377.values["MEANGBL"] == pytest.approx(35.97, abs=0.01)
    assert harp377.values["USFLUXL"] == pytest.approx(2.29602e22, rel=1e-5)
    alone = features.smarp_keywords(shared / HARP377)
    assert alone.values == {
        name: harp377.values[name] for name in ("R_VALUE", "USFLUXL", "MEANGBL", "CMASKL")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # the card R_VALUE = nan
        r = features.r_value(shared / f"{HARP377}.magnetogram.fits", convention="jsoc")
    assert r == pytest.approx(harp377.values["R_VALUE"], rel=1e-12)


def test_harp_377_with_errors_equals_the_plain_definition(harp377, shared):
    planes = {}
    for name in SEGMENTS:
        with fits.open(shared / f"{HARP377}.{name}.fits") as hdus:
            planes[name] = np.array(hdus[-1].data, float)
    mask = (planes["bitmap"] >= 30) & (planes["conf_disambig"] >= 70)
    side = harp377.pixel.to_value(u.m / u.pix)
    fields, errors = ([planes[f"{name}{end}"] for name in ("Br", "Bt", "Bp")] for end in ("", "_err"))
    values, sigmas = reference.keywords(fields, errors, mask, side, 0.5087642834025162)
    for name in values:
        assert harp377.values[name] == pytest.approx(values[name], rel=1e-9), name
    for name in SHARP_ERRORS:
        assert harp377.errors[name] == pytest.approx(sigmas[name], rel=1e-6), name


# -- the plain definition --------------------------------------------------------------


@settings(max_examples=30)
@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 30),
    cols=st.integers(1, 30),
    missing=st.sampled_from([0.0, 0.0, 0.05, 0.5]),
)
def test_keywords_and_errors_equal_the_plain_definition(seed, rows, cols, missing):
    planes = region((rows, cols), seed)
    rng = np.random.default_rng(seed)
    for name in ("Br", "Bt", "Bp"):
        planes[name][rng.random((rows, cols)) < missing] = np.nan
        if np.isnan(planes[name]).all():
            planes[name][0, 0] = 1.0
    got = keywords(planes)
    values, errors = defined(planes)
    for name in values:
        assert got.values[name] == pytest.approx(values[name], rel=1e-8, abs=1e-12, nan_ok=True), name
        assert (name in got.reasons) == np.isnan(got.values[name])
    for name in SHARP_ERRORS:
        # The definition differentiates the angle numerically.
        rel = 1e-4 if name == "MEANSHR" else 1e-8
        assert got.errors[name] == pytest.approx(errors[name], rel=rel, abs=1e-12, nan_ok=True), name


def test_line_of_sight_keywords_equal_the_plain_definition():
    rng = np.random.default_rng(4)
    b = np.add.outer(np.linspace(-900, 900, 61), np.linspace(-300, 200, 83)) + rng.normal(0, 40, (61, 83))
    bitmap = np.where(np.abs(b) > 200, 33, 2)
    got = features.smarp_keywords(b, bitmap, pixel=SIDE)
    for name, value in reference.line_of_sight(b, bitmap >= 30, SIDE_M).items():
        assert got.values[name] == pytest.approx(value, rel=1e-12)
    for side in (0.25, 0.36, 0.5, 1.0, 1.45, 3.0):
        arcsec = SIDE_ARCSEC * side / 0.36
        got = features.r_value(9 * b, pixel=side * u.Mm, convention="jsoc")
        assert got == pytest.approx(reference.jsoc_r(9 * b, arcsec), rel=1e-9) and got > 3


def test_without_error_maps_the_errors_are_nan_and_the_values_the_same():
    planes = region()
    with_errors = keywords(planes)
    without = keywords({name: plane for name, plane in planes.items() if not name.endswith("_err")})
    assert without.values == with_errors.values
    assert all(map(math.isnan, without.errors.values()))
    flux_only = keywords({name: plane for name, plane in planes.items() if name not in ("Bt_err", "Bp_err")})
    known = {name for name, error in flux_only.errors.items() if not math.isnan(error)}
    assert known == {"USFLUX", "MEANGBZ"}


def test_errors_are_proportional_to_the_error_maps():
    planes = region()
    one = keywords(planes).errors
    three = keywords(planes | {f"{n}_err": 3 * planes[f"{n}_err"] for n in ("Br", "Bt", "Bp")}).errors
    none = keywords(planes | {f"{n}_err": 0 * planes[f"{n}_err"] for n in ("Br", "Bt", "Bp")}).errors
    for name in SHARP_ERRORS:
        assert three[name] == pytest.approx(3 * one[name], rel=1e-12) and none[name] == 0


def test_error_of_the_flux_is_the_scatter_of_noisy_copies():
    planes = region()
    copies = np.random.default_rng(1).normal(planes["Br"], planes["Br_err"], (150, *planes["Br"].shape))
    scatter = np.std([keywords(planes | {"Br": copy}).values["USFLUX"] for copy in copies])
    assert keywords(planes).errors["USFLUX"] == pytest.approx(scatter, rel=0.2)


# -- laws --------------------------------------------------------------------------------


def transposed(planes):
    """Rows and columns exchanged: north becomes west, and west north."""
    turned = {name: plane.T for name, plane in planes.items()}
    south = {"Bt": -planes["Bp"].T, "Bp": -planes["Bt"].T}
    return turned | south | {"Bt_err": planes["Bp_err"].T, "Bp_err": planes["Bt_err"].T}


def mirrored(planes):
    """East and west exchanged."""
    return {name: plane[:, ::-1] * (-1 if name == "Bp" else 1) for name, plane in planes.items()}


@pytest.mark.parametrize("change", [transposed, mirrored])
@pytest.mark.parametrize("seed", range(3))
def test_currents_of_a_transposed_or_mirrored_patch_change_sign_and_sums_do_not(change, seed):
    planes = region(seed=seed)
    before, after = keywords(planes, potential="fourier"), keywords(change(planes), potential="fourier")
    for name in VECTOR:
        sign = -1 if name in ODD else 1
        assert after.values[name] == pytest.approx(sign * before.values[name], rel=1e-9), name
        if name in SHARP_ERRORS:
            assert after.errors[name] == pytest.approx(before.errors[name], rel=1e-9), name


def test_jsocs_potential_has_no_mirror_symmetry_but_that_of_transposition():
    planes = region()
    before = keywords(planes).values
    assert keywords(transposed(planes)).values["TOTPOT"] == pytest.approx(before["TOTPOT"], rel=1e-9)
    after = keywords(mirrored(planes)).values
    assert after["TOTPOT"] != before["TOTPOT"]  # its window is 10 pixels to the one side, 9 to the other
    assert after["TOTPOT"] == pytest.approx(before["TOTPOT"], rel=1e-3)


@pytest.mark.parametrize("change", [transposed, mirrored])
def test_keywords_of_harp_377_transposed_or_mirrored_are_what_symmetry_demands(change, shared):
    planes = {}
    for name in SEGMENTS:
        with fits.open(shared / f"{HARP377}.{name}.fits") as hdus:
            planes[name] = np.array(hdus[-1].data, float)
    before, after = (keywords(p, potential="fourier").values for p in (planes, change(planes)))
    for name in VECTOR:
        # On these rounded maps dx + dy is 0 at one pixel, and dx - dy at others: MEANGBZ leaves them out.
        rel = 1e-4 if name == "MEANGBZ" else 1e-9
        assert after[name] == pytest.approx((-1 if name in ODD else 1) * before[name], rel=rel), name


@given(factor=st.floats(0.1, 50.0), seed=st.integers(0, 20))
@settings(max_examples=20)
def test_keywords_scale_with_the_field(factor, seed):
    planes = region(seed=seed)
    scaled = {n: factor * p if n[0] == "B" else p for n, p in planes.items()}
    before, after = keywords(planes), keywords(scaled)
    powers = {"MEANALP": 0, "MEANSHR": 0, "SHRGT45": 0, "CMASK": 0, "MEANPOT": 2, "TOTPOT": 2}
    powers |= dict.fromkeys(("MEANJZH", "TOTUSJH", "ABSNJZH"), 2)
    for name in set(VECTOR) - {"MEANGAM"}:  # which has a threshold in gauss
        want = before.values[name] * factor ** powers.get(name, 1)
        assert after.values[name] == pytest.approx(want, rel=1e-8), name


@given(seed=st.integers(0, 99))
@settings(max_examples=15)
def test_sums_over_two_masks_are_the_sums_over_both(seed):
    planes = region(seed=seed)
    first = np.random.default_rng(seed).random(planes["Br"].shape) < 0.5
    parts = [keywords(planes | {"bitmap": np.where(part, planes["bitmap"], 0)}) for part in (first, ~first)]
    whole = keywords(planes)
    for name in ("USFLUX", "TOTUSJZ", "TOTUSJH", "TOTPOT", "CMASK"):
        assert sum(part.values[name] for part in parts) == pytest.approx(whole.values[name], rel=1e-12)
        if name in SHARP_ERRORS:
            both = np.hypot(*(part.errors[name] for part in parts))
            assert both == pytest.approx(whole.errors[name], rel=1e-12)


def test_the_pixel_side_enters_as_the_units_say():
    planes = region()
    one, two = keywords(planes).values, keywords(planes, pixel=2 * SIDE).values
    powers = {"USFLUX": 2, "TOTPOT": 2, "TOTUSJZ": 1, "MEANJZD": -1, "MEANALP": -1, "MEANJZH": -1, "TOTUSJH": -1,
              "ABSNJZH": -1, "SAVNCPP": -1}  # fmt: skip
    for name in VECTOR:
        assert two[name] == pytest.approx(one[name] * 2.0 ** powers.get(name, 0), rel=1e-12), name


def test_a_uniform_twist_has_its_exact_current():
    """Bx = -c y, By = c x: the curl is 2 c everywhere."""
    y, x = np.mgrid[:30, :40] - 12.0
    c, ones = 5.0, np.ones((30, 40))
    found = features.sharp_keywords(300 * ones, -c * x, -c * y, 34 * ones, 90 * ones, pixel=SIDE)
    curl = 2 * c * 1e-4 / (4e-7 * np.pi) / SIDE_M  # A / m2
    inner = 28 * 38
    assert found["MEANJZD"].to_value("A / m2") == pytest.approx(curl)
    assert found["TOTUSJZ"].to_value("A") == pytest.approx(curl * SIDE_M**2 * inner)
    assert found["MEANALP"].to_value("1 / Mm") == pytest.approx(2 * c / 300 / 0.36)
    assert found["ABSNJZH"].value == pytest.approx(inner * 300 * 2 * c / SIDE_M)
    assert found["MEANGBZ"].value != found["MEANGBZ"].value  # level everywhere: no pixel is left
    assert found["SAVNCPP"].to_value("A") * SIDE_ARCSEC**2 == pytest.approx(found["TOTUSJZ"].to_value("A"))


def test_gradients_of_a_slope_are_exact_and_can_be_had_per_mm():
    b = np.tile(3.0 * np.arange(40.0), (30, 1))
    found = features.sharp_keywords(b, 0 * b, 0 * b, 34 + 0 * b, 90 + 0 * b, pixel=SIDE)
    assert found["MEANGBZ"].to_value("G / pix") == pytest.approx(3.0)
    assert (found["MEANGBZ"] / found.pixel).to_value("G / Mm") == pytest.approx(3 / 0.36)
    assert features.meangbz(b, 34 + 0 * b, 90 + 0 * b, pixel=SIDE).to_value("G / Mm") == pytest.approx(
        3 / 0.36
    )


def test_usflux_and_meangbz_are_views_of_the_keywords(tmp_path):
    start = write(tmp_path / "patch", region())
    whole = features.sharp_keywords(start)
    segments = [f"{start}.{name}.fits" for name in ("Br", "bitmap", "conf_disambig")]
    assert features.usflux(*segments) == whole["USFLUX"]
    assert features.meangbz(*segments) == whole["MEANGBZ"]


# -- potential fields ------------------------------------------------------------------------


def test_potential_field_is_that_of_buried_monopoles_to_a_millionth():
    """Eight monopoles whose far field falls off within the patch, as the field of a patch alone must."""
    middle, s = np.array([128.0, 120.0]), 3.0
    four = [(a * b * 1e4, *(middle + s * np.array([a, b]))) for a in (-1, 1) for b in (-1, 1)]
    eight = [(q, r - s, c) for q, r, c in four] + [(-q, r + s, c) for q, r, c in four]
    bx, by, bz = monopoles((256, 236), 6.0, eight)
    got_x, got_y = fourier_field(bz, 1.0, 1.0)
    peak = np.hypot(bx, by).max()
    assert np.abs(got_x - bx).max() < 1e-6 * peak and np.abs(got_y - by).max() < 1e-6 * peak


def test_energy_and_shear_of_a_potential_field_are_nothing():
    middle, s = np.array([128.0, 120.0]), 3.0
    four = [(a * b * 1e4, *(middle + s * np.array([a, b]))) for a in (-1, 1) for b in (-1, 1)]
    bx, by, bz = monopoles((256, 236), 6.0, four)
    inside = np.where(np.abs(bz) > 5, 34, 0)
    found = features.sharp_keywords(bz, -by, bx, inside, 90 + 0 * inside, pixel=SIDE, potential="fourier")
    whole = np.mean(((bx**2 + by**2) / (8 * np.pi))[inside > 0])
    assert found.values["MEANPOT"] < 1e-6 * whole and found.values["MEANSHR"] < 0.01
    assert found.values["SHRGT45"] == 0


@pytest.mark.parametrize("sides", [(0.3, 0.3), (0.3, 0.5)])
def test_potential_field_does_not_depend_on_the_unit_of_length(sides):
    bz = region()["Br"]
    for one, two in zip(fourier_field(bz, *sides), fourier_field(bz, *(7 * np.array(sides))), strict=True):
        assert two == pytest.approx(one, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("at", [(30, 40), (0, 0), (58, 33), (5, 78)])
def test_jsocs_potential_is_that_of_a_monopole_in_a_window(at):
    bz = np.zeros((60, 80))
    bz[at] = 500.0
    rows, cols = np.indices(bz.shape)
    # The source at i + offset counts at i for offsets from -10 to 9.
    window = (np.abs(at[0] - rows + 0.5) < 10) & (np.abs(at[1] - cols + 0.5) < 10)
    potential = window * 0.5 / np.sqrt((rows - at[0]) ** 2 + (cols - at[1]) ** 2 + 1e-6)
    want_y, want_x = np.gradient(-potential, edge_order=2)
    got_x, got_y = jsoc_field(bz)
    assert got_x == pytest.approx(want_x, abs=1e-9) and got_y == pytest.approx(want_y, abs=1e-9)


def test_jsocs_potential_field_is_nearly_minus_the_gradient():
    """What the keywords call a potential field is none: worth knowing, so worth a test."""
    bz = monopoles((90, 90), 6.0, [(1e5, 45, 45)])[2]
    dy, dx = np.gradient(bz)
    got_x, got_y = jsoc_field(bz)
    there = np.hypot(dx, dy) > 10
    assert np.abs(got_x + dx)[there].max() < 0.1 * np.hypot(dx, dy).max()
    assert np.abs(got_y + dy)[there].max() < 0.1 * np.hypot(dx, dy).max()


@pytest.mark.parametrize("field", [jsoc_field, lambda bz: fourier_field(bz, 1.0, 1.0)])
def test_potential_fields_are_linear_and_take_nan_as_no_flux(field):
    a, b = region(seed=1)["Br"], region(seed=2)["Br"]
    for of_sum, of_a, of_b in zip(field(2 * a + b), field(a), field(b), strict=True):
        assert of_sum == pytest.approx(2 * of_a + of_b, abs=1e-8)
    holes = np.where(np.random.default_rng(0).random(a.shape) < 0.1, np.nan, a)
    for got, want in zip(field(holes), field(np.nan_to_num(holes)), strict=True):
        assert np.array_equal(got, want)


def test_other_potentials_are_refused():
    with pytest.raises(ValueError, match="potential must be 'jsoc' or 'fourier', got 'green'"):
        keywords(region(), potential="green")


# -- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("potential", ["jsoc", "fourier"])
def test_means_of_the_maps_are_the_keywords(potential):
    planes = region()
    found = keywords(planes, maps=True, potential=potential)
    maps, inner = found.maps, np.zeros(planes["Br"].shape, bool)
    inner[1:-1, 1:-1] = True
    mask = maps.mask & inner
    assert maps.mask.sum() == found.values["CMASK"]
    assert maps.jz[mask].mean() == pytest.approx(found.values["MEANJZD"])
    assert maps.free_energy[mask].mean() == pytest.approx(found.values["MEANPOT"])
    assert maps.shear[mask].mean() == pytest.approx(found.values["MEANSHR"])
    assert 100 * (maps.shear[mask] > 45).mean() == pytest.approx(found.values["SHRGT45"])
    assert all(
        np.isfinite(getattr(maps, name)).all() for name in ("jz", "shear", "potential_x", "free_energy")
    )
    assert keywords(planes).maps is None


def test_inversion_line_lies_between_the_polarities():
    b = np.tile(np.repeat([500.0, -500.0], 20), (30, 1))
    maps = keywords(region((30, 40)) | {"Br": b}, maps=True).maps
    assert np.array_equal(np.flatnonzero(maps.inversion_line[7]), [19, 20])
    weak = keywords(region((30, 40)) | {"Br": b / 4}, maps=True).maps
    assert not weak.inversion_line.any()


# -- sources -----------------------------------------------------------------------------------------


def test_files_a_folder_and_the_beginning_of_names_give_the_same(tmp_path):
    planes = region()
    start = write(tmp_path / "patch", planes)
    files = {name.lower(): f"{start}.{name}.fits" for name in planes}
    one = features.sharp_keywords(**files).as_row()
    for source in (start, str(start), f"{start}.", tmp_path / "patch"):
        assert features.sharp_keywords(source).as_row() == one
    arrays = keywords(planes, pixel=None, wcs=cea_header(planes["Br"].shape)).as_row()
    assert arrays == one


def test_quantities_in_tesla_and_other_pixel_types_give_the_same():
    planes = region()
    fields = ("Br", "Bt", "Bp", "Br_err", "Bt_err", "Bp_err")
    tesla = {n: (p * u.G).to(u.T) if n in fields else p for n, p in planes.items()}
    assert keywords(tesla).as_row() == pytest.approx(keywords(planes).as_row(), rel=1e-9)
    planes |= {name: np.round(planes[name]) for name in fields}
    one = keywords(planes).as_row()
    for dtype in (np.int16, np.float32, ">f8"):
        other = {n: p.astype(dtype) if n in fields else p for n, p in planes.items()}
        assert keywords(other).as_row() == one
    strided = {n: np.asfortranarray(p) for n, p in planes.items()}
    assert keywords(strided).as_row() == one


def test_sunpy_maps_give_the_same(tmp_path):
    sunpy_map = pytest.importorskip("sunpy.map")
    planes = region()
    start = write(tmp_path / "patch", planes)
    header = cea_header(planes["Br"].shape, DATE_OBS="2011-02-15T02:00:00", BUNIT="G")
    header.rename_keyword("DATE_OBS", "DATE-OBS")
    maps = {n: sunpy_map.Map(p, header) if n[0] == "B" else p for n, p in planes.items()}
    assert keywords(maps, pixel=None).as_row() == features.sharp_keywords(start).as_row()


def test_many_threads_at_once_give_the_same():
    planes = region((120, 160))
    one, found = keywords(planes).as_row(), []
    threads = [threading.Thread(target=lambda: found.append(keywords(planes).as_row())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [one] * 8


def test_result_has_names_units_and_a_row():
    found = keywords(region())
    assert found.names == tuple(SHARP_UNITS)
    assert found["USFLUX"].unit == u.Mx and found.error("MEANPOT").unit == u.erg / u.cm**3
    assert list(found.as_row()) == [*SHARP_UNITS, *SHARP_ERRORS.values()]
    assert found.as_dict()["SHRGT45"] == found.values["SHRGT45"] * u.percent
    with pytest.raises(KeyError):
        found["NOTHING"]


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ("conf_disambig", set(VECTOR)),
        ("bitmap", {*VECTOR, "USFLUXL", "MEANGBL", "CMASKL"}),
        ("Br", set(VECTOR) - {"CMASK"}),
        ("Bt", set(VECTOR) - {"CMASK", "USFLUX", "MEANGBZ"}),
        ("magnetogram", {"R_VALUE", "USFLUXL", "MEANGBL", "CMASKL"}),
    ],
)
def test_keywords_of_a_missing_segment_are_nan_with_the_reason(tmp_path, missing, lost):
    planes = {name: plane for name, plane in region().items() if name != missing}
    found = features.sharp_keywords(write(tmp_path / "patch", planes))
    assert {name for name, value in found.values.items() if math.isnan(value)} == lost == set(found.reasons)
    assert set(found.reasons.values()) == {f"the segment {missing} is missing"}
    whole = features.sharp_keywords(write(tmp_path / "whole", region()))
    for name in set(SHARP_UNITS) - lost:
        assert found.values[name] == whole.values[name]


def test_maps_of_a_missing_segment_are_refused():
    planes = region()
    del planes["Bp"]
    with pytest.raises(ValueError, match=r"maps need the segments .* Bp is missing"):
        keywords(planes, maps=True)


def test_segments_of_different_shapes_are_refused():
    planes = region()
    with pytest.raises(ValueError, match=r"Bp must have the shape of Br, \(40, 52\), got \(39, 52\)"):
        keywords(planes | {"Bp": planes["Bp"][:-1]})
    with pytest.raises(ValueError, match=r"bitmap must have the shape of magnetogram"):
        features.smarp_keywords(planes["magnetogram"], planes["bitmap"].T, pixel=SIDE)


@pytest.mark.parametrize(
    ("key", "value"), [("T_REC", "2011.02.15_02:12:00_TAI"), ("HARPNUM", 378), ("TARPNUM", 13000)]
)
def test_segments_of_different_times_or_patches_are_refused(tmp_path, key, value):
    start = write(tmp_path / "patch", region(), **({"TARPNUM": 12} if key == "TARPNUM" else {}))
    fits.setval(f"{start}.Bt.fits", key, value=value)
    with pytest.raises(ValueError, match=f"one patch and time: {key} is .* in Br, but {value} in Bt"):
        features.sharp_keywords(start)


def test_a_folder_of_several_patches_is_refused(tmp_path):
    write(tmp_path / "patch", region())
    write(tmp_path / "patch", region(), start="hmi.sharp_cea_720s.377.20110215_021200_TAI")
    with pytest.raises(ValueError, match=r"holds 2 patches or times .* name one of them"):
        features.sharp_keywords(tmp_path / "patch")


def test_a_source_without_segments_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no segments of a SHARP or SMARP patch at .*nothing"):
        features.sharp_keywords(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no segments"):
        features.sharp_keywords(tmp_path)
    with pytest.raises(ValueError, match="no segment of a patch was given"):
        features.sharp_keywords()


def test_a_packed_and_an_unpacked_file_of_one_segment_are_refused(tmp_path):
    start = write(tmp_path / "patch", region())
    (tmp_path / "patch" / f"{start.name}.Br.fits.gz").write_bytes(b"")
    with pytest.raises(ValueError, match="two files of one segment"):
        features.sharp_keywords(start)


@pytest.mark.parametrize("lacking", ["RSUN_OBS", "DSUN_OBS"])
def test_one_of_distance_and_radius_follows_from_the_other(tmp_path, lacking):
    distance = 1.477e11
    radius = math.degrees(math.asin(6.96e8 / distance)) * 3600
    planes = region()
    whole = features.sharp_keywords(write(tmp_path / "whole", planes, RSUN_OBS=radius))
    found = features.sharp_keywords(write(tmp_path / "patch", planes, **{"RSUN_OBS": radius, lacking: None}))
    assert found.as_row() == pytest.approx(whole.as_row(), rel=1e-9)


def test_without_distance_and_radius_the_cure_is_named(tmp_path):
    start = write(tmp_path / "patch", region(), RSUN_OBS=None, DSUN_OBS=None)
    with pytest.raises(GeometryError, match=r"lacks RSUN_OBS and DSUN_OBS.* or give pixel="):
        features.sharp_keywords(start)
    assert features.sharp_keywords(start, pixel=SIDE).as_row() == keywords(region()).as_row()


@pytest.mark.parametrize("kind", [("HPLN-TAN", "HPLT-TAN"), ("CRLN-CAR", "CRLT-CAR")])
def test_maps_that_are_not_equal_area_are_refused(tmp_path, kind):
    start = write(tmp_path / "patch", region(), CTYPE1=kind[0], CTYPE2=kind[1])
    with pytest.raises(
        GeometryError, match=rf"equal-area maps \(CEA\), got CTYPE1 {kind[0]}; take .*sharp_cea"
    ):
        features.sharp_keywords(start)


def test_a_full_disk_magnetogram_is_refused(shared):
    path = shared / "data/hmi/mdi.fd_m_96m_lev182.20101015_000000_TAI.data.fits"
    with pytest.raises(GeometryError, match=r"equal-area maps \(CEA\), got CTYPE1 HPLN-TAN"):
        features.smarp_keywords(path)


def test_arrays_without_a_header_need_the_side_of_a_pixel():
    with pytest.raises(GeometryError, match=r"does not say the projection.* give pixel="):
        keywords(region(), pixel=None)
    with pytest.raises(ValueError, match="pixel must be"):
        keywords(region(), pixel=0.36)


def test_pixels_that_are_not_square_are_refused(tmp_path):
    with pytest.raises(GeometryError, match="pixels must be square"):
        features.sharp_keywords(write(tmp_path / "patch", region(), CDELT2=0.06))


def test_an_empty_mask_gives_nan_not_0():
    planes = region()
    found = keywords(planes | {"bitmap": 0 * planes["bitmap"]})
    counts = {"CMASK", "CMASKL"}
    assert {name for name in found.values if found.values[name] == 0} == counts
    lost = set(SHARP_UNITS) - counts - {"R_VALUE"}
    assert set(found.reasons) == lost and set(found.reasons.values()) == {"no pixel of the mask has a value"}
    assert all(math.isnan(found.values[name]) for name in lost)
    assert all(map(math.isnan, found.errors.values()))
    assert np.isnan(features.usflux(planes["Br"], 0 * planes["bitmap"], planes["conf_disambig"], pixel=SIDE))


def test_a_field_without_vertical_part_has_no_alpha():
    planes = region()
    found = keywords(planes | {"Br": 0 * planes["Br"]})
    assert math.isnan(found.values["MEANALP"]) and found.reasons["MEANALP"].startswith("Br is 0")
    assert found.values["MEANJZH"] == 0 and found.values["USFLUX"] == 0


def test_nan_borders_are_left_out_as_if_they_were_cut_off():
    planes = region()
    wide = {n: np.pad(p, 7, constant_values=np.nan if n[0] == "B" else 34) for n, p in planes.items()}
    cut, padded = keywords(planes).values, keywords(wide).values
    # The padding changes which pixels are outermost: those beside NaN have no derivative either way.
    for name in VECTOR:
        if name not in ("MEANPOT", "TOTPOT", "MEANSHR", "SHRGT45"):
            assert padded[name] == pytest.approx(cut[name], rel=1e-12), name
    planes["bitmap"][[0, -1]] = planes["bitmap"][:, [0, -1]] = 0
    wide = {n: np.pad(p, 7, constant_values=np.nan if n[0] == "B" else 34) for n, p in planes.items()}
    cut, padded = keywords(planes).values, keywords(wide).values
    for name in VECTOR:
        if name not in ("USFLUX", "MEANGAM", "CMASK"):
            assert padded[name] == pytest.approx(cut[name], rel=1e-9), name


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (9, 2), (3, 3)])
def test_tiny_patches_have_what_they_can_have(shape):
    planes = region(shape) | {"bitmap": np.full(shape, 34.0), "conf_disambig": np.full(shape, 90.0)}
    found = keywords(planes, maps=True)
    assert found.values["CMASK"] == shape[0] * shape[1] and found.values["USFLUX"] > 0
    assert ("MEANJZD" in found.reasons) == (min(shape) < 3)
    assert found.maps.jz.shape == shape


@pytest.mark.parametrize(
    ("name", "plane", "error", "message"),
    [
        ("Br", np.ones((3, 4, 5)), ValueError, "Br must be 2-D"),
        ("Bt", np.full((40, 52), np.nan), ValueError, "all 2080 pixels of Bt are NaN"),
        ("Bp", np.full((40, 52), np.inf), ValueError, "Bp contains infinite values"),
        ("Bp", np.ones((40, 52)) * u.s, ValueError, "Bp must be a magnetic field"),
        ("Br_err", np.ones((40, 52), complex), TypeError, "Br_err must hold real numbers"),
        ("bitmap", np.ma.masked_equal(np.eye(40, 52), 0), TypeError, "bitmap is a masked array"),
    ],
)
def test_bad_planes_are_refused_by_name(name, plane, error, message):
    with pytest.raises(error, match=message):
        keywords(region() | {name: plane})


def test_a_file_that_is_no_image_names_itself(tmp_path):
    start = write(tmp_path / "patch", region())
    (tmp_path / "patch" / f"{start.name}.Bt.fits").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"TAI.Bt.fits"):
        features.sharp_keywords(start)


def test_bitmaps_of_mdi_have_a_higher_threshold():
    planes = region()
    bitmap = np.where(planes["bitmap"] >= 30, 36, 34)
    for instrument, count in (("MDI", (bitmap >= 36).sum()), ("HMI_SIDE1", bitmap.size)):
        header = cea_header(bitmap.shape, INSTRUME=instrument)
        assert features.smarp_keywords(planes["magnetogram"], bitmap, wcs=header).values["CMASKL"] == count


# -- R -------------------------------------------------------------------------------------------------------


def test_r_of_jsoc_is_zero_without_a_line_and_takes_no_options():
    field = np.full((60, 60), 400.0)
    assert features.r_value(field, pixel=SIDE, convention="jsoc") == 0.0
    with pytest.raises(ValueError, match="fixed with convention='jsoc'"):
        features.r_value(field, pixel=SIDE, convention="jsoc", width=15 * u.Mm)
    with pytest.raises(ValueError, match="convention must be 'flux' or 'jsoc', got 'schrijver'"):
        features.r_value(field, pixel=SIDE, convention="schrijver")


def test_r_of_jsoc_leaves_missing_pixels_out():
    b = region((80, 90))["magnetogram"]
    holes = b.copy()
    holes[::7, ::7] = np.nan
    whole, some = (features.r_value(field, pixel=SIDE, convention="jsoc") for field in (b, holes))
    assert 0 < abs(whole - some) < 0.05


def test_the_two_conventions_of_r_are_one_idea():
    """log10 of maxwell is log10 of gauss times pixels of 1.45 Mm plus 16.32, nearly."""
    b = region((160, 180))["magnetogram"]
    flux, jsoc = (features.r_value(b, pixel=SIDE, convention=kind) for kind in ("flux", "jsoc"))
    assert flux - 16.32 == pytest.approx(jsoc, abs=0.2)


def test_importing_features_does_not_import_scipy():
    code = "import sys, solartrack.features; print(*(m for m in ('scipy', 'sunpy', 'matplotlib') if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == ""


def test_keywords_show_their_values_errors_units_and_why_one_is_missing():
    found = features.smarp_keywords(np.zeros((8, 8)), np.zeros((8, 8), int), pixel=0.36 * u.Mm)
    assert "USFLUXL  nan Mx  " in repr(found)
    assert found.reasons["USFLUXL"] in repr(found)
    gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    found = features.smarp_keywords(gauss, np.full((64, 64), 33), pixel=0.36 * u.Mm)
    assert "USFLUXL  8.08901e+20 Mx" in repr(found)
    assert "8.08901e+20 Mx" in found._repr_html_()
