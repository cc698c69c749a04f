import warnings
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from PIL import Image

from solartrack import _tables
from solartrack.simulate import Instrument, Merge, Region, SunModel, render, sequence, write
from solartrack.simulate._light import blur
from solartrack.simulate._sphere import View, earth, rectangle_box, rotation_deg_day

SIZE = 256


def region(number=1, **changes):
    values = {
        "id": number,
        "seed": number,
        "lat_deg": 15.0,
        "lon_deg": 0.0,
        "drift_deg_day": 0.0,
        "birth_days": -5.0,
        "rise_days": 2.0,
        "decay_days": 20.0,
        "life_days": 30.0,
        "separation_deg": 7.0,
        "tilt_deg": 6.0,
        "leading_sign": 1,
        "strength": 1.0,
    }
    return Region(**{**values, **changes})


@pytest.fixture(scope="module")
def model():
    return SunModel(2, days=10.0)


@pytest.fixture(scope="module")
def frame(model):
    return render(model, "2014-02-05T06:00:00", size=SIZE)


def at_disk_centre(**changes):
    """A model whose single region crosses the central meridian at its start."""
    model = SunModel(0, n_regions=0)
    longitude = earth(model.start).l0_deg
    lat = changes.get("lat_deg", 15.0)
    drift = float(rotation_deg_day(lat)) - 14.1844
    one = region(**{"lon_deg": longitude - drift * -5.0 * -1.0, "drift_deg_day": drift, **changes})
    return SunModel(0, regions=(one,))


def test_a_frame_depends_on_seed_and_time_alone(model, frame):
    render(model, "2014-02-09", size=SIZE)
    again = render(SunModel(2, days=10.0), "2014-02-05T06:00:00", size=SIZE)
    assert (again.array == frame.array).all()
    assert (again.boxes == frame.boxes).all() and (again.mask == frame.mask).all()
    other = render(SunModel(3, days=10.0), "2014-02-05T06:00:00", size=SIZE)
    assert (other.array != frame.array).mean() > 0.3


def test_noise_differs_from_frame_to_frame(model):
    quiet = Instrument(noise=0.0)
    a, b = (render(model, f"2014-02-05T06:00:0{s}", size=SIZE, output="intensity") for s in (0, 1))
    c, d = (
        render(model, f"2014-02-05T06:00:0{s}", size=SIZE, output="intensity", instrument=quiet)
        for s in (0, 1)
    )
    assert np.abs(a.array - b.array).mean() > 10 * np.abs(c.array - d.array).mean()


def test_display_values_are_bytes_bright_at_the_limb_and_dark_in_the_corners(frame):
    assert frame.array.dtype == np.uint8 and frame.array.shape == (SIZE, SIZE)
    y, x = np.indices(frame.array.shape) + 0.5
    r = np.hypot(x - SIZE / 2, y - SIZE / 2) / frame.header["R_SUN"]
    median = [np.median(frame.array[(r >= a) & (r < b)]) for a, b in ((0.3, 0.8), (0.98, 1.02), (1.08, 1.12))]
    assert median[1] > 1.4 * median[0] and median[1] > 2 * median[2] > 20
    assert (frame.array[r > 1.6] <= 1).all()


