from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from solartrack.simulate import Merge, Region, SunModel
from solartrack.simulate._sphere import earth, rotation_deg_day

START = datetime(2014, 2, 1)


def region(number=1, **changes):
    values = {
        "id": number,
        "seed": number,
        "lat_deg": 15.0,
        "lon_deg": 100.0,
        "drift_deg_day": 0.2,
        "birth_days": -5.0,
        "rise_days": 2.0,
        "decay_days": 10.0,
        "life_days": 30.0,
        "separation_deg": 6.0,
        "tilt_deg": 6.0,
        "leading_sign": 1,
        "strength": 1.0,
    }
    return Region(**{**values, **changes})


def test_the_same_seed_gives_the_same_history_and_another_seed_another():
    assert SunModel(4) == SunModel(4)
    assert SunModel(4).regions != SunModel(5).regions


def test_the_number_of_regions_alive_is_the_one_asked_for():
    models = [SunModel(seed, n_regions=20) for seed in range(12)]
    counts = [sum(r.lives(day) for r in m.regions) for m in models for day in (0.0, 7.0, 13.0)]
    assert 16 < np.mean(counts) < 25


def test_a_quiet_sun_has_no_regions():
    model = SunModel(1, n_regions=0)
    assert model.regions == ()
    assert model.patches(START) == []
    assert model.events().empty


def test_rectangles_have_the_sizes_of_real_ones():
    regions = [r for seed in range(8) for r in SunModel(seed).regions]
    sides = np.array([r.rectangle_deg for r in regions])
    width, height = sides[:, 1] - sides[:, 0], sides[:, 3] - sides[:, 2]
    assert width.min() > 2.0 and width.max() < 32
    assert height.min() > 1.5 and height.max() < 20
    assert 6 < np.median(width) < 14 and 3 < np.median(height) < 8


def test_hale_and_joy_rule_the_regions():
    regions = [r for seed in range(10) for r in SunModel(seed).regions]
    north = [r.leading_sign for r in regions if r.lat_deg > 0]
    south = [r.leading_sign for r in regions if r.lat_deg < 0]
    assert np.mean(north) < -0.8 and np.mean(south) > 0.8
    high = [r.tilt_deg for r in regions if abs(r.lat_deg) > 20]
    low = [r.tilt_deg for r in regions if abs(r.lat_deg) < 12]
    assert np.mean(high) > np.mean(low) + 2
    for r in regions[:40]:
        # Positive tilt: the leading (western) polarity is nearer to the equator.
        f = replace(r, tilt_deg=20.0).fragments(r.birth_days + r.rise_days)
        leading = np.sign(f.peak_gauss) == r.leading_sign
        weight = np.abs(f.peak_gauss) * f.sigma_deg**2
        west = np.average(f.x_deg[leading], weights=weight[leading])
        east = np.average(f.x_deg[~leading], weights=weight[~leading])
        y_lead = np.average(f.y_deg[leading], weights=weight[leading])
        y_follow = np.average(f.y_deg[~leading], weights=weight[~leading])
        assert west > east
        assert abs(r.lat_deg + y_lead) < abs(r.lat_deg + y_follow)


def test_flux_grows_then_decays_and_is_absent_before_birth_and_after_death():
    r = region()
    flux = [r.flux(day) for day in (-6.0, -5.0, -4.0, -3.0, 0.0, 10.0, 24.99, 26.0)]
    assert flux[0] == flux[1] == 0.0
    assert flux[2] < flux[3] == pytest.approx(1.0)
    assert flux[3] > flux[4] > flux[5] > flux[6] >= 0.0
    assert flux[7] == 0.0


def test_the_rectangle_holds_the_field_for_the_whole_life():
    for r in SunModel(3).regions:
        west, east, south, north = r.rectangle_deg
        stretch = np.cos(np.radians(r.lat_deg))
        for day in np.linspace(r.birth_days, r.death_days, 40)[1:-1]:
            f = r.fragments(day)
            strong = np.abs(f.peak_gauss) > 30.0
            assert (f.x_deg[strong] > west * stretch - 0.2).all()
            assert (f.x_deg[strong] < east * stretch + 0.2).all()
            assert (f.y_deg[strong] > south - 0.2).all() and (f.y_deg[strong] < north + 0.2).all()


