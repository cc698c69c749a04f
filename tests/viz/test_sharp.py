"""The figure of the maps behind the SHARP keywords."""

import astropy.units as u
import numpy as np
import pytest

from solartrack import features
from solartrack.viz import plot_sharp

pytest.importorskip("matplotlib")


def keywords(shape=(40, 60), maps=True):
    y, x = np.mgrid[: shape[0], : shape[1]] - np.array(shape)[:, None, None] / 2
    br = 1200 * (np.exp(-((x - 6) ** 2 + y**2) / 60) - np.exp(-((x + 6) ** 2 + y**2) / 60))
    active = np.where(np.abs(br) > 50, 34, 1)
    return features.sharp_keywords(
        br, 5 * x, -5 * y, active, 90 + 0 * active, pixel=0.36 * u.Mm, potential="fourier", maps=maps
    )


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (3, 3)])
def test_figure_shows_the_four_maps_in_megametres(shape, tmp_path):
    found = keywords(shape)
    figure = plot_sharp(found, title="a region")
    panels = figure.axes[:4]
    shown = [ax.images[0].get_array() for ax in panels]
    assert np.array_equal(shown[0], found.maps.br) and np.array_equal(shown[1], found.maps.jz)
    assert np.array_equal(shown[2], found.maps.shear)
    assert panels[0].images[0].get_extent() == pytest.approx([0, 0.36 * shape[1], 0, 0.36 * shape[0]])
    assert figure.get_suptitle() == "a region"
    figure.savefig(tmp_path / "figure.png")


def test_keywords_without_maps_are_refused_with_the_cure():
    with pytest.raises(ValueError, match="compute them with maps=True"):
        plot_sharp(keywords(maps=False))


def test_an_empty_mask_is_drawn():
    br = np.zeros((20, 30))
    found = features.sharp_keywords(br, br, br, br, br, pixel=0.36 * u.Mm, maps=True)
    plot_sharp(found).draw_without_rendering()