def test_radial_profile_is_that_of_a_real_aia_171_image(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unusual cards in the real header
        real = fits.getdata(shared / "data/aia/AIA20140101_0000_0171.fits", 1)
    radius = 975.96 / 2.4
    profile = []
    frames = [render(SunModel(s), "2014-02-05", size=1024, output="intensity") for s in (1, 2)]
    for image, scale in [(real, radius), *((f.array, f.header["R_SUN"]) for f in frames)]:
        y, x = np.indices(image.shape) + 0.5
        r = np.hypot(x - 512, y - 512) / scale
        edges = ((0.0, 0.6), (0.6, 0.9), (0.94, 0.98), (1.01, 1.02), (1.05, 1.07), (1.1, 1.12), (1.15, 1.2))
        profile.append([np.median(image[(r >= a) & (r < b)]) for a, b in edges])
    ratio = np.mean(profile[1:], axis=0) / profile[0]
    assert (ratio > 0.6).all() and (ratio < 1.7).all(), ratio


def test_boxes_lie_where_sunpy_projects_the_rectangles(model, frame):
    sunpy_coordinates = pytest.importorskip("sunpy.coordinates")
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # it adds MJD-OBS
        wcs = WCS(frame.header)
    place = SkyCoord(
        0 * u.deg,
        frame.header["HGLT_OBS"] * u.deg,
        frame.header["DSUN_OBS"] * u.m,
        frame=sunpy_coordinates.HeliographicStonyhurst(obstime=frame.header["DATE-OBS"]),
    )
    hpc = sunpy_coordinates.Helioprojective(observer=place, obstime=frame.header["DATE-OBS"])
    patches = {p.id: p for p in model.patches(frame.time)}
    assert len(frame.ids) >= 5
    for box, number in zip(frame.boxes, frame.ids, strict=True):
        p = patches[int(number)]
        # The filled rectangle, of which sunpy says what can be seen.
        lon, lat = np.meshgrid(np.linspace(p.west, p.east, 401), np.linspace(p.south, p.north, 201))
        points = SkyCoord(
            (lon.ravel() - frame.header["CRLN_OBS"]) * u.deg,
            lat.ravel() * u.deg,
            695.7e6 * u.m,
            frame=sunpy_coordinates.HeliographicStonyhurst(obstime=frame.header["DATE-OBS"]),
        ).transform_to(hpc)
        seen = points.is_visible()
        x, y = wcs.wcs_world2pix(points.Tx[seen].deg, points.Ty[seen].deg, 0)
        expected = [x.min() + 0.5, y.min() + 0.5, x.max() + 0.5, y.max() + 0.5]
        # At the horizon the grid stops up to a step short of it.
        assert box == pytest.approx(expected, abs=0.02 if seen.all() else 0.25)


def test_a_rectangle_box_at_the_limb_reaches_the_limb():
    view = View(earth(SunModel(0).start, b0_deg=0.0), (512.0, 512.0), 2.4, 1024)
    l0 = view.observer.l0_deg
    box = rectangle_box(view, l0 + 80, l0 + 100, -5.0, 5.0)
    assert box[2] == pytest.approx(512 + view.radius, abs=1e-3)
    assert rectangle_box(view, l0 + 95, l0 + 110, -5.0, 5.0) is None
    sliver = rectangle_box(view, l0 + 89.0, l0 + 110, -0.5, 0.5)
    assert 0 < sliver[2] - sliver[0] < 0.2


def test_a_region_emerges_over_the_east_limb_and_grows_into_its_full_box():
    model = SunModel(0, n_regions=0)
    l0 = earth(model.start).l0_deg
    one = region(lon_deg=l0 - 97.0, birth_days=0.0, life_days=30.0)
    model = SunModel(0, regions=(one,))
    width = []
    for day in np.arange(0.0, 3.0, 0.25):
        time = model.start + timedelta(days=float(day))
        frame = render(model, time, size=SIZE, channel="magnetogram")
        width.append(0.0 if len(frame.ids) == 0 else frame.boxes[0, 2] - frame.boxes[0, 0])
    assert width[0] == 0.0
    assert width[-1] > 4
    assert (np.diff(width) >= 0).all()


def test_loops_show_above_the_limb_before_the_region_does():
    model = SunModel(0, n_regions=0)
    l0 = earth(model.start).l0_deg
    hidden = SunModel(0, regions=(region(lon_deg=l0 + 108.0, separation_deg=9.0, strength=1.5),))
    instrument = Instrument(noise=0.0)
    lit = render(hidden, "2014-02-01", size=SIZE, output="intensity", instrument=instrument)
    dark = render(model, "2014-02-01", size=SIZE, output="intensity", instrument=instrument)
    assert len(lit.ids) == 0
    extra = lit.array - dark.array
    y, x = np.indices(extra.shape) + 0.5
    r = np.hypot(x - SIZE / 2, y - SIZE / 2) / lit.header["R_SUN"]
    beyond = (r > 1.01) & (r < 1.15) & (x > SIZE / 2) & (np.abs(y - SIZE * 0.6) < SIZE * 0.12)
    assert extra[beyond].max() > 100


@pytest.mark.parametrize("lat", [5.0, -30.0])
def test_a_region_moves_as_the_rotation_law_says(lat):
    model = at_disk_centre(lat_deg=lat)
    frames = [
        render(model, model.start + timedelta(days=d), size=1024, channel="magnetogram") for d in (0, 2)
    ]
    places = []
    for f in frames:
        centre = 0.5 * (f.boxes[0, :2] + f.boxes[0, 2:])
        places.append((centre[0] - 512) / (f.header["R_SUN"] * np.cos(np.radians(lat))))
    turned = np.degrees(np.arcsin(places[1]) - np.arcsin(places[0]))
    synodic = float(rotation_deg_day(lat)) - 0.9856
    assert turned / 2 == pytest.approx(synodic, rel=0.02)


def test_the_texture_moves_with_the_sun():
    model = SunModel(5, n_regions=0, b0_deg=0.0)
    instrument = Instrument(noise=0.0)
    hours = 3.0
    a, b = (
        render(model, model.start + timedelta(hours=h), size=1024, output="intensity", instrument=instrument)
        for h in (0.0, hours)
    )
    rows = slice(480, 544)
    strip_a, strip_b = a.array[rows, 400:624], b.array[rows]
    score = [np.corrcoef(strip_a.ravel(), strip_b[:, 400 + s : 624 + s].ravel())[0, 1] for s in range(60)]
    expected = np.radians((14.713 - 0.9856) * hours / 24) * a.header["R_SUN"]
    assert int(np.argmax(score)) == pytest.approx(expected, abs=1.5)
    assert 0.5 < max(score) < 0.9999


def test_masks_lie_inside_their_boxes(model):
    seen = 0
    for day in (1.0, 4.0, 8.0):
        frame = render(model, model.start + timedelta(days=day), size=512)
        assert set(np.unique(frame.mask)) <= {0, *frame.ids.tolist()}
        for box, number in zip(frame.boxes, frame.ids, strict=True):
            row, col = np.nonzero(frame.mask == number)
            if len(row) == 0:
                continue
            seen += 1
            assert box[0] <= col.min() + 0.5 and col.max() + 0.5 <= box[2]
            assert box[1] <= row.min() + 0.5 and row.max() + 0.5 <= box[3]
    assert seen >= 10


def test_the_mask_of_a_grown_region_fills_a_good_part_of_its_box():
    frame = render(at_disk_centre(), "2014-02-01", size=1024)
    box, area = frame.boxes[0], (frame.mask == 1).sum()
    share = area / np.prod(box[2:] - box[:2])
    assert 0.2 < share < 1.0


def test_the_euv_region_is_bright_inside_its_box():
    frame = render(at_disk_centre(), "2014-02-01", size=512)
    x0, y0, x1, y1 = frame.boxes[0].round().astype(int)
    inside = frame.array[y0:y1, x0:x1].mean()
    assert inside > 1.8 * np.median(frame.array[156:356, 156:356])


def test_identities_last_and_a_merger_makes_the_box_jump():
    model = SunModel(0, n_regions=0)
    l0 = earth(model.start).l0_deg
    a, b = region(1, lon_deg=l0 - 20), region(2, lon_deg=l0 - 4, birth_days=-1.0)
    model = SunModel(0, regions=(a, b), merges=(Merge(1.0, 1, 2),))
    frames = list(sequence(model, 13, "4h", size=SIZE))
    assert [f.ids.tolist() for f in frames] == [[1, 2]] * 6 + [[1]] * 7
    first = np.array([f.boxes[0] for f in frames])
    step = np.diff(first[:, 2])
    assert step[5] > 4 * np.median(step)
    assert first[6, 2] == pytest.approx(frames[5].boxes[1, 2], abs=6)
    # The flux of the absorbed one carries the older id from then on.
    assert set(np.unique(frames[7].mask)) == {0, 1}
    assert (frames[7].mask == 1).sum() > 1.3 * (frames[5].mask == 1).sum()


def test_ephemeral_regions_are_seen_but_not_catalogued(model):
    still = Instrument(noise=0.0)
    bare = SunModel(2, days=10.0, ephemeral=())
    with_small, without = (
        render(m, "2014-02-05", size=512, output="intensity", instrument=still) for m in (model, bare)
    )
    assert (with_small.boxes == without.boxes).all() and (with_small.ids == without.ids).all()
    brighter = (with_small.array - without.array) > 150
    assert 50 < brighter.sum() < 0.05 * brighter.size


def test_successive_frames_change_as_fast_as_real_ones():
    """Four AIA 171 images within 80 minutes keep 0.90 to 0.96 of their correlation."""
    model = SunModel(5)
    frames = [
        render(model, model.start + timedelta(days=3, minutes=m)).array[270:370].astype(float)
        for m in (0, 80)
    ]
    turned = max(np.corrcoef(frames[0][:, 450:600].ravel(), frames[1][:, 450 + s : 600 + s].ravel())[0, 1]
                 for s in range(8))  # fmt: skip
    assert 0.85 < turned < 0.985


def test_rows_without_a_visible_part_are_absent(frame, model):
    assert len(frame.ids) == len(frame.boxes) == len(set(frame.ids.tolist()))
    assert len(frame.ids) < len(model.patches(frame.time))
    assert (frame.boxes[:, 2:] > frame.boxes[:, :2]).all()
    assert frame.boxes.min() >= 0 and frame.boxes.max() <= SIZE


def test_the_header_tells_sunpy_everything(frame):
    sunpy_map = pytest.importorskip("sunpy.map")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = sunpy_map.Map(frame.array, frame.header)
        centre = seen.world_to_pixel(seen.pixel_to_world(*(seen.reference_pixel)))
    assert centre.x.value == pytest.approx((SIZE - 1) / 2)
    assert seen.rsun_obs.to_value("arcsec") == pytest.approx(frame.header["RSUN_OBS"])
    assert seen.observer_coordinate.lat.deg == pytest.approx(frame.header["CRLT_OBS"])
    assert seen.observer_coordinate.radius.to_value("m") == pytest.approx(frame.header["DSUN_OBS"])
    assert seen.scale[0].value == pytest.approx(2.4 * 1024 / SIZE)
    # The limb of the picture is where the header says.
    assert frame.header["R_SUN"] * frame.header["CDELT1"] == pytest.approx(frame.header["RSUN_OBS"], rel=2e-5)


def test_a_magnetogram_is_balanced_and_blank_beyond_the_limb():
    frame = render(at_disk_centre(), "2014-02-01", size=1024, channel="magnetogram")
    field = frame.array
    assert field.dtype == np.float32
    y, x = np.indices(field.shape) + 0.5
    r = np.hypot(x - 512, y - 512) / frame.header["R_SUN"]
    assert np.isnan(field[r > 1.001]).all() and np.isfinite(field[r < 0.999]).all()
    x0, y0, x1, y1 = frame.boxes[0].round().astype(int)
    patch = field[y0:y1, x0:x1]
    assert 800 < np.abs(patch).max() < 3500
    assert abs(patch.sum()) < 0.25 * np.abs(patch).sum()
    # Leading (western) polarity is the positive one here.
    strong = np.abs(patch) > 200
    columns = np.indices(patch.shape)[1]
    assert columns[strong & (patch > 0)].mean() > columns[strong & (patch < 0)].mean()
    quiet = np.nanstd(field[600:700, 100:300])
    assert 4 < quiet < 40


def test_the_continuum_shows_spots_where_the_field_is_strong_on_a_disk_that_is_darker_at_the_limb():
    seen, field = (
        render(at_disk_centre(), "2014-02-01", size=1024, channel=channel, output="intensity")
        for channel in ("continuum", "magnetogram")
    )
    assert seen.array.dtype == np.float32 and "BUNIT" not in seen.header
    y, x = np.indices(seen.array.shape) + 0.5
    r = np.hypot(x - 512, y - 512) / seen.header["R_SUN"]
    assert (np.abs(seen.array[r > 1.05]) < 0.02).all()
    quiet = np.abs(np.nan_to_num(field.array)) < 40
    rings = [np.median(seen.array[quiet & (abs(r - at) < 0.02)]) for at in (0.0, 0.5, 0.9)]
    assert rings[0] == pytest.approx(1.0, abs=0.03) and rings[0] > rings[1] > rings[2] > 0.6
    spot = np.abs(np.nan_to_num(field.array)) > 1900
    assert spot.any() and np.median(seen.array[spot & (r < 0.5)]) < 0.5
    shown = render(at_disk_centre(), "2014-02-01", size=1024, channel="continuum")
    assert shown.array.dtype == np.uint8 and shown.header["CONTENT"] == "CONTINUUM INTENSITY"
    np.testing.assert_array_equal(shown.boxes, field.boxes)


def test_an_eight_bit_magnetogram_lies_around_the_middle_and_is_black_off_the_disk(model):
    frame = render(model, "2014-02-05", size=SIZE, channel="magnetogram", output="display")
    assert frame.array.dtype == np.uint8
    assert frame.array[0, 0] == 0
    assert np.median(frame.array[64:192, 64:192]) == pytest.approx(128, abs=2)


def test_instruments_vary(model):
    plain = render(model, "2014-02-05", size=SIZE)
    bright = render(model, "2014-02-05", size=SIZE, instrument=Instrument(gain=2.0))
    assert bright.array.mean() > 1.2 * plain.array.mean()
    dark = render(model, "2014-02-05", size=SIZE, instrument=Instrument(contrast=2.0))
    assert dark.array.mean() < 0.7 * plain.array.mean()
    soft = render(model, "2014-02-05", size=SIZE, instrument=Instrument(blur_arcsec=20.0, noise=0.0))
    assert (
        np.abs(np.diff(soft.array.astype(int))).mean() < 0.8 * np.abs(np.diff(plain.array.astype(int))).mean()
    )
    deep = render(model, "2014-02-05", size=SIZE, instrument=Instrument(bit_depth=12))
    assert deep.array.dtype == np.uint16 and 255 < deep.array.max() <= 4095
    moved = render(model, "2014-02-05", size=SIZE, instrument=Instrument(offset_px=(5.0, -3.0)))
    assert moved.boxes == pytest.approx(plain.boxes + np.array([5, -3, 5, -3]))
    assert moved.header["CRPIX1"] == plain.header["CRPIX1"] + 5
    close = render(model, "2014-02-05", size=SIZE, instrument=Instrument(arcsec_per_pixel=4.0))
    assert close.header["R_SUN"] == pytest.approx(plain.header["R_SUN"] * 9.6 / 4.0)
    assert close.boxes.max() <= SIZE


@pytest.mark.parametrize("channel", ["171", "magnetogram"])
def test_a_sun_outside_the_image_or_larger_than_it_is_rendered_too(model, channel):
    outside = render(
        model, "2014-02-05", size=SIZE, channel=channel, instrument=Instrument(offset_px=(5000.0, 0.0))
    )
    assert len(outside.ids) == 0 and not outside.mask.any()
    assert np.isnan(outside.array).all() if channel == "magnetogram" else (outside.array <= 1).all()
    close = Instrument(arcsec_per_pixel=1.2, offset_px=(100.0, -80.0))
    inside = render(model, "2014-02-05", size=SIZE, channel=channel, instrument=close)
    assert np.isfinite(inside.array).all()
    assert (inside.boxes >= 0).all() and (inside.boxes <= SIZE).all()


@pytest.mark.parametrize("sigma", [0.7, 1.9, 3.0, 9.0])
def test_blur_has_the_width_asked_for_and_keeps_the_light(sigma):
    image = np.zeros((129, 140), np.float32)
    image[60:64, 70:74] = 1.0
    soft = blur(image, sigma)
    assert soft.shape == image.shape
    assert soft.sum() == pytest.approx(16.0, rel=1e-4)
    x = np.arange(140)
    column = soft.sum(axis=0) / soft.sum()
    centre = (column * x).sum()
    width = np.sqrt((column * (x - centre) ** 2).sum())
    assert centre == pytest.approx(71.5, abs=0.1 + 0.1 * sigma)
    assert width == pytest.approx(np.hypot(sigma, np.sqrt(15 / 12)), rel=0.06)


def test_scales_agree_about_the_picture(model):
    small, large = (
        render(model, "2014-02-05", size=n, output="intensity", instrument=Instrument(noise=0.0)).array
        for n in (SIZE, 4 * SIZE)
    )
    reduced = large.reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))
    assert np.corrcoef(np.sqrt(small.ravel()), np.sqrt(reduced.ravel()))[0, 1] > 0.97
    assert small.mean() == pytest.approx(reduced.mean(), rel=0.1)


