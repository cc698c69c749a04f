"""Units of magnetograms, pixels and mu: converted, or refused by name."""

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.utils.masked import Masked

from solartrack import features, images, viz

SIDE = 0.4 * u.Mm
GAUSS = np.add.outer(np.linspace(-300.0, 400.0, 40), np.linspace(-500.0, 400.0, 50))


def ones(field):
    return np.full(np.shape(field), 99)


# Every function that takes a magnetogram, as a list of plain numbers.
FUNCTIONS = {
    "complexity": lambda patch: features.complexity(patch).as_array(),
    "complexity_batch": lambda patch: features.complexity_batch([patch])[0],
    "physical": lambda patch: list(features.physical(patch, pixel=SIDE).as_row().values()),
    "r_value": lambda patch: features.r_value(patch, pixel=SIDE),
    "wlsg": lambda patch: features.wlsg(patch, pixel=SIDE).value,
    "usflux": lambda patch: features.usflux(patch, ones(GAUSS), ones(GAUSS), pixel=SIDE).value,
    "meangbz": lambda patch: features.meangbz(patch, ones(GAUSS), ones(GAUSS)).value,
    "magnetogram_lines": lambda patch: features.magnetogram_lines(patch, pixel=SIDE).field.ravel(),
    "plot_magnetogram": lambda patch: (
        viz.plot_magnetogram(patch, pixel=SIDE).axes[0].images[0].get_array().filled(np.nan).ravel()
    ),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def write(path, field, **cards):
    fits.PrimaryHDU(field, fits.Header(cards)).writeto(path)
    return path


@every_function
@pytest.mark.parametrize("unit", [u.T, u.kG, u.Mx / u.cm**2, u.Unit("0.1 G"), u.G])
def test_a_quantity_in_another_magnetic_unit_is_converted_to_gauss(function, unit):
    got = function((GAUSS * u.G).to(unit))
    assert got == pytest.approx(function(GAUSS), rel=1e-9, nan_ok=True)


@every_function
@pytest.mark.parametrize(
    ("said", "gauss"),
    [
        ("kG", 1e3),
        ("0.1 G", 0.1),
        ("Mx/cm^2", 1.0),
        ("MX/CM^2", 1.0),
        ("T", 1e4),
        ("TESLA", 1e4),
        ("mT", 10.0),
        ("GAUSS", 1.0),
        ("Gauss", 1.0),
        ("0.1 GAUSS", 0.1),
        ("kGauss", 1e3),
    ],
)
def test_bunit_of_a_file_is_converted_to_gauss(function, said, gauss, tmp_path):
    file = write(tmp_path / "patch.fits", GAUSS / gauss, BUNIT=said)
    assert function(file) == pytest.approx(function(GAUSS), rel=1e-9, nan_ok=True)
    assert function(images.read(file)) == pytest.approx(function(GAUSS), rel=1e-9, nan_ok=True)


@every_function
@pytest.mark.parametrize("unit", [u.m, u.deg, u.Mx, u.G / u.Mm, u.percent])
def test_a_quantity_that_is_no_magnetic_field_is_refused(function, unit):
    with pytest.raises(ValueError, match=r"must be a magnetic field"):
        function(GAUSS * unit)


@every_function
def test_a_file_that_is_no_magnetic_field_is_refused(function, tmp_path):
    with pytest.raises(ValueError, match=r"must be a magnetic field .*got m / s"):
        function(write(tmp_path / "v.fits", GAUSS, BUNIT="m/s"))
    with pytest.raises(ValueError, match="BUNIT 'flurbs' is no unit"):
        function(write(tmp_path / "odd.fits", GAUSS, BUNIT="flurbs"))


@pytest.mark.parametrize("said", ["DN", "counts", "COUNTS", "ADU", "ct", ""])
def test_complexity_takes_counts_as_they_are(said, tmp_path):
    file = write(tmp_path / "counts.fits", GAUSS + 600, BUNIT=said)
    assert features.complexity(file, zero=600.0) == features.complexity(GAUSS + 600, zero=600.0)
    assert features.complexity(GAUSS * u.ct) == features.complexity(GAUSS)


def test_zero_is_a_value_of_the_pixels_in_their_own_unit():
    shifted = (GAUSS + 128.0) / 1e3 * u.kG
    got = features.complexity(shifted, zero=0.128).as_array()
    # The signed flux of this field is 0: what is left is the rounding of sums of 5.5e5.
    assert got == pytest.approx(features.complexity(GAUSS).as_array(), rel=1e-6, abs=1e-9)
    with pytest.raises(TypeError, match="zero must be a plain number"):
        features.complexity(shifted, zero=0.128 * u.kG)


def test_an_archive_in_kilogauss_and_one_in_gauss_have_the_same_features(tmp_path):
    folder = tmp_path / "patches"
    folder.mkdir()
    write(folder / "a.fits", GAUSS, BUNIT="Gauss")
    write(folder / "b.fits", GAUSS / 1e3, BUNIT="kG")
    write(folder / "c.fits", GAUSS, BUNIT="m/s")
    made = features.extract(folder, tmp_path / "out", workers=1)
    table = pd.read_parquet(made.table)[list(features.COMPLEXITY_NAMES)].to_numpy()
    assert table[0] == pytest.approx(features.complexity(GAUSS).as_array(), rel=0, abs=0)
    assert table[1] == pytest.approx(table[0], rel=1e-9)
    assert "must be a magnetic field (G, Mx / cm2, T; or counts), got m / s" in made.errors.read_text()


@every_function
@pytest.mark.parametrize("unit", [None, u.G])
def test_masked_pixels_are_refused_by_name(function, unit):
    mask = np.zeros(GAUSS.shape, dtype=bool)
    mask[3, 4] = True
    field = Masked(GAUSS if unit is None else GAUSS * unit, mask=mask)
    with pytest.raises(TypeError, match=r"(patch.*|Br) is a masked array; fill it first"):
        function(field)
    with pytest.raises(TypeError, match=r"(patch.*|Br) is a masked array; fill it first"):
        function(np.ma.array(GAUSS, mask=mask))


def test_masked_bitmap_and_mu_are_refused_by_name():
    ok, mask = ones(GAUSS), GAUSS > 0
    for masked in (Masked(ok, mask=mask), np.ma.array(ok, mask=mask)):
        with pytest.raises(TypeError, match="bitmap is a masked array"):
            features.usflux(GAUSS, masked, ok, pixel=SIDE)
        with pytest.raises(TypeError, match="mu is a masked array"):
            features.physical(GAUSS, pixel=SIDE, radial=True, mu=masked / 100)


def test_mu_in_per_cent_is_converted_and_in_radians_refused():
    def flux(mu):
        return features.physical(GAUSS, pixel=SIDE, mu=mu, radial=True).flux_unsigned.value

    assert flux(50 * u.percent) == pytest.approx(flux(0.5), rel=1e-12)
    assert flux(0.5 * u.dimensionless_unscaled) == flux(0.5)
    with pytest.raises(ValueError, match=r"mu, the cosine .* must be a plain number, got rad"):
        flux(0.5 * u.rad)
    with pytest.raises(ValueError, match="got deg"):
        flux(60 * u.deg)
