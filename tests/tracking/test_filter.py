import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles
from solartrack.errors import GeometryError
from solartrack.sequence import Frame
from solartrack.tracking.filter import DEFAULT, FilterSettings, Region, project

BELIEVED, FOUND, PATIENCE = DEFAULT.gate, DEFAULT.recovery_gate, DEFAULT.max_misses
DISK = ImageGeometry.from_disk((512, 512), 400, b0_deg=4.0)
#: A box somewhat east of disk centre, and how sure a good answer is of its sides, pixels.
MIDDLE = np.array([380.0, 420.0, 460.0, 470.0])
SHARP = np.full(4, 0.5)


def meta(days, geometry=DISK, frame=0):
    return Frame(frame, mjd_tai=days, geometry=geometry, shape=(1024, 1024))


def region(box=MIDDLE, **where):
    return Region(np.asarray(box, float), meta(0.0, **where))


def predict(made, where):
    made.predict(where)
    project([made])
    return made.prediction()


def correct(made, found, spread, score, with_template=True):
    if made.correct(np.asarray(found, float), spread, score, with_template=with_template):
        project([made])
    return made.result()


def box_of(rectangle, days=0.0):
    return rectangles_to_boxes(rotate_rectangles(rectangle, days), DISK)[0][0]


# -- constants ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("process_noise", 0.12, "2 finite"),
        ("process_noise", (0.04, np.nan), "2 finite"),
        ("process_noise", (0.04, 0.1, 0.2), "2 finite"),
        ("inward_noise", (1.0, 5.0), "one finite"),
        ("inward_noise", np.inf, "one finite"),
        ("gate", "high", "one finite"),
        ("gate", None, "one finite"),
        ("max_misses", "3", "one finite"),
        ("max_misses", (3,), "one finite"),
        ("score_calibration", ((0.0, 1.0), (0.0,)), "2 rows of finite"),
        ("score_calibration", 0.5, "2 rows of finite"),
        ("score_calibration", ((), ()), "2 rows of finite"),
    ],
)
def test_constants_that_are_none_are_refused_by_name(name, value, wanted):
    with pytest.raises(ValueError, match=f"{name} must be .*{wanted}"):
        FilterSettings(**{name: value})


def test_constants_may_be_lists_as_json_has_them():
    assert FilterSettings(**DEFAULT.as_dict()).as_dict() == DEFAULT.as_dict()


# -- weighing answers --------------------------------------------------------------


def test_a_side_that_has_been_seen_for_days_goes_less_than_half_the_way_of_an_unsure_answer():
    made = region()
    for day in np.arange(1, 13) / 3:
        where = predict(made, meta(day)).box
        correct(made, where, SHARP * 2, 0.9)
    where = predict(made, meta(4.34)).box
    off = 0.25 * (where[2] - where[0])
    step = correct(made, np.add(where, [0, 0, off, 0]), SHARP * 8, 0.9)
    assert step.state == "tracked"
    assert 0.0 < step.box[2] - where[2] < 0.5 * off
    np.testing.assert_allclose(step.box[[0, 1, 3]], where[[0, 1, 3]], atol=0.05 * off)


@pytest.mark.parametrize("side", range(4))
def test_an_answer_that_makes_the_box_smaller_counts_less_than_one_that_makes_it_larger(side):
    moves = []
    for sign in (-1.0, 1.0):
        made = region()
        where = predict(made, meta(1.0)).box
        off = np.zeros(4)
        off[side] = 8.0 * sign
        moves.append(abs(correct(made, where + off, SHARP * 16, 0.9).box - where)[side])
    outward, inward = moves if side < 2 else moves[::-1]
    assert 0.0 < inward < 0.5 * outward


def test_backwards_in_time_it_is_one_that_makes_the_box_larger():
    made = region()
    predict(made, meta(1.0))
    correct(made, made.prediction().box, SHARP, 0.9)
    for day, smaller, larger in (
        (1.0, True, False),
        (1.5, True, False),
        (0.5, False, True),
        (0.5, False, True),
    ):
        where = predict(made, meta(day)).box
        inside, outside = (made._doubt(where + sign * np.array([4.0, 4, -4, -4])) for sign in (1, -1))
        assert ((inside > 1.0).all(), (outside > 1.0).all()) == (smaller, larger)


