import numpy as np
import pytest

from solartrack import viz


@pytest.fixture
def bipole():
    rows, columns = np.indices((40, 60))
    spots = [np.exp(-((rows - 20) ** 2 + (columns - c) ** 2) / 50) for c in (20, 40)]
    return 2000 * (spots[0] - spots[1]), 1e-3 * (spots[0] - 0.2 * spots[1])


def panels(figure):
    return figure.axes[:2]


def test_the_field_is_grey_and_the_attribution_is_drawn_with_white_for_nothing(bipole):
    field, attribution = bipole
    left, right = panels(viz.plot_saliency(field, attribution, smooth=0))
    grey, colour = left.images[0], right.images[0]
    np.testing.assert_array_equal(grey.get_array(), field)
    np.testing.assert_array_equal(colour.get_array(), attribution)
    assert grey.get_clim() == (-1000, 1000) and left.images[0].origin == "lower"
    low, high = colour.get_clim()
    assert low == -high and 0.9 * attribution.max() <= high <= attribution.max()
    red, _, blue, _ = colour.cmap(colour.norm(attribution.max()))
    assert red > blue  # orange speaks for a flare


def test_smoothing_keeps_the_sum(bipole):
    field, _ = bipole
    noise = np.random.default_rng(0).normal(size=field.shape)
    _, right = panels(viz.plot_saliency(field, noise, smooth=2))
    drawn = right.images[0].get_array()
    assert drawn.sum() == pytest.approx(noise.sum()) and drawn.std() < 0.3 * noise.std()


def test_the_forecast_stands_above(bipole):
    figure = viz.plot_saliency(
        *bipole, probability=0.3, threshold=0.25, event="C1.0 within 24 h", title="1158.fits"
    )
    said = "1158.fits\nprobability of C1.0 within 24 h: 0.30; yes, the threshold is 0.25"
    assert figure.get_suptitle() == said
    assert "; no, " in viz.plot_saliency(*bipole, probability=0.2, threshold=0.25).get_suptitle()
    assert viz.plot_saliency(*bipole, probability=0.2).get_suptitle() == "probability of a flare: 0.20"
    assert viz.plot_saliency(*bipole).get_suptitle() == ""


def test_wide_patches_have_one_panel_above_the_other(bipole):
    left, right = panels(viz.plot_saliency(*bipole))
    assert left.get_position().y0 > right.get_position().y1
    left, right = panels(viz.plot_saliency(*(one[:, 10:50] for one in bipole)))
    assert left.get_position().x1 < right.get_position().x0


@pytest.mark.parametrize("shape", [(16, 16), (1, 5)])
def test_a_patch_without_anything_is_drawn(tmp_path, shape):
    figure = viz.plot_saliency(np.zeros(shape), np.zeros(shape))
    figure.savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attribution": np.zeros((3, 4))}, r"one shape .* got \(5, 5\) and \(3, 4\)"),
        ({"field": np.zeros(25), "attribution": np.zeros(25)}, "one shape"),
        ({"limit_gauss": 0}, "limit_gauss must be positive"),
        ({"smooth": -1}, "smooth must be"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        viz.plot_saliency(**{"field": np.zeros((5, 5)), "attribution": np.zeros((5, 5)), **change})
