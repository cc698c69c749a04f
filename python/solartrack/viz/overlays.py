"""A solar image with the true and the tracked box, and their agreement in numbers; the limb, outlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from solartrack import metrics
from solartrack._arrays import Float64Array, as_box, as_pixels
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError
from solartrack.images import SolarImage

__all__ = ["display_limits", "overlay"]

Stretch = Literal["auto", "linear", "asinh", "symmetric"]

TRUTH, TRACK, DARK = (255, 255, 255), (255, 0, 0), (0, 0, 0)
# Okabe and Ito's yellow and sky blue: neither is taken for one of the boxes.
LIMB, OUTLINE = (240, 228, 66), (86, 180, 233)

# Percentiles come from a regular sample of about this many pixels: sorting all pixels of a
# 4096 x 4096 image would take longer than everything else together.
_SAMPLE = 1 << 20
_ASINH_KNEE = 0.1
_INSET_SHARE = 0.3  # of the shorter side of the picture
_INSET_CONTEXT = 2.5  # side of the area that the inset shows, in box sides
_LIMB_CORNERS = 1440  # of the polygon drawn as limb: in a picture of 16384 pixels it is 0.02 off the circle
_FAR = 1e6  # Pillow wants small integers; so far outside, in pixels, a line may point elsewhere

#: Corners in pixel edges, shape (k, 2), and the colour of the closed line through them.
_Line = tuple[Float64Array, tuple[int, int, int]]


def overlay(
    image: ArrayLike | SolarImage,
    *,
    box: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    tracks: Mapping[Any, ArrayLike] | None = None,
    label: object = None,
    time: object = None,
    state: str | None = None,
    size: int | None = 1024,
    stretch: Stretch = "auto",
    limits: tuple[float, float] | None = None,
    row0: Literal["top", "bottom"] | None = None,
    inset: bool = True,
    geometry: ImageGeometry | None = None,
    limb: bool = False,
    outlines_arcsec: Iterable[ArrayLike] = (),
    grid: bool = False,
) -> Image.Image:
    """Draw the true box (white) and the tracked box (red) into an image, with their agreement as text.

    On request also the solar limb (yellow) and outlines such as those of coronal holes (blue).

    The white line runs just outside its box and the red line just inside, so both stay
    visible where the boxes coincide, and the region itself is not covered. Lines and
    letters have a dark rim; their width does not depend on the scale of the image.
    The text is `label` and `time`; where both boxes are given, IoU, coverage and size
    ratio as in `solartrack.metrics`; and `state`.

    Parameters
    ----------
    image : array_like, shape (ny, nx), or SolarImage
        Any real pixel type. NaN is drawn black. What `solartrack.images.read` gave also says the time and,
        if it has a WCS, where the Sun is.
    box, truth : array_like, shape (4,), optional
        Tracked and true box ``(x0, y0, x1, y1)`` in pixel edges of `image` as stored.
        None or four NaN: there is no box. Parts outside the image are not drawn.
    tracks : mapping of name to array_like, optional
        Boxes of several tracks (red), each with its name above it, in place of `box`.
    label, time : object, optional
        Frame label and time, converted with ``str``.
    state : str, optional
        State of the track, such as "lost" or "off disk". Default: "no box" where there
        is a truth but no box, else nothing.
    size : int or None
        Longer side of the result, pixels; larger images are averaged down, smaller ones
        are enlarged so that the text stays readable. None keeps the size of the image.
    stretch : {"auto", "linear", "asinh", "symmetric"}
        Mapping from pixel values to grey. "linear" and "asinh" (``asinh(x / 0.1) / asinh(10)``)
        run from the 0.5 to the 99.9 percentile; "symmetric" is linear between plus and
        minus the 99.5 percentile of ``|value|``, so that zero is mid grey. "auto" leaves
        uint8 unchanged; for other types it is "symmetric" if the 0.5 percentile is negative
        and more than a quarter of the 99.5 percentile in size (magnetograms), else "asinh".
        An image of one value is mid grey.
    limits : (float, float), optional
        Values drawn black and white, instead of the percentiles of this image. Use the same
        limits for all frames of a movie, or its brightness flickers. With limits uint8 is
        stretched too, "symmetric" is linear between them, and "auto" depends on them.
    row0 : {"top", "bottom"}, optional
        Where the first row belongs. In FITS images it is at the bottom: "bottom" flips
        them (and the boxes) so that north is up. Default: where the WCS of a SolarImage says, else "top".
    inset : bool
        Also show the surroundings of the box (of `truth`, if there is no box) magnified in
        a corner, unless the magnification would be less than 1.5.
    geometry : ImageGeometry, optional
        Where the Sun is in `image` as stored; needed for the limb and for outlines. Default: what the
        header of a SolarImage says.
    limb : bool
        Draw the edge of the photosphere.
    outlines_arcsec : iterable of array_like, shape (k, 2)
        Polygons to draw, by their corners ``(tx, ty)``, helioprojective arcsec (or an astropy Quantity),
        such as `solartrack.sources.hek.outlines` gives. They are drawn where they are: an outline of
        another time than the image's is not moved. Those without corners are left out.
    grid : bool
        Draw lines of equal pixel coordinates, with their numbers at the left and the lower edge, from which
        a box can be read: pixel edges of `image` as stored.

    Returns
    -------
    PIL.Image.Image
        RGB, which notebooks show; ``.save("picture.png")`` writes it, ``numpy.asarray`` makes an array of
        shape (rows, columns, 3) of it, first row at the top.

    Raises
    ------
    ValueError
        If `image` is not 2-D or empty, a box is not one finite box with positive width
        and height, an outline is not of shape (k, 2) and finite, `geometry` is needed and
        missing, or an option is not one of those listed.
    TypeError
        If the pixels are not real numbers, or `geometry` is something else, such as a header.

    Examples
    --------
    >>> from solartrack import simulate, viz
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128)
    >>> picture = viz.overlay(frame.array, truth=frame.boxes[0], box=frame.boxes[0] + 2, size=512)
    >>> picture.size, picture.mode
    ((512, 512), 'RGB')
    """
    if row0 not in ("top", "bottom", None):
        raise ValueError(f"row0 must be 'top' or 'bottom', got {row0!r}")
    if size is not None and (not 1 <= size < np.inf or int(size) != size):
        raise ValueError(f"size must be a positive integer or None, got {size!r}")
    track, true = _box_or_none(box, "box"), _box_or_none(truth, "truth")
    if tracks is not None and box is not None:
        raise ValueError("give box, or tracks with the boxes of several, not both")
    given = {str(name): _box_or_none(one, f"the box of {name}") for name, one in (tracks or {}).items()}
    named = {name: one for name, one in given.items() if one is not None}
    if isinstance(image, SolarImage):
        if time is None and image.time is not None:
            time = f"{image.time.utc.isot[:19]} UTC"
        geometry = _geometry_of(image) if geometry is None else geometry
        if row0 is None and geometry is not None:
            xx, xy, yx, yy = geometry.matrix
            # The Sun must not be shown as in a mirror.
            row0 = "bottom" if xx * yy > xy * yx else "top"
        image = image.array
    lines = _lines(geometry, limb, outlines_arcsec)

    grey = _to_grey(image, stretch, limits)
    rows = grey.shape[0]
    if row0 == "bottom":
        grey = grey[::-1]
        track, true = _flipped(track, rows), _flipped(true, rows)
        named = {name: one[[0, 3, 2, 1]] * [1, -1, 1, -1] + [0, rows, 0, rows] for name, one in named.items()}
        lines = [(corners * [1, -1] + [0, rows], colour) for corners, colour in lines]
    whole = Image.fromarray(np.ascontiguousarray(grey))

    longer = max(whole.size) if size is None else int(size)
    width, height = (max(1, round(side * longer / max(whole.size))) for side in whole.size)
    picture = _scaled(whole, (width, height))
    line = max(2, round(longer / 400))
    scale = np.array([width, height]) / whole.size
    if grid:
        _draw_grid(picture, whole.size, flipped=row0 == "bottom")
    _draw_lines(picture, lines, np.zeros(2), scale, line)
    _draw_boxes(picture, track, true, np.zeros(2), scale, line)
    for name, one in named.items():
        _draw_boxes(picture, one, None, np.zeros(2), scale, line)
        _write_name(picture, name, one * np.tile(scale, 2), line)

    focus = true if track is None else track
    if inset and focus is not None:
        _paste_inset(picture, whole, focus, track, true, lines, line)

    _write(picture, _text(label, time, state, track, true))
    return picture


def _geometry_of(image: SolarImage) -> ImageGeometry | None:
    try:
        return ImageGeometry.from_header(image.header)
    except GeometryError:
        return None


def _text(
    label: object, time: object, state: str | None, track: Float64Array | None, true: Float64Array | None
) -> list[tuple[str, tuple[int, int, int]]]:
    """The lines of text and their colours."""
    lines = [(row, TRUTH) for text in (label, time) if text is not None for row in str(text).splitlines()]
    if track is not None and true is not None:
        lines += [
            (f"IoU {metrics.iou(track, true)[0]:.2f}", TRUTH),
            (f"coverage {metrics.coverage(track, true)[0]:.2f}", TRUTH),
            (f"size ratio {metrics.area_ratio(track, true)[0]:.2f}", TRUTH),
        ]
    if state is None and track is None and true is not None:
        state = "no box"
    if state is not None:
        lines.append((state, TRACK))
    return lines


def _flipped(box: Float64Array | None, rows: int) -> Float64Array | None:
    """The same box where the last row of the image is the first."""
    return None if box is None else box[[0, 3, 2, 1]] * [1, -1, 1, -1] + [0, rows, 0, rows]


def _box_or_none(box: ArrayLike | None, name: str) -> Float64Array | None:
    if box is None:
        return None
    values = np.asarray(box)
    if values.dtype.kind == "f" and values.size == 4 and np.isnan(values).all():
        return None
    return as_box(values, name)


def _lines(geometry: ImageGeometry | None, limb: bool, outlines_arcsec: Iterable[ArrayLike]) -> list[_Line]:
    """The limb and the outlines in pixels of the image as stored."""
    if not isinstance(geometry, ImageGeometry | None):
        raise TypeError(
            f"geometry must be an ImageGeometry, got {type(geometry).__name__}; "
            "ImageGeometry.from_header makes one of a header"
        )
    arcsec = [(_limb_arcsec(geometry), LIMB)] if limb and geometry is not None else []
    for outline in outlines_arcsec:
        corners = np.asarray(
            outline.to_value("arcsec") if hasattr(outline, "to_value") else outline, dtype=np.float64
        )
        if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all():
            raise ValueError(
                f"outlines_arcsec must be a list of finite arrays of shape (k, 2), got one of {corners.shape}"
            )
        if len(corners):
            arcsec.append((corners, OUTLINE))
    if geometry is None:
        if limb or arcsec:
            raise ValueError(
                "limb and outlines_arcsec need geometry, such as ImageGeometry.from_header(image.header)"
            )
        return []
    return [
        (np.column_stack(geometry.helioprojective_to_pixel(*corners.T)), colour) for corners, colour in arcsec
    ]


def _limb_arcsec(geometry: ImageGeometry) -> Float64Array:
    """Points of the limb: all directions at its angle from the Sun's centre."""
    radius = np.radians(geometry.rsun_arcsec / 3600.0)
    around = np.linspace(0.0, 2.0 * np.pi, _LIMB_CORNERS, endpoint=False)
    tx = np.arctan2(np.sin(radius) * np.cos(around), np.cos(radius))
    ty = np.arcsin(np.sin(radius) * np.sin(around))
    return np.column_stack([np.degrees(tx), np.degrees(ty)]) * 3600.0