def test_a_region_that_began_at_the_limb_is_uncovered_in_either_direction():
    for near, far, days in ((-70, -112, 1.0), (70, 112, -1.0)):
        made = region(box_of([min(near, far), 8.0, max(near, far), 22.0]))
        where = predict(made, meta(days)).box
        assert (made._doubt(np.add(where, [-4.0, -4, 4, 4])) == 1.0).all()
        assert (made._doubt(np.add(where, [4.0, 4, -4, -4])) > 1.0).all()


def test_a_box_that_only_moves_is_followed_as_readily_in_any_direction():
    plain = FilterSettings(inward_noise=1.0)
    for shift in ([8.0, 0, 8, 0], [-8.0, 0, -8, 0], [0, 5.0, 0, 5], [-3.0, 4, -3, 4]):
        made, other = region(), Region(MIDDLE, meta(0.0), plain)
        where, _ = (predict(one, meta(1.0)).box for one in (made, other))
        moved, expected = (correct(one, where + shift, SHARP * 4, 0.9).box for one in (made, other))
        np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_without_rotation_a_box_becomes_smaller_as_readily_as_larger():
    boxes = []
    for sign in (-1.0, 1.0):
        made = region(geometry=None)
        where = predict(made, meta(1.0, geometry=None)).box
        boxes.append(correct(made, where + sign * np.array([-6.0, -6, 6, 6]), SHARP * 4, 0.9).box - where)
    np.testing.assert_allclose(boxes[0], -boxes[1], atol=1e-9)


@given(st.lists(st.integers(-60, 60), min_size=4, max_size=4))
def test_doubt_is_between_none_and_the_constant_and_none_if_the_box_does_not_become_smaller(off):
    made = region()
    where = predict(made, meta(1.0)).box
    off = np.array(off, dtype=float)
    doubt = made._doubt(where + off)
    assert ((doubt >= 1.0) & (doubt <= DEFAULT.inward_noise)).all()
    inward = off * [1.0, 1, -1, -1]
    assert (doubt[inward <= 0.0] == 1.0).all()
    for axis in (0, 1):
        if inward[axis] + inward[axis + 2] <= 0.0:
            np.testing.assert_allclose(doubt[[axis, axis + 2]], 1.0, atol=1e-6)


@pytest.mark.parametrize(("near", "far", "seen", "hidden"), [(-70, -112, 2, 0), (70, 112, 0, 2)], ids=["east", "west"])  # fmt: skip
def test_a_side_that_was_hidden_takes_the_answer(near, far, seen, hidden):
    """Both ways: what comes over the east limb later, came from the west limb before."""
    rectangle = [min(near, far), 8.0, max(near, far), 22.0]
    made = region(box_of(rectangle))
    days = 3.0 if near < 0 else -3.0
    guess = predict(made, meta(days)).box
    truth = box_of(rectangle, days)
    # The guess is the usual shape, the region is wider.
    before = np.abs(guess - truth)
    assert before[hidden] > 40.0 > 10.0 > before[seen]
    after = np.abs(correct(made, truth, SHARP, 0.9, with_template=False).box - truth)
    assert after[hidden] < 0.25 * before[hidden]


@pytest.mark.parametrize(("near", "far", "hidden"), [(-70, -112, 0), (70, 112, 2)], ids=["east", "west"])
def test_what_is_drawn_otherwise_at_the_limb_does_not_keep_it_from_the_side_that_was_hidden(
    near, far, hidden
):
    rectangle = [min(near, far), 8.0, max(near, far), 22.0]
    made = region(box_of(rectangle))
    made.initialize(np.add(box_of(rectangle), [-6.0, -6, 6, 6]), SHARP * 8, 0.5, with_template=False)
    for day in (1.0, 2.0, 3.0):
        days = day if near < 0 else -day
        guess, truth = predict(made, meta(days)).box, box_of(rectangle, days)
        before, after = (
            np.abs(box - truth) for box in (guess, correct(made, truth, SHARP * 8, 0.5, False).box)
        )
        assert after[hidden] < max(0.35 * before[hidden], 2.5), day
        # Sides that have been seen from the start on, too.
        assert after.max() < 7.0


