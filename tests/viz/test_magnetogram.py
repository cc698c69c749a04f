import io
import sys

import astropy.units as u
import numpy as np
import pytest

from solartrack import features
from solartrack.errors import GeometryError
from solartrack.viz import plot_magnetogram

pytest.importorskip("matplotlib")

PIXEL = {"pixel": 0.5 * u.Mm}


def island(n=80, radius=20.0, shape=None):
    y, x = np.mgrid[: (shape or (n, n))[0], : (shape or (n, n))[1]]
    return 30.0 * (radius - np.hypot(x - x.mean(), y - y.mean()))


def panels(figure):
    return [ax for ax in figure.axes if ax.images]


def test_panels_show_the_field_and_its_gradient_with_their_units():
    field = island()
    figure = plot_magnetogram(field, **PIXEL, limit=500 * u.G)
    left, right = panels(figure)
    assert np.array_equal(left.images[0].get_array(), field)
    assert left.images[0].get_clim() == (-500, 500)
    gradient = np.ma.getdata(right.images[0].get_array())[1:-1, 1:-1]
    assert np.median(gradient) == pytest.approx(60, rel=0.05)
    bars = {ax.get_ylabel() for ax in figure.axes} - {"y (Mm)", ""}
    assert bars == {"field (G)", "gradient (G / Mm)"}
    out = io.BytesIO()
    figure.savefig(out)
    assert out.getvalue().startswith(b"\x89PNG")


def test_lines_are_drawn_where_the_features_find_them():
    field = island()
    ax, _ = panels(plot_magnetogram(field, **PIXEL))
    every, strong = ax.collections
    radius = np.hypot(*np.concatenate(strong.get_segments()).T)
    assert radius == pytest.approx(10.0, abs=0.15)  # 20 pixels of 0.5 Mm; averaging shrinks circles
    assert len(every.get_segments()) == len(strong.get_segments())
    length = features.physical(field, **PIXEL).nl_strong_length.to_value("Mm")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        f"neutral line: {length:.0f} Mm",
        f"its strong gradient: {length:.0f} Mm",
    ]
    ax, _ = panels(plot_magnetogram(field, **PIXEL, strong_gradient=80 * u.G / u.Mm))
    assert not len(ax.collections[1].get_segments()) and len(ax.collections[0].get_segments())


@pytest.mark.parametrize(("axes", "half"), [("Mm", 20.0), ("arcsec", 20.0 / 0.72527)])
def test_axes_are_distances_from_the_middle(axes, half):
    left, right = panels(plot_magnetogram(island(), **PIXEL, axes=axes))
    assert left.get_xlim() == pytest.approx((-half, half), rel=1e-4)
    assert left.get_ylim() == pytest.approx((-half, half), rel=1e-4)
    assert left.get_ylabel() == f"y ({axes})" and right.get_xlabel() == f"x ({axes})"


@pytest.mark.parametrize("shape", [(40, 160), (160, 40), (1, 9), (2, 2)])
def test_patches_of_every_shape_are_drawn_undistorted(shape):
    figure = plot_magnetogram(island(shape=shape), **PIXEL, title="patch")
    figure.savefig(io.BytesIO())
    assert all(ax.get_aspect() == 1.0 for ax in panels(figure))
    if max(shape) > 100:
        box = panels(figure)[0].get_window_extent()
        assert box.width / box.height == pytest.approx(shape[1] / shape[0], rel=0.02)


def test_missing_pixels_are_hatched():
    field = island()
    assert not panels(plot_magnetogram(field, **PIXEL))[0].patch.get_hatch()
    field[:10] = np.nan
    assert panels(plot_magnetogram(field, **PIXEL))[0].patch.get_hatch()


def test_pyplot_is_not_used():
    before = "matplotlib.pyplot" in sys.modules
    plot_magnetogram(island(), **PIXEL)
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"axes": "km"}, ValueError, "axes must be 'Mm' or 'arcsec', got 'km'"),
        ({"limit": 500}, ValueError, "limit must be one field such as 1000 G, got 500"),
        ({"limit": -1 * u.G}, ValueError, "limit must be positive"),
        ({"strong_gradient": 5 * u.G}, ValueError, "strong_gradient must be one quantity"),
        ({"pixel": None}, GeometryError, "nothing tells the side of a pixel"),
    ],
)
def test_bad_arguments_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        plot_magnetogram(island(), **{**PIXEL, **given})