def _to_grey(image: ArrayLike, stretch: str, limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    if stretch not in get_args(Stretch):
        raise ValueError(f"stretch must be one of {', '.join(get_args(Stretch))}, got {stretch!r}")
    as_is = np.asarray(image).dtype == np.uint8 and stretch == "auto" and limits is None
    pixels = as_pixels(image)
    if as_is:
        return pixels
    if limits is None:
        low, high = _limits(pixels, stretch)
    else:
        low, high = map(float, limits)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"limits must be (low, high), finite and low < high, got ({low:g}, {high:g})")
    if stretch == "auto":
        stretch = "linear" if _is_signed(low, high) else "asinh"

    out = pixels.astype(np.result_type(pixels.dtype, np.float32))
    if low == high:
        return np.where(~np.isnan(out), 128, 0).astype(np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):  # the range may exceed that of the type
        out -= low
        out /= high - low
        np.clip(out, 0, 1, out=out)
        if stretch == "asinh":
            out /= _ASINH_KNEE
            np.arcsinh(out, out=out)
            out /= float(np.arcsinh(1 / _ASINH_KNEE))
    np.nan_to_num(out, copy=False)
    return (out * 255 + 0.5).astype(np.uint8)


def _is_signed(low: float, high: float) -> bool:
    """Whether the values look like a magnetogram rather than noise around a dark sky."""
    return low < 0 and -low > 0.25 * high


