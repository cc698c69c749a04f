import io
import sys

import numpy as np
import pytest

from solartrack.viz import plot_economic_value, plot_forecast, plot_reliability, plot_roc, plot_tss

pytest.importorskip("matplotlib")

Y = [0, 0, 1, 0, 1, 1]
P = [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]


def line(figure, name):
    (found,) = [one for one in figure.axes[0].lines if str(one.get_label()).startswith(name)]
    return found


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def png(figure):
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def test_a_forecast_has_four_panels():
    figure = plot_forecast(
        Y, {"model": P, "persistence": [0, 0, 1, 0, 0, 1], "climatology": 0.5}, threshold=0.25
    )
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "forecast probability", "false alarm rate (share of quiet samples)", "threshold (probability)", "cost / loss",
    ]  # fmt: skip
    assert "model: area 0.889" in labels(figure.axes[1])
    assert "threshold 0.25" in labels(figure.axes[2])
    assert png(figure).startswith(b"\x89PNG")


def test_reliability_is_the_observed_frequency_of_each_bin():
    drawn = line(plot_reliability(Y, P, bins=2, name="model"), "model")
    assert drawn.get_xdata() == pytest.approx([0.2, 2.2 / 3])
    assert drawn.get_ydata() == pytest.approx([1 / 3, 2 / 3])


def test_tss_is_drawn_at_the_thresholds_for_which_it_holds():
    drawn = line(plot_tss([0, 1, 0, 1], {"persistence": [0, 1, 1, 1]}), "persistence")
    assert list(drawn.get_xdata()) == [1, 1, 0, 0] and drawn.get_drawstyle() == "steps-post"
    assert list(drawn.get_ydata()) == [0, 0.5, 0, 0]  # 0.5 from 1 down to above 0
    assert drawn.get_label() == "persistence: at most 0.500"


def test_roc_marks_the_threshold():
    figure = plot_roc(Y, {"model": P}, threshold=0.5)
    (mark,) = [one for one in figure.axes[0].lines if one.get_marker() == "o"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((1 / 3, 2 / 3))


def test_value_is_drawn_over_cost_and_loss():
    drawn = line(plot_economic_value(Y, {"model": Y}), "model")
    assert np.allclose(drawn.get_ydata(), 1)


@pytest.mark.parametrize(
    ("label", "p"), [([0, 0], [0.1, 0.2]), ([1, 1], [0.1, 0.2]), ([], []), ([None], [0.5])]
)
def test_what_is_undefined_is_drawn_as_nothing(label, p):
    figure = plot_forecast(label, {"model": p}, threshold=0.15)
    assert "model: area undefined" in labels(figure.axes[1])
    assert "model" in labels(figure.axes[2])
    assert png(figure)


def test_bad_input_is_refused():
    for plot in (plot_forecast, plot_roc, plot_tss, plot_economic_value):
        with pytest.raises(ValueError, match="at least one forecast"):
            plot(Y, {})
        with pytest.raises(TypeError, match="forecasts must map names"):
            plot(Y, P)
        with pytest.raises(ValueError, match="from 0 to 1"):
            plot([0, 1], {"model": [0.5, 5]})


def test_pyplot_is_not_used():
    before = "matplotlib.pyplot" in sys.modules
    plot_forecast(Y, {"model": P})
    assert ("matplotlib.pyplot" in sys.modules) == before
