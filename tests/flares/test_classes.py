import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.flares import flare_class, peak_flux
from solartrack.flares.classes import as_threshold


def test_classes_compare_as_fluxes_not_as_text():
    ordered = ["A1.0", "B9.9", "C1.0", "C9.9", "M1.0", "M5.0", "X1.0", "X9.3", "X10.0", "X17"]
    assert (np.diff(peak_flux(ordered)) > 0).all()


@pytest.mark.parametrize(
    ("text", "flux"),
    [("C5.7", 5.7e-6), ("m1", 1e-5), (" X1.05 ", 1.05e-4), ("M10.0", 1e-4), ("X28", 2.8e-3), ("B.5", 5e-8)],
)
def test_a_class_is_the_float_nearest_to_its_flux(text, flux):
    assert peak_flux(text) == flux


@pytest.mark.parametrize("text", ["C", "B0", "", "5.7", "C-1.0", "D1.0", "C5.7 1.0E-3", "nan", "C1e3", "CX1"])
def test_what_is_no_class_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="flare class must be a letter") as caught:
        peak_flux(text)
    assert repr(text) in str(caught.value)


def test_missing_classes_in_a_table_are_nan():
    np.testing.assert_equal(
        peak_flux(["C1.0", "", None, np.nan, "C1.0"]), [1e-6, np.nan, np.nan, np.nan, 1e-6]
    )
    assert peak_flux([]).shape == (0,)


def test_one_bad_class_in_a_table_is_named():
    with pytest.raises(ValueError, match="'Z1'"):
        peak_flux(["C1.0", "Z1"])


def test_what_is_no_text_is_a_type_error():
    with pytest.raises(TypeError, match="text such as"):
        peak_flux(3.0)


@given(st.sampled_from("ABCMX"), st.integers(10, 99))
def test_a_class_survives_the_way_to_a_flux_and_back(letter, tenths):
    text = f"{letter}{tenths / 10:.1f}"
    assert flare_class(peak_flux(text)) == text


def test_a_flux_that_rounds_up_to_ten_takes_the_next_letter():
    assert flare_class(9.96e-6) == "M1.0"
    assert flare_class(np.array([9.94e-6, np.nan, 1.7e-3])).tolist() == ["C9.9", "", "X17.0"]
    assert flare_class(5e-9) == "A0.5"


@pytest.mark.parametrize("flux", [0.0, -1e-6, np.inf, 1e-10])
def test_a_flux_without_a_class_is_refused(flux):
    with pytest.raises(ValueError, match="positive and finite"):
        flare_class(flux)


def test_a_threshold_is_a_class_or_a_flux():
    assert as_threshold("M1.0") == as_threshold(1e-5) == 1e-5
    for value in ("C", "", None, 0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^limit must be a flare class"):
            as_threshold(value, "limit")
