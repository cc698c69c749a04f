"""The simulator's own projection against that of solartrack.coordinates."""

from datetime import datetime

import numpy as np
import pytest

from solartrack.simulate._sphere import View, earth, see, unit_vectors

VIEWS = {
    "whole Sun": View(earth(datetime(2014, 2, 1)), (64.0, 64.0), 19.2, 128),
    "off centre": View(earth(datetime(2014, 9, 8)), (70.3, 51.6), 17.0, 128),
    "magnified": View(earth(datetime(2013, 3, 5), 3.0), (150.0, -20.0), 6.0, 128),
}


@pytest.fixture(params=VIEWS.values(), ids=VIEWS)
def view(request):
    return request.param


def test_pixels_see_the_points_that_image_geometry_gives_them(view):
    disk = see(view)
    row, column = np.divmod(disk.index, view.size)
    lon, lat = view.geometry.pixel_to_heliographic(column + 0.5, row + 0.5)
    y, x = np.indices((view.size, view.size)) + 0.5
    on_disk = np.isfinite(view.geometry.pixel_to_heliographic(x, y)[0])
    np.testing.assert_array_equal(np.flatnonzero(on_disk), disk.index)
    # float32, whose arcsine is good to a thousandth of a degree near the poles.
    apart = unit_vectors(lon, lat) - unit_vectors(disk.lon_deg, disk.lat_deg)
    assert np.degrees(np.abs(apart)).max() < 2e-3
    np.testing.assert_allclose(disk.rho.reshape(128, 128) < 1.0, on_disk)


def test_mu_is_the_cosine_between_the_normal_and_the_line_of_sight(view):
    disk, d = see(view), view.observer.distance_rsun
    normal = unit_vectors(disk.lon_deg, disk.lat_deg)
    to_observer = d * unit_vectors(view.observer.l0_deg, view.observer.b0_deg) - normal
    cosine = (normal * to_observer).sum(axis=1) / np.linalg.norm(to_observer, axis=1)
    np.testing.assert_allclose(disk.mu, cosine, atol=2e-4)


def test_points_of_the_surface_are_projected_as_image_geometry_does(view):
    lon, lat = np.random.default_rng(0).uniform((0.0, -90.0), (360.0, 90.0), (5000, 2)).T
    x, y, visible = view.project(unit_vectors(lon, lat))
    theirs = view.geometry.heliographic_to_pixel(lon, lat)
    np.testing.assert_allclose(x[visible], theirs[0][visible], atol=1e-8)
    np.testing.assert_allclose(y[visible], theirs[1][visible], atol=1e-8)
    np.testing.assert_array_equal(visible, theirs[2])
    assert 2000 < visible.sum() < 3000


def test_points_above_the_limb_are_seen_beyond_the_disk():
    view = VIEWS["whole Sun"]
    behind = unit_vectors(view.observer.l0_deg + np.array([95.0, 95.0]), np.zeros(2))
    x, y, visible = view.project(behind * np.array([[1.0], [1.05]]))
    assert visible.tolist() == [False, True]
    assert np.hypot(x[1] - 64.0, y[1] - 64.0) > view.radius