def test_a_region_that_grows_is_followed_within_days():
    east = [230.0, 420, 300, 470]
    made, apart = region(east), []
    for day in np.arange(1, 33) / 4:
        predict(made, meta(day))
        where = predict(region(east), meta(day)).box
        off = 0.25 * (where[2] - where[0]) * (day > 4)
        x1 = correct(made, np.add(where, [0, 0, off, 0]), SHARP * 16, 0.9).box[2]
        apart.append((where[2] + off - x1) / max(off, 1.0))
    # At first it may be how the network draws it by now.
    assert apart[16] > 0.5 and apart[-1] < 0.5


def test_what_the_network_draws_otherwise_from_the_start_moves_the_box_late_and_little():
    """After a day two thirds of what it comes to otherwise, a third south and north, where it lasts longer."""
    plain, told = region(), region()
    otherwise = np.array([-6.0, -6, 6, 6])
    plain.initialize(plain.prediction().box, SHARP, 0.9)
    told.initialize(told.prediction().box + otherwise, SHARP, 0.9)
    np.testing.assert_allclose(told.sides, plain.sides, atol=0.1)
    for day in np.arange(1, 4) / 3:
        where = predict(region(), meta(day)).box
        for one in (plain, told):
            predict(one, meta(day))
            correct(one, where + otherwise, SHARP, 0.9)
    grown = [np.abs(one.prediction().box - where) for one in (plain, told)]
    assert (grown[1] < [0.7 * grown[0][0], 0.4 * grown[0][1]] * 2).all()
    assert (grown[1] < [2.5, 1.5] * 2).all()


def test_an_answer_for_the_start_image_that_is_not_believed_teaches_nothing():
    plain, unsure = region(), region()
    unsure.initialize(np.add(unsure.prediction().box, [-6.0, -6, 6, 6]), SHARP, 0.1)
    for broken in (np.full(4, np.nan), np.full(4, np.inf), MIDDLE[[2, 3, 0, 1]]):
        unsure.initialize(broken, SHARP, 0.9)
    for one in (plain, unsure):
        where = predict(one, meta(1.0)).box
        correct(one, np.add(where, [0.0, 0, 8, 8]), SHARP, 0.9)
    np.testing.assert_array_equal(plain.result().box, unsure.result().box)


@pytest.mark.parametrize("with_template", [True, False])
def test_the_answer_for_the_start_image_is_no_image_of_the_track(with_template):
    made, before = region(), region().prediction()
    for score in (0.9, 0.1):
        made.initialize(
            np.add(made.prediction().box, [-6.0, -6, 6, 6]), SHARP, score, with_template=with_template
        )
        assert made.prediction().score == 1.0 and made.result().state == "coasting"
        np.testing.assert_array_equal(made.prediction().box, before.box)


@pytest.mark.parametrize("x0", [104.0, 112.0, 113.5], ids=["hidden", "at the limb", "a pixel from it"])
def test_a_sliver_at_the_limb_is_no_likeness_of_its_region(x0):
    assert not region([x0, 482, 124, 542]).has_template


@pytest.mark.parametrize("size", [64, 256, 1024])
@pytest.mark.parametrize("lon", [0.0, 40.0, 65.0])
@pytest.mark.parametrize("width", [1.5, 3.0, 12.0])
def test_a_region_away_from_the_limb_is_settled_however_small_it_or_the_image_is(size, lon, width):
    disk = ImageGeometry.from_disk((size / 2, size / 2), 0.4 * size)
    box = rectangles_to_boxes([lon, 15.0 - width / 4, lon + width, 15.0 + width / 4], disk)[0][0]
    assert Region(box, Frame(0, mjd_tai=0.0, geometry=disk, shape=(size, size))).has_template


