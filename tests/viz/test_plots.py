import datetime as dt
import io
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time

from solartrack.viz import plot_iou, plot_scores, plot_success

pytest.importorskip("matplotlib")

IOU = [0.9, 0.6, np.nan, 0.3]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def track_line(figure, name):
    (line,) = [line for line in figure.axes[0].lines if str(line.get_label()).startswith(name)]
    return line


def png(figure):
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def test_iou_is_drawn_over_frames_with_a_gap_where_nothing_was_reported():
    figure = plot_iou([6, 11, 16, 21], {"goturn": IOU})
    line = track_line(figure, "goturn")
    assert line.get_xdata().tolist() == [6, 11, 16, 21]
    assert np.array_equal(line.get_ydata(), IOU, equal_nan=True)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("frame number", "IoU (fraction)")
    assert png(figure).startswith(b"\x89PNG")


def test_mean_in_the_legend_counts_missing_frames_as_zero():
    assert legend(plot_iou(range(4), {"goturn": IOU, "solar": [0.5] * 4})) == [
        "threshold 0.5",
        "goturn: mean 0.45, 1 of 4 frames missing",
        "solar: mean 0.50",
    ]


def test_threshold_is_drawn_at_one_half():
    assert list(track_line(plot_iou(range(4), {"a": IOU}), "threshold").get_ydata()) == [0.5, 0.5]
    assert list(track_line(plot_success({"a": IOU}), "threshold").get_xdata()) == [0.5, 0.5]


STAMPS = ["2014-01-01T00:00", "2014-01-01T04:00", "2014-01-01T08:00", "2014-01-01T12:00"]


@pytest.mark.parametrize(
    "times",
    [
        np.array(STAMPS, "datetime64[s]"),
        pd.DatetimeIndex(STAMPS),
        pd.Series(pd.to_datetime(STAMPS)),
        pd.DatetimeIndex(STAMPS, tz="UTC").tz_convert("Asia/Tokyo"),
        [dt.datetime.fromisoformat(s) for s in STAMPS],
        [dt.datetime.fromisoformat(s + "+00:00") for s in STAMPS],
        Time(STAMPS),
        STAMPS,
    ],
    ids=["datetime64", "index", "series", "tokyo", "datetime", "aware", "astropy", "str"],
)
def test_every_kind_of_time_is_drawn_in_utc(times):
    figure = plot_iou(times, {"a": IOU})
    drawn = np.asarray(track_line(figure, "a").get_xdata(), dtype="datetime64[s]")
    assert drawn.tolist() == np.array(STAMPS, "datetime64[s]").tolist()
    assert figure.axes[0].get_xlabel() == "time (UTC)"
    assert png(figure)


def test_success_is_the_share_of_frames_at_or_above_each_threshold():
    line = track_line(plot_success({"a": IOU}), "a")
    at = dict(zip(np.round(line.get_xdata(), 2).tolist(), line.get_ydata(), strict=True))
    # One frame of four is missing: it reaches no threshold, not even 0.
    assert (at[0.0], at[0.3], at[0.31], at[0.6], at[0.61], at[0.9], at[0.91], at[1.0]) == (
        0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0, 0,
    )  # fmt: skip


def test_success_of_a_perfect_track_has_area_one_and_of_a_lost_one_none():
    assert legend(plot_success({"perfect": np.ones(5), "lost": np.full(5, np.nan)})) == [
        "threshold 0.5",
        "perfect: AUC 1.00",
        "lost: AUC 0.00",
    ]


def test_area_under_success_is_the_mean_iou():
    iou = np.random.default_rng(0).random(2000)
    label = track_line(plot_success({"a": iou}), "a").get_label()
    assert float(label.split()[-1]) == pytest.approx(iou.mean(), abs=0.01)


def test_axes_of_the_caller_are_used():
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_iou([0, 1], {"a": [0.1, 0.2]}, ax=left) is figure
    assert plot_success({"a": [0.1, 0.2]}, ax=right) is figure
    assert len(figure.axes) == 2 and len(right.lines) == 2


def test_scores_are_both_plots_side_by_side():
    figure = plot_scores([6, 11, 16, 21], {"a": IOU})
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("frame number", "IoU threshold (fraction)")
    assert np.array_equal(track_line(figure, "a").get_ydata(), IOU, equal_nan=True)
    assert png(figure).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="got 4 for 2 frames"):
        plot_scores([1, 2], {"a": IOU})


def test_pyplot_is_not_used():
    before = "matplotlib.pyplot" in sys.modules
    plot_iou([0, 1], {"a": [0.1, 0.2]})
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_many_tracks_never_share_colour_and_dashes():
    figure = plot_success({f"t{i}": [0.5] for i in range(20)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines[1:]}
    assert len(looks) == 20


@pytest.mark.parametrize("plot", [lambda iou: plot_iou([1, 2], iou), plot_success])
@pytest.mark.parametrize(
    ("iou", "error", "message"),
    [
        ({}, ValueError, "at least one track"),
        ({"a": []}, ValueError, "iou of 'a' must have shape"),
        ({"a": [[0.1, 0.2]]}, ValueError, r"got \(1, 2\)"),
        ({"a": [0.5, 62.0]}, ValueError, "iou of 'a' must be within 0 and 1 or NaN, got 62"),
        ({"a": [0.5, -0.1]}, ValueError, "got -0.1"),
        ([0.5, 0.2], TypeError, "iou must map names to arrays"),
    ],
)
def test_bad_iou_names_the_track(plot, iou, error, message):
    with pytest.raises(error, match=message):
        plot(iou)


def test_wrong_lengths_and_shapes_of_frames_are_refused():
    with pytest.raises(ValueError, match="got 4 for 2 frames; use NaN"):
        plot_iou([1, 2], {"a": IOU})
    with pytest.raises(ValueError, match="frames must have shape"):
        plot_iou([], {"a": IOU})


def test_masked_overlap_is_refused():
    with pytest.raises(TypeError, match="iou of 'a' is a masked array"):
        plot_iou([1, 2], {"a": np.ma.array([0.5, 0.9], mask=[0, 1])})


def test_times_with_and_without_fractions_and_zones_are_drawn_together():
    figure = plot_iou(["2014-02-03T02:00:00.5+01:00", "2014-02-03T02:00:00"], {"a": [0.5, 0.9]})
    drawn = np.asarray(track_line(figure, "a").get_xdata(), dtype="datetime64[ms]")
    assert drawn.tolist() == [dt.datetime(2014, 2, 3, 1, 0, 0, 500_000), dt.datetime(2014, 2, 3, 2)]


def test_figures_show_themselves_in_notebooks():
    figure = plot_scores([1, 2], {"a": [0.5, 1.0]})
    assert figure._repr_png_().startswith(b"\x89PNG")
