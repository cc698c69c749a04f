import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import crop as reference
from solartrack.crop import context_crop, crop_to_frame, frame_to_crop

SHAPE = (90, 130)
boxes = st.tuples(*[st.floats(-300, 400)] * 4)


@given(box=boxes, anchor=boxes)
def test_maps_are_those_of_the_page(box, anchor):
    answer = frame_to_crop(box, anchor)
    np.testing.assert_allclose(answer[0], reference.frame_to_crop(box, anchor, SHAPE), rtol=1e-12, atol=1e-9)
    back = crop_to_frame(answer, anchor, SHAPE)
    np.testing.assert_allclose(back[0], reference.crop_to_frame(answer[0], anchor, SHAPE), atol=1e-9)


@given(box=boxes, anchor=boxes, context=st.floats(0.1, 5), span=st.floats(0.5, 300))
def test_round_trip_returns_the_box(box, anchor, context, span):
    answer = frame_to_crop(box, anchor, context=context, span=span)
    back = crop_to_frame(answer, anchor, None, context=context, span=span)
    np.testing.assert_allclose(back[0], box, rtol=1e-9, atol=1e-9)


@given(box=boxes, anchor=boxes)
def test_clipped_answer_lies_in_the_image(box, anchor):
    back = crop_to_frame(frame_to_crop(box, anchor), anchor, SHAPE)[0]
    np.testing.assert_allclose(back, np.clip(box, 0, [130, 90, 130, 90]), atol=1e-9)


@given(
    x=st.integers(0, 129),
    y=st.integers(0, 89),
    anchor=st.tuples(st.floats(-20, 140), st.floats(-20, 100), st.floats(0, 60), st.floats(0, 60)),
)
def test_a_pixel_lies_in_the_crop_where_the_map_says(x, y, anchor):
    x0, y0, width, height = anchor
    anchor = (x0, y0, x0 + width, y0 + height)
    image = np.zeros(SHAPE, np.uint8)
    image[y, x] = 255
    canvas_height, canvas_width = reference.canvas_of(image, anchor).shape
    crop = context_crop(image, anchor, size=(canvas_width, canvas_height), channels=1, mean=0.0)[0, ..., 0]
    # With the canvas as span, the map gives whole crop pixels.
    left = frame_to_crop((x, y, x + 1, y + 1), anchor, span=canvas_width)[0, 0]
    top = frame_to_crop((x, y, x + 1, y + 1), anchor, span=canvas_height)[0, 1]
    left, top = round(left), round(top)
    if 0 <= left < canvas_width and 0 <= top < canvas_height:
        assert crop[top, left] in (0.0, 255.0)
        region = reference.axis(anchor[0], anchor[2], 130), reference.axis(anchor[1], anchor[3], 90)
        seen = all(start <= p < start + count for p, (start, count, *_) in zip((x, y), region, strict=True))
        assert (crop[top, left] == 255.0) == seen
        assert crop.sum() == crop[top, left]
    else:
        assert not crop.any()


def test_anchor_itself_lies_in_the_middle_of_its_crop():
    answer = frame_to_crop((20, 30, 60, 50), (20, 30, 60, 50))
    np.testing.assert_allclose(answer, [[2.5, 2.5, 7.5, 7.5]])


def test_one_anchor_serves_many_boxes():
    many = np.array([(20, 30, 60, 50), (0, 0, 10, 10), (3, 4, 5, 6)], float)
    anchor = (20, 30, 60, 50)
    np.testing.assert_array_equal(
        frame_to_crop(many, anchor), frame_to_crop(many, np.tile(np.array(anchor, float), (3, 1)))
    )


def test_no_boxes_give_no_boxes():
    assert frame_to_crop([], []).shape == (0, 4)
    assert crop_to_frame([], (0, 0, 1, 1), SHAPE).shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": (np.nan, 0, 1, 1)}, "boxes must be finite"),
        ({"anchors": (0, 0, np.inf, 1)}, "anchors must be finite"),
        ({"anchors": [(0, 0, 1, 1)] * 2}, "single one, got 2"),
        ({"anchors": []}, "single one, got 0"),
        ({"anchors": (0, 0, 1e300, 1)}, "within 1e12 pixels"),
        ({"boxes": (-1e13, 0, 1, 1)}, "within 1e12 pixels"),
        ({"span": 0.0}, "span must be positive"),
        ({"span": np.nan}, "span must be a finite number"),
        ({"context": -1.0}, "context must be positive"),
        ({"image_shape": (90,)}, "image_shape must be"),
        ({"image_shape": (90, 0)}, "image_shape must be"),
        ({"image_shape": 90}, "image_shape must be"),
        ({"image_shape": (90, 130.5)}, "image_shape must be"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    call = {"boxes": (0, 0, 1, 1), "anchors": (0, 0, 1, 1), "image_shape": SHAPE, **arguments}
    with pytest.raises(ValueError, match=message):
        crop_to_frame(call.pop("boxes"), call.pop("anchors"), call.pop("image_shape"), **call)