def display_limits(image: ArrayLike, stretch: Stretch = "auto") -> tuple[float, float] | None:
    """The ``limits`` with which `overlay` would draw an image, to draw others in the same way.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
    stretch : {"auto", "linear", "asinh", "symmetric"}
        As for `overlay`.

    Returns
    -------
    (float, float) or None
        None where there are no limits: uint8 is drawn unchanged, and an image of one value
        has no range.

    Raises
    ------
    ValueError, TypeError
        As for `overlay`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> viz.display_limits(np.array([[-300.0, 0.0, 100.0]]), "symmetric")
    (-298.0, 298.0)
    >>> viz.display_limits(np.zeros((4, 4))) is None
    True
    """
    if np.asarray(image).dtype == np.uint8 and stretch == "auto":
        return None
    low, high = _limits(as_pixels(image), stretch)
    return (low, high) if low < high else None


def _limits(pixels: NDArray[Any], stretch: str) -> tuple[float, float]:
    step = int(np.ceil(np.sqrt(pixels.size / _SAMPLE)))
    sample = pixels[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size or sample.min() == sample.max():
        return 0.0, 0.0
    auto_symmetric = stretch == "auto" and _is_signed(*np.percentile(sample, (0.5, 99.5)))
    if stretch == "symmetric" or auto_symmetric:
        high = float(np.percentile(np.abs(sample), 99.5) or np.abs(sample).max())
        return -high, high
    low, high = np.percentile(sample, (0.5, 99.9)).tolist()
    if low == high:  # a few bright pixels on a constant background
        low, high = float(sample.min()), float(sample.max())
    return low, high


def _scaled(grey: Image.Image, size: tuple[int, int]) -> Image.Image:
    shrinks = size[0] < grey.width
    filter = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return grey.resize(size, filter).convert("RGB")


def _draw_boxes(
    picture: Image.Image,
    track: Float64Array | None,
    true: Float64Array | None,
    origin: Float64Array,
    scale: Float64Array,
    line: int,
) -> None:
    """Draw the boxes on a picture that shows the image from `origin` on, enlarged by `scale`."""
    draw = ImageDraw.Draw(picture)
    frame = np.array(picture.size)
    outlines = []
    for box, colour, outside in ((true, TRUTH, True), (track, TRACK, False)):
        if box is None:
            continue
        # Clipped, because Pillow wants small integers; far outside is as invisible as just outside.
        low, high = np.clip(
            np.rint((box.reshape(2, 2) - origin) * scale), -9 * line, frame + 9 * line
        ).astype(int)
        high = np.maximum(high, low + 2 * line)  # a box smaller than a pixel stays visible
        if outside:
            # The line of an edge on the frame itself would be outside the picture: keep it inside.
            low = np.where(low >= 0, np.maximum(low - line, 0), low - line)
            high = np.where(high <= frame, np.minimum(high + line, frame), high + line)
        outlines.append(([*low.tolist(), *(high - 1).tolist()], colour))
    # All rims first, so that the rim of one box does not cut the line of the other.
    for (x0, y0, x1, y1), _ in outlines:
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=DARK, width=line + 2)
    for corners, colour in outlines:
        draw.rectangle(corners, outline=colour, width=line)