def test_an_answer_given_without_a_target_moves_it_less():
    """With spreads as they are then, a fifth of the region and more."""
    moves = []
    for with_template in (True, False):
        made = region()
        where = predict(made, meta(1.0)).box
        made.correct(np.add(where, [0, 8, 0, 8]), SHARP * 32, 0.9, with_template=with_template)
        project([made])
        moves.append(made.result().box[1] - where[1])
    assert moves[0] > 1.5 * moves[1] > 0.0


def test_eastern_and_western_sides_of_a_sliver_are_known_less_well_than_those_of_a_region_in_view():
    moved = []
    for box in ([115.0, 450, 150, 500], MIDDLE):
        made = region(box)
        assert made.has_template == (box is MIDDLE)
        where = predict(made, meta(0.1)).box
        size = where[2:] - where[:2]
        found = where + 0.1 * np.concatenate([[0.0, 0.0], size])
        moved.append((correct(made, found, np.full(4, 0.05 * size[0]), 0.9).box - where) / np.tile(size, 2))
    assert moved[0][2] > 8.0 * moved[1][2] > 0.0
    # Not so the other two.
    assert 0.0 < moved[0][3] < 4.0 * moved[1][3]


@pytest.mark.parametrize("x0", [104.0, 112.0, 113.5], ids=["hidden", "at the limb", "a pixel from it"])
def test_what_is_drawn_otherwise_of_a_sliver_moves_the_sides_that_are_known_less(x0):
    plain, told = (region([x0, 482, 124, 542]) for _ in range(2))
    higher = np.array([0.0, -8, 0, 8])
    told.initialize(told.prediction().box + higher, SHARP * 16, 0.5, with_template=False)
    moved = []
    for made in (plain, told):
        where = predict(made, meta(0.25)).box
        moved.append(correct(made, where + higher, SHARP * 16, 0.5, with_template=False).box - where)
    for side, way in ((1, -1.0), (3, 1.0)):
        assert way * moved[0][side] > 1.5 * way * moved[1][side] > 0.0


def test_the_score_of_a_region_without_a_template_falls_with_what_is_not_known_and_with_time():
    """The network's own score says nothing there: 0.5 and 0.9 are the same."""
    rectangle = [-112.0, 8.0, -70.0, 22.0]
    scores = {}
    for days in (0.5, 1.5):
        for spread in (24, 96):
            for said in (0.5, 0.9):
                made = region(box_of(rectangle))
                where = predict(made, meta(days)).box
                found = correct(made, where, SHARP * spread, said, with_template=False)
                scores[days, spread, said] = found.score
    assert scores[0.5, 24, 0.5] == scores[0.5, 24, 0.9]
    assert 0.9 >= scores[0.5, 24, 0.5] > scores[0.5, 96, 0.5] > scores[1.5, 96, 0.5] > 0.3
    assert scores[0.5, 24, 0.5] > scores[1.5, 24, 0.5]


def test_sky_in_a_start_box_stands_for_nothing():
    for sky, inside in (([60.0, 450, 150, 500], [112.0, 450, 150, 500]), ([850, 300, 980, 380], None)):
        made = region(sky)
        assert np.isfinite(predict(made, meta(0.01)).box).all()
        if inside is not None:
            same = region(inside)
            np.testing.assert_allclose(made.sides, same.sides, atol=0.5)


@pytest.mark.parametrize(
    "box", [[112.0, 112, 912, 912], [0, 0, 1024, 1024], [-1e300, -1e300, 1e300, 1e300], [300, 100, 700, 900]]
)
def test_a_box_of_most_of_the_sun_is_no_region(box):
    with pytest.raises(GeometryError, match="covers too much of the Sun for a region"):
        region(box)


def test_a_box_of_a_quarter_of_the_disk_is_followed():
    made = region([200.0, 200, 500, 500])
    box, where = made.prediction().box, predict(made, meta(0.01)).box
    np.testing.assert_allclose(where, box, atol=3.0)