def test_boxes_scale_with_the_image(model):
    small, large = (render(model, "2014-02-05", size=n) for n in (SIZE, 2 * SIZE))
    assert large.boxes == pytest.approx(2 * small.boxes)


def test_dropped_frames_are_missing_and_the_others_unchanged():
    whole = list(sequence(7, 6, "4h", size=64))
    some = list(sequence(7, 6, "4h", size=64, drop=[2, 3]))
    assert [f.time for f in some] == [whole[i].time for i in (0, 1, 4, 5)]
    assert (some[2].array == whole[4].array).all()
    thin = list(sequence(7, 40, "30min", size=64, drop=0.5, channel="magnetogram"))
    assert 10 < len(thin) < 30
    assert thin[0].time == whole[0].time
    again = sequence(7, 40, "30min", size=64, drop=0.5, channel="magnetogram")
    assert [f.time for f in again] == [f.time for f in thin]


def test_fits_files_come_back_with_geometry_and_truth(tmp_path):
    frames = list(sequence(2, 2, "4h", size=128))
    table = write(tmp_path, frames)
    with fits.open(tmp_path / "frame_0001.fits") as opened:
        assert (opened[0].data == frames[1].array).all()
        for key in ("CRPIX1", "CDELT1", "RSUN_OBS", "CRLN_OBS", "DATE-OBS"):
            assert opened[0].header[key] == frames[1].header[key]
    read = _tables.read_csv(tmp_path / "truth.csv", numbers=True)  # exact floats, in every pandas
    assert read.drop(columns="time").equals(table.drop(columns="time"))
    second = read[read["frame"] == 1]
    assert second["id"].tolist() == frames[1].ids.tolist()
    assert second[["x0", "y0", "x1", "y1"]].to_numpy() == pytest.approx(frames[1].boxes)