def _draw_lines(
    picture: Image.Image, lines: Sequence[_Line], origin: Float64Array, scale: Float64Array, line: int
) -> None:
    """Draw closed lines on a picture as for `_draw_boxes`."""
    draw = ImageDraw.Draw(picture)
    placed = []
    for corners, colour in lines:
        # Pillow counts pixels from their middle.
        points = np.rint(np.clip((corners - origin) * scale - 0.5, -_FAR, _FAR)).astype(int)
        placed.append((np.vstack([points, points[:1]]).ravel().tolist(), colour))
    for flat, _ in placed:  # all rims first, as for boxes
        draw.line(flat, fill=DARK, width=line + 2, joint="curve")
    for flat, colour in placed:
        draw.line(flat, fill=colour, width=line, joint="curve")


def _draw_grid(picture: Image.Image, size: tuple[int, int], *, flipped: bool) -> None:
    """Lines of equal pixel coordinates of an image of `size` pixels, some twelve along its longer side."""
    least = max(size) / 12
    power = 10.0 ** np.floor(np.log10(least))
    step = max(1, round(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)))
    points = max(10, round(max(picture.size) / 64))
    font = ImageFont.load_default(points)
    rim = max(1, points // 10)
    lines = Image.new("L", picture.size)
    draw = ImageDraw.Draw(lines)
    names = []
    for axis in (0, 1):
        scale = picture.size[axis] / size[axis]
        for value in range(step, size[axis], step):
            at = (size[1] - value if axis and flipped else value) * scale
            draw.line((0, at, picture.width, at) if axis else (at, 0, at, picture.height), fill=90)
            place = (2 * rim, at) if axis else (at, picture.height - 2 * rim)
            names.append((place, str(value), "lm" if axis else "md"))
    # Brighter than a dark ground and darker than a bright one, so that they show on the corona and on the
    # photosphere.
    colours = picture.convert("L").point(lambda value: 0 if value > 160 else 255)
    picture.paste(colours.convert("RGB"), mask=lines)
    writer = ImageDraw.Draw(picture)
    for place, name, anchor in names:
        writer.text(place, name, fill=TRUTH, font=font, anchor=anchor, stroke_width=rim, stroke_fill=DARK)


def _paste_inset(
    picture: Image.Image,
    whole: Image.Image,
    focus: Float64Array,
    track: Float64Array | None,
    true: Float64Array | None,
    lines: Sequence[_Line],
    line: int,
) -> None:
    side = round(_INSET_SHARE * min(picture.size))
    low, high = focus.reshape(2, 2)
    shown = max(8.0, _INSET_CONTEXT * (high - low).max())
    scale = np.array(picture.size) / whole.size
    if side / shown < 1.5 * scale.max() or (high <= 0).any() or (low >= whole.size).any():
        return
    # Whole pixels, so that the magnified image and its boxes have the same origin.
    count = int(np.ceil(shown))
    origin = np.rint((low + high - count) / 2)
    left, top = origin.astype(int).tolist()
    region = whole.crop((left, top, left + count, top + count))  # black beyond the image
    region = _scaled(region, (side, side))
    _draw_lines(region, lines, origin, np.full(2, side / count), line)
    _draw_boxes(region, track, true, origin, np.full(2, side / count), line)
    ImageDraw.Draw(region).rectangle((0, 0, side - 1, side - 1), outline=(128, 128, 128), width=1)

    # The text is in the top left corner. Of the others, take the first that hides no box, if any.
    right, bottom = picture.width - side, picture.height - side
    corners = [(right, bottom), (0, bottom), (right, 0)]
    boxes = [b * np.tile(scale, 2) for b in (track, true) if b is not None]

    def hidden(corner: tuple[int, int]) -> float:
        here = [*corner, corner[0] + side, corner[1] + side]
        return sum(float(metrics.coverage(here, b)[0]) for b in boxes)

    picture.paste(region, min(corners, key=hidden))


def _write_name(picture: Image.Image, name: str, box: Float64Array, line: int) -> None:
    """The name of a track above its box, or below it at the upper edge of the picture."""
    points = max(11, round(max(picture.size) / 55))
    above = box[1] - points - 2 * line
    corner = (float(box[0]), float(above if above >= 0 else box[3] + line))
    font = ImageFont.load_default(points)
    ImageDraw.Draw(picture).text(
        corner, name, fill=TRACK, font=font, stroke_width=max(1, points // 10), stroke_fill=DARK
    )


def _write(picture: Image.Image, lines: list[tuple[str, tuple[int, int, int]]]) -> None:
    draw = ImageDraw.Draw(picture)
    points = max(13.0, (picture.width * picture.height) ** 0.5 / 42)
    widest = max((draw.textlength(row, ImageFont.load_default(points)) for row, _ in lines), default=0)
    points *= min(1, (picture.width - points) / max(widest, 1))
    points = max(8, round(points))  # rather too wide than illegible
    font = ImageFont.load_default(points)
    for i, (row, colour) in enumerate(lines):
        corner = (points // 2, points // 2 + round(1.3 * points * i))
        draw.text(corner, row, fill=colour, font=font, stroke_width=max(1, points // 10), stroke_fill=DARK)