@pytest.mark.parametrize(("with_template", "spread"), [(True, SHARP * 4), (False, SHARP * 16)])
def test_answers_err_alike_so_that_twelve_in_an_hour_do_not_count_for_twelve(with_template, spread):
    shares = []
    for count in (1, 12):
        made = region()
        where = predict(made, meta(1.0)).box
        for k in range(count):
            predict(made, meta(1.0 + k / 288))
            correct(made, np.add(where, [0.0, 8, 0, 8]), spread, 0.9, with_template=with_template)
        shares.append((made.result().box[1] - where[1]) / 8)
    assert 0.1 < shares[0] <= shares[1] < min(1.4 * shares[0], 0.6)


@pytest.mark.parametrize(("spread", "beyond"), [(1.0, 3.0), (1.0, 8.0), (1.0, 15.0), (4.0, 8.0)])
def test_answers_a_little_beyond_the_limb_do_not_throw_the_box_away(spread, beyond):
    """The corona is bright there, so networks do answer that."""
    made = region([700.0, 420, 800, 470])
    for day in np.arange(1, 16) / 3:
        prior = predict(made, meta(day))
        if prior.state == "off_disk":
            break
        found = prior.box.copy()
        found[2] = min(found[2] + 40.0, 905.0 + beyond)
        box = correct(made, found, np.full(4, spread), 0.9).box
        assert abs(box[0] - found[0]) < 0.5 * (found[2] - found[0]), day


def test_regions_are_placed_together_as_they_are_alone():
    boxes = [MIDDLE, [115.0, 450, 150, 500], [600.0, 600, 650, 640]]
    together = [region(box) for box in boxes]
    for made in together:
        made.predict(meta(1.0))
    project(together)
    for box, made in zip(boxes, together, strict=True):
        np.testing.assert_allclose(made.prediction().box, predict(region(box), meta(1.0)).box, atol=1e-9)


def test_answers_are_believed_by_their_spread():
    moves = []
    for spread in (0.3, 3.0, 30.0):
        made = region()
        where = predict(made, meta(1.0)).box
        moves.append(correct(made, where + 10.0, np.full(4, spread), 0.9).box[0] - where[0])
    assert 10.2 > moves[0] > moves[1] > moves[2] > 0.0


def test_the_longer_it_was_not_seen_the_more_an_answer_moves_it():
    moves = []
    for days in (0.1, 1.0, 4.0):
        made = region()
        where = predict(made, meta(days)).box
        moves.append(correct(made, np.add(where, [0, 8, 0, 8]), SHARP * 4, 0.9).box[1] - where[1])
    assert moves[0] < moves[1] < moves[2]


# -- what else shines there foretells ----------------------------------------------


SMALLER = np.add(MIDDLE, [8.0, 5, -8, -5])


def shares_after(seen, off=8.0):
    """How much of the way to an answer the northern side goes, after a day."""
    made = region()
    if seen is not None:
        made.foresee(np.asarray(seen, float))
    where = predict(made, meta(1.0)).box
    return (correct(made, np.add(where, [0, 0, 0, off]), SHARP * 4, 0.9).box[3] - where[3]) / off


def test_a_region_in_which_no_more_shines_than_its_box_holds_changes_less():
    size = MIDDLE[2:] - MIDDLE[:2]
    larger = MIDDLE + 0.2 * np.tile(size, 2) * [-1, -1, 1, 1]
    unknown = shares_after(None)
    assert shares_after(larger) == unknown > 2.0 * shares_after(SMALLER) > 0.0


def test_the_larger_area_must_not_leave_much_of_the_box_out():
    width = MIDDLE[2] - MIDDLE[0]
    for inside, grows in ((0.2, True), (0.3, False)):
        seen = np.add(MIDDLE, [inside * width, -30.0, 60.0, 30.0])
        assert (shares_after(seen) == shares_after(None)) == grows


@pytest.mark.parametrize(
    "seen", [[np.nan] * 4, [0.0, 0, np.inf, 50], [460.0, 420, 380, 470], [380.0, 420, 380, 470]]
)
def test_what_is_no_box_foretells_nothing(seen):
    assert shares_after(seen) == shares_after(None)