def test_a_rectangle_rotates_at_the_rate_of_its_centre_latitude():
    model = SunModel(6, merging=0.0)
    for r in model.regions:
        if not (r.lives(2.0) and r.lives(6.0)):
            continue
        patches = [
            next(p for p in model.patches(START + timedelta(days=d)) if p.id == r.id) for d in (2.0, 6.0)
        ]
        carrington = 14.1844
        assert patches[1].west - patches[0].west == pytest.approx(
            4 * (rotation_deg_day(r.lat_deg) - carrington)
        )
        assert patches[1].east - patches[1].west == pytest.approx(patches[0].east - patches[0].west)


def test_a_merger_joins_both_rectangles_under_the_older_id_at_its_moment():
    a = region(1, lon_deg=355.0)
    b = region(2, lon_deg=8.0, lat_deg=17.0, birth_days=-1.0)  # across the zero meridian
    model = SunModel(0, regions=(a, b), merges=(Merge(3.0, 1, 2),), start=START)
    before = model.patches(START + timedelta(days=2.999))
    after = model.patches(START + timedelta(days=3.0))
    assert [p.id for p in before] == [1, 2]
    assert [p.id for p in after] == [1]
    (union,) = after
    assert union.west == pytest.approx(model.regions[0].rectangle_at(3.0)[0])
    assert union.east == pytest.approx(model.regions[1].rectangle_at(3.0)[1] + 360.0)
    assert union.north == pytest.approx(
        max(model.regions[0].rectangle_at(3.0)[3], model.regions[1].rectangle_at(3.0)[3])
    )
    later = model.patches(START + timedelta(days=6.0))[0]
    assert later.west - union.west == pytest.approx(3 * a.drift_deg_day)
    assert later.east - later.west == pytest.approx(union.east - union.west)


def test_a_merged_patch_lives_as_long_as_either_part():
    a, b = region(1, life_days=10.0), region(2, lon_deg=112.0)
    model = SunModel(0, regions=(a, b), merges=(Merge(3.0, 1, 2),))
    assert [p.id for p in model.patches(START + timedelta(days=9.0))] == [1]
    death = model.events().query("event == 'death'")
    assert death.empty  # both outlive the model


def test_drawn_mergers_keep_the_older_id_and_both_parts_alive():
    merged = 0
    for seed in range(6):
        model = SunModel(seed, merging=0.5)
        by_id = {r.id: r for r in model.regions}
        for days, kept, absorbed in model.merges:
            assert kept < absorbed
            assert by_id[kept].lives(days) and by_id[absorbed].lives(days)
            merged += days >= 0
    assert merged >= 5


def test_events_are_in_order_and_agree_with_the_patches():
    model = SunModel(2, merging=0.4, days=20)
    events = model.events()
    assert {"birth", "merge", "death"} == set(events["event"])
    assert events["time"].is_monotonic_increasing
    for row in events.itertuples():
        moment = row.time.to_pydatetime()
        if not model.start + timedelta(minutes=2) < moment < model.start + timedelta(days=19.99):
            continue
        before = {p.id for p in model.patches(moment - timedelta(minutes=1))}
        after = {p.id for p in model.patches(moment + timedelta(minutes=1))}
        if row.event == "birth":
            assert row.id in after - before
        else:
            assert row.id in before - after
        if row.event == "merge":
            assert row.into in after
    assert events["into"].notna().sum() == (events["event"] == "merge").sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"n_regions": -1}, "n_regions"),
        ({"days": 0}, "days"),
        ({"merging": 2.0}, "merging"),
        ({"b0_deg": 95.0}, "b0_deg"),
        ({"start": "yesterday"}, "ISO 8601"),
        ({"regions": (region(1), region(1))}, "distinct"),
        ({"regions": (region(1),), "merges": (Merge(1.0, 1, 2),)}, "names a region"),
    ],
)
def test_bad_model_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SunModel(**{"seed": 0, **arguments})


def test_a_time_outside_the_history_is_refused():
    with pytest.raises(ValueError, match="more days"):
        SunModel(0, days=2).patches("2014-02-04")


def test_the_observer_is_where_sunpy_puts_the_earth():
    pytest.importorskip("sunpy")
    from sunpy.coordinates import sun

    for time in ("2011-02-15", "2014-02-03T00:10:11", "2017-09-05", "2022-06-30"):
        observer = earth(datetime.fromisoformat(time))
        assert observer.b0_deg == pytest.approx(sun.B0(time).deg, abs=0.02)
        assert (observer.l0_deg - sun.L0(time).deg + 180) % 360 - 180 == pytest.approx(0.0, abs=0.06)
        assert observer.distance_m == pytest.approx(sun.earth_distance(time).to_value("m"), rel=1e-4)
