"""Rendering time by frame size and channel, on one core when BLAS is limited to one thread."""

import pytest

from solartrack.simulate import SunModel, render


@pytest.mark.parametrize("size", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("channel", ["171", "magnetogram"])
def test_render(benchmark, channel, size):
    benchmark.group = f"simulate-{channel}"
    model = SunModel(2)
    frame = render(model, "2014-02-05", size=size, channel=channel)  # also makes the shared textures
    assert frame.array.shape == (size, size) and len(frame.ids) >= 5
    again = benchmark.pedantic(
        render, (model, "2014-02-05"), {"size": size, "channel": channel}, rounds=3, iterations=1
    )
    assert again.array.tobytes() == frame.array.tobytes()


def test_model(benchmark):
    benchmark.group = "simulate-model"
    model = benchmark(SunModel, 2)
    assert len(model.regions) > 20