@pytest.mark.parametrize(("off", "notices"), [(0.1, False), (1.0, True)])
def test_a_region_that_was_to_stay_and_does_not_is_followed_as_one_that_changes(off, notices):
    """A neighbour becomes part of it: from one image to the next its box is twice as wide."""
    reached = []
    for seen in (SMALLER, None):
        made = region()
        if seen is not None:
            made.foresee(seen)
        for k in range(1, 9):
            predict(made, meta(k / 4))
            true = predict(region(), meta(k / 4)).box
            true[2] += off * (true[2] - true[0]) * (k > 3)
            correct(made, true, SHARP, 0.9)
        reached.append(made.result().box[2] - true[2])
    missing = np.abs(reached) / (off * (MIDDLE[2] - MIDDLE[0]))
    assert missing[1] < 0.7
    assert (missing[0] < 1.1 * missing[1]) == notices


def test_days_since_it_was_foreseen_count_from_the_last_time_in_either_direction():
    made = region()
    assert made.days_since_foreseen(meta(0.0)) == np.inf
    predict(made, meta(0.5))
    made.foresee(SMALLER)
    assert made.days_since_foreseen(meta(0.25)) == made.days_since_foreseen(meta(0.75)) == 0.25
    predict(made, meta(0.25))
    # Of what is no box there is nothing to be learnt, but it was looked at.
    assert made.days_since_foreseen(meta(0.25)) == made.days_since_foreseen(meta(np.nan)) == 0.25
    made.foresee(np.full(4, np.nan))
    assert made.days_since_foreseen(meta(0.25)) == 0.0


@given(st.tuples(*[st.floats(-1e3, 2e3)] * 4))
def test_whatever_is_seen_it_is_one_of_two_regions(seen):
    assert shares_after(seen) in (shares_after(None), shares_after(SMALLER))


# -- recognised or not -------------------------------------------------------------


def test_low_scores_coast_then_it_is_lost_then_found_again_by_a_high_score():
    made, states = region(), []
    for day in range(1, PATIENCE + 3):
        where = predict(made, meta(day / 3)).box
        step = correct(made, where + 40.0, SHARP, 0.5 * BELIEVED)
        states.append(step.state)
        # Where rotation takes it, whatever it was told.
        np.testing.assert_array_equal(step.box, where)
        np.testing.assert_allclose(step.box, predict(region(), meta(day / 3)).box, atol=0.01)
        assert step.score <= 0.5 * BELIEVED
    assert states == ["coasting"] * (PATIENCE - 1) + ["lost"] * 3
    between = 0.5 * (BELIEVED + FOUND)
    predict(made, meta(PATIENCE / 3 + 1))
    assert correct(made, MIDDLE, SHARP, between).state == "lost"  # enough to go on, not to come back
    where = predict(made, meta(PATIENCE / 3 + 1.3)).box
    step = correct(made, where, SHARP, FOUND + 0.1)
    assert (step.state, step.message) == ("tracked", "found again")
    predict(made, meta(PATIENCE / 3 + 1.6))
    assert correct(made, where, SHARP, between).state == "tracked"


def test_one_good_answer_forgives_the_misses_before_it():
    made = region()
    for k in range(1, 3 * PATIENCE):
        where = predict(made, meta(k / 10)).box
        good = k % PATIENCE == 0
        step = correct(made, where, SHARP, 0.9 if good else 0.0)
        assert step.state == ("tracked" if good else "coasting")


def test_an_image_that_was_not_looked_at_counts_as_no_miss():
    made = region()
    for k in range(1, 3 * PATIENCE):
        predict(made, meta(k / 10))
        made.miss(1.0, "too thin to be recognised", counts=False)
        step = made.result()
        assert (step.state, step.message) == ("coasting", "too thin to be recognised")