def test_png_files_have_north_up_and_their_truth_is_turned_with_them(tmp_path):
    model = at_disk_centre(lat_deg=25.0)
    frames = list(sequence(model, 1, "4h", size=SIZE))
    table = write(tmp_path, frames, format="png")
    stored = np.asarray(Image.open(tmp_path / "frame_0000.png"))
    assert (stored == frames[0].array[::-1]).all()
    box = table.loc[0, ["x0", "y0", "x1", "y1"]].to_numpy(float)
    assert box[1] < SIZE / 2  # a northern region, above the middle
    x0, y0, x1, y1 = box.round().astype(int)
    assert stored[y0:y1, x0:x1].mean() > 1.5 * np.median(stored[100:156, 100:156])
    geometry = pd.read_csv(tmp_path / "frames.csv")
    assert geometry["center_y"][0] == SIZE / 2
    assert geometry["radius_px"][0] == pytest.approx(frames[0].header["R_SUN"])


def test_writing_refuses_what_it_cannot_keep(tmp_path):
    with pytest.raises(ValueError, match="'fits' or 'png'"):
        write(tmp_path, [], format="jpg")
    with pytest.raises(ValueError, match="empty"):
        write(tmp_path, [])
    gauss = sequence(1, 1, size=64, channel="magnetogram")
    with pytest.raises(ValueError, match="output='display'"):
        write(tmp_path / "a", gauss, format="png")
    write(tmp_path / "b", sequence(1, 1, size=64))
    with pytest.raises(FileExistsError, match="already holds"):
        write(tmp_path / "b", sequence(1, 1, size=64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: render(m, "2014-02-05", channel="304"), "171, 193, magnetogram, continuum"),
        (lambda m: render(m, "2014-02-05", size=10), "64 to 8192"),
        (lambda m: render(m, "2014-02-05", size=100.5), "64 to 8192"),
        (lambda m: render(m, "2014-02-05", output="float"), "'display' or 'intensity'"),
        (lambda m: render(m, "2015-02-05"), "give SunModel an earlier start or more days"),
        (lambda m: render(m, "2014-02-05T00:00:00+00:00"), "without a time zone"),
        (lambda m: sequence(m, 0), "n_images"),
        (lambda m: sequence(m, 3, "0h"), "cadence must be positive"),
        (lambda m: sequence(m, 3, drop=1.0), "drop"),
        (lambda m: sequence(m, 3, drop=[3]), "0 to 2"),
        (lambda m: sequence(m, 400), "more days"),
        (lambda m: Instrument(gain=0.0), "gain"),
        (lambda m: Instrument(noise=-1.0), "noise"),
        (lambda m: Instrument(bit_depth=17), "bit_depth"),
        (lambda m: Instrument(offset_px=(np.nan, 0.0)), "offset_px"),
        (lambda m: Instrument(arcsec_per_pixel=-1.0), "arcsec_per_pixel"),
    ],
)
def test_bad_arguments_are_named(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_time_that_is_no_time_is_a_type_error(model):
    with pytest.raises(TypeError, match="astropy Time"):
        render(model, 5)


def test_astropy_times_and_datetime64_are_taken(model):
    from astropy.time import Time

    expected = render(model, "2014-02-05", size=64).array
    assert (render(model, Time("2014-02-05"), size=64).array == expected).all()
    assert (render(model, np.datetime64("2014-02-05"), size=64).array == expected).all()


def test_a_replaced_region_keeps_its_own_rectangle():
    one = replace(region(), rectangle_deg=(-4.0, 5.0, -2.0, 3.0))
    assert SunModel(0, regions=(one,)).regions[0].rectangle_deg == (-4.0, 5.0, -2.0, 3.0)