@pytest.mark.parametrize("what", ["box", "spread", "score"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_none(what, value):
    made = region()
    where = predict(made, meta(0.5)).box
    answer = {"box": where + 9.0, "spread": SHARP.copy(), "score": 0.9}
    if what == "score":
        answer["score"] = value
    else:
        answer[what][1] = value
    step = correct(made, answer["box"], answer["spread"], answer["score"])
    assert (step.state, step.score) == ("coasting", 0.0)
    np.testing.assert_array_equal(step.box, where)
    assert np.isfinite(predict(made, meta(1.0)).box).all()


@pytest.mark.parametrize("box", [[460.0, 420, 380, 470], [380.0, 470, 460, 470]])
def test_an_inverted_or_empty_answer_is_none(box):
    made = region()
    predict(made, meta(0.5))
    assert correct(made, np.array(box), SHARP, 0.9).state == "coasting"


# -- with the Sun ------------------------------------------------------------------


def test_behind_the_limb_there_is_no_box_and_half_a_turn_later_it_is_back():
    rectangle = [45.0, -18.0, 70.0, -6.0]
    made = region(box_of(rectangle))
    for days in (4.0, 9.0, 14.0):
        step = predict(made, meta(days))
        assert step.state == "off_disk" and np.isnan(step.box).all() and step.score == 0.0
    step = predict(made, meta(20.5))
    assert step.state == "coasting"
    np.testing.assert_allclose(step.box, box_of(rectangle, 20.5), atol=3.0)
    assert step.box[2] < 512
    assert correct(made, step.box, SHARP, FOUND + 0.1).state == "tracked"


def test_time_may_run_backwards():
    forth, back = region(), region()
    later, earlier = predict(forth, meta(1.0)).box, predict(back, meta(-1.0)).box
    assert earlier[0] < MIDDLE[0] - 50 and later[0] > MIDDLE[0] + 50
    # As unsure of either.
    np.testing.assert_allclose(forth._covariance, back._covariance)
    again = predict(back, meta(0.0)).box
    np.testing.assert_allclose(again, predict(region(), meta(0.0)).box, atol=1e-6)


def test_what_images_without_a_time_correct_is_forgotten_when_the_time_is_known_again():
    made, other = region(), region()
    for one in (made, other):
        where = predict(one, meta(0.5)).box
        correct(one, where, SHARP, 0.9)
    kept, off = predict(made, meta(np.nan)).box, np.array([12.0, 0, 12, 0])
    for _ in range(3):
        moved = correct(made, kept + off, SHARP, 0.9).box
        assert (moved - kept)[0] > 1.0
        np.testing.assert_allclose(predict(made, meta(np.nan)).box, moved, atol=1e-9)
    np.testing.assert_allclose(predict(made, meta(1.0)).box, predict(other, meta(1.0)).box, atol=1e-9)


def test_repeated_times_change_nothing():
    made = region()
    first = predict(made, meta(0.5)).box
    for _ in range(5):
        np.testing.assert_allclose(predict(made, meta(0.5)).box, first, atol=1e-9)


def test_a_gap_of_days_is_bridged_by_rotation():
    stepwise, at_once = region(), region()
    for day in np.linspace(0, 5, 31)[1:]:
        step = predict(stepwise, meta(day))
    np.testing.assert_allclose(predict(at_once, meta(5.0)).box, step.box, atol=1e-6)


@pytest.mark.parametrize("days", [-2.0, 0.3, 3.0, 9.0, 20.0])
def test_foreseeing_is_predicting_without_going_there(days):
    made = region()
    predict(made, meta(0.2))
    foreseen = made.predicted_box(meta(days))
    np.testing.assert_array_equal(made.predicted_box(meta(days)), foreseen)
    np.testing.assert_allclose(predict(made, meta(days)).box, foreseen, atol=1e-9)


def test_the_box_is_the_images_own_where_geometries_change():
    other = ImageGeometry.from_disk((256, 256), 200, b0_deg=4.0, row0="bottom")
    here, there = predict(region(), meta(1.0)).box, predict(region(), meta(1.0, other)).box
    np.testing.assert_allclose(there[[0, 2]], here[[0, 2]] / 2, atol=0.01)
    np.testing.assert_allclose(there[[1, 3]], (1024 - here[[3, 1]]) / 2, atol=0.01)


def test_an_image_without_a_time_is_taken_to_be_at_that_of_the_one_before_and_says_so():
    made = region()
    where = predict(made, meta(1.0)).box
    step = predict(made, meta(np.nan))
    np.testing.assert_allclose(step.box, where, atol=1e-9)
    assert "no time" in step.message and "no time" in correct(made, where, SHARP, 0.9).message
    step = predict(made, meta(2.0))
    assert step.message == ""
    np.testing.assert_allclose(step.box, predict(region(), meta(2.0)).box, atol=3.0)


def test_an_image_without_a_geometry_takes_that_of_the_one_before_and_says_so():
    made = region()
    predict(made, meta(1.0))
    step = predict(made, meta(2.0, None))
    np.testing.assert_allclose(step.box, predict(region(), meta(2.0)).box, atol=1e-6)
    assert "nothing tells where the Sun is" in step.message


@pytest.mark.parametrize("box", [[10, 10, 60, 60], [100, 100, 180, 180]])
def test_a_box_beyond_the_limb_is_an_error_that_says_where_the_disk_is(box):
    with pytest.raises(GeometryError, match=r"beyond the limb.*\(512.0, 512.0\) and a radius of 400.0 px"):
        region(box)


# -- without the Sun ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "why"),
    [(meta(0.0, None), "nothing tells where the Sun is"), (meta(np.nan), "the start image has no time")],
    ids=["no geometry", "no time"],
)
def test_without_time_or_geometry_the_box_stays_until_an_answer_moves_it(where, why):
    made = Region(MIDDLE, where)
    assert made.without_rotation == why
    step = predict(made, where)
    np.testing.assert_array_equal(step.box, MIDDLE)
    assert step.message.startswith(why)
    assert predict(made, where).message == ""  # told once
    np.testing.assert_array_equal(made.predicted_box(where), MIDDLE)
    answer = np.add(MIDDLE, [30, 5, 30, 5])
    boxes = []
    for _ in range(30):
        predict(made, where)
        boxes.append(correct(made, answer, SHARP, 0.9).box[0])
    assert np.all(np.diff(boxes) >= 0) and boxes[-1] == pytest.approx(answer[0], abs=1.0)


def test_without_the_sun_a_box_never_collapses():
    made = Region(np.array([100.0, 100, 104, 104]), meta(0.0, None))
    for _ in range(40):
        predict(made, meta(0.0, None))
        step = correct(made, np.array([103.9, 103.9, 104, 104]), SHARP * 0.1, 0.9)
        assert (step.box[2:] - step.box[:2] >= 1.0).all()


# -- whatever it is told -----------------------------------------------------------

NUMBER = st.one_of(st.floats(-3000, 3000), st.sampled_from([np.nan, np.inf, 0.0]))


@given(
    start=st.sampled_from([MIDDLE, [115.0, 450, 150, 500], [300.0, 150, 700, 400], [600.0, 600, 602, 602]]),
    told=st.lists(
        st.tuples(
            st.one_of(st.floats(-30, 30), st.just(np.nan)),
            st.lists(NUMBER, min_size=4, max_size=4),
            st.lists(st.floats(0, 500), min_size=4, max_size=4),
            st.floats(0, 1),
            st.sampled_from([DISK, None]),
        ),
        max_size=8,
    ),
    sun=st.booleans(),
)
def test_whatever_it_is_told_the_answer_is_a_box_or_none(start, told, sun):
    made = region(start, geometry=DISK if sun else None)
    for days, found, spread, score, geometry in told:
        step = predict(made, meta(days, geometry))
        if step.state != "off_disk":
            step = correct(made, np.array(found), np.array(spread), score)
        assert np.isnan(step.box).all() if step.state == "off_disk" else (step.box[2:] > step.box[:2]).all()
        assert step.state in ("tracked", "coasting", "lost", "off_disk") and 0.0 <= step.score <= 1.0
        assert (np.linalg.eigvalsh(made._covariance) > 0).all()
