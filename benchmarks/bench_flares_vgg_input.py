"""Reading of patches for the image network, and training of its head with stored activations.

The pipeline on two processes must deliver at least twice the patches per second of a loop of astropy and
scikit-image, and its pixels must be theirs to 1e-5 of their range. The rows `plain` and `cached` are three
epochs of the head. With --benchmark-disable there are few files.
"""

import os
import time
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from skimage.transform import resize

from solartrack.inference import MagnetogramPatch
from solartrack.models.vgg.dataset import Pass, Reader, Samples
from solartrack.models.vgg.learn import fit_head
from solartrack.models.vgg.network import build
from solartrack.simulate import flaring_patches

SIDE, BATCH, ROUNDS = 224, 64, 5


@pytest.fixture(scope="module")
def samples(tmp_path_factory, request):
    """Rice-compressed patches of 600 x 600 pixels, as HMI's."""
    count = 8 if request.config.getoption("benchmark_disable") else 256
    kinds = min(count, 16)
    folder = tmp_path_factory.mktemp("patches")
    series = flaring_patches(0, kinds, 1, size=600)
    files = []
    for k in range(count):
        files.append(folder / f"{k:04}.fits")
        if k >= kinds:
            os.link(files[k % kinds], files[-1])
            continue
        hdu = fits.CompImageHDU(np.round(series.patches[k] * 10).astype(np.int32), compression_type="RICE_1")
        hdu.header["BSCALE"], hdu.header["BUNIT"] = 0.1, "Gauss"
        hdu.writeto(files[-1])
    return Samples(files, np.arange(count) % 2)


def by_astropy(samples):
    """What a script does: a file after the other."""
    fields = []
    for file in samples.files:
        with fits.open(file) as hdus:
            field = hdus[1].data.astype(np.float32)
        fields.append(resize(field, (SIDE, SIDE), order=1, mode="reflect", anti_aliasing=True))
        fields = fields[-BATCH:]
    return np.stack(fields)


def by_pipeline(reader):
    for fields, _, _ in reader.batches(BATCH):
        last = fields
    return last.numpy()[..., 0]


@pytest.mark.peer
@pytest.mark.benchmark(group="vgg-input-600-to-224")
def bench_astropy_and_skimage(benchmark, samples):
    fields = benchmark.pedantic(by_astropy, (samples,), rounds=1)
    assert fields.shape == (min(BATCH, len(samples)), SIDE, SIDE)


@pytest.mark.benchmark(group="vgg-input-600-to-224")
def bench_pipeline_of_two_processes(benchmark, samples):
    whole = Pass(samples, partial(np.arange, len(samples)))
    # More passes than rounds, so that work is not over for the last one.
    with Reader([whole] * (ROUNDS + 3), MagnetogramPatch(SIDE), workers=2) as reader:
        by_pipeline(reader)  # starts the processes
        fields = benchmark.pedantic(by_pipeline, (reader,), rounds=ROUNDS)
    begin = time.perf_counter()
    wanted = by_astropy(samples)
    alone = time.perf_counter() - begin
    assert np.abs(fields - wanted).max() <= 1e-5 * np.ptp(wanted)
    if not benchmark.disabled and len(os.sched_getaffinity(0)) >= 2:
        assert alone > 2 * benchmark.stats["mean"], f"{alone:.2f} s alone, {benchmark.stats['mean']:.2f} s"


@pytest.fixture(scope="module")
def small(tmp_path_factory, request):
    """Patches of 64 x 64 pixels for training and validation."""
    count = 40 if request.config.getoption("benchmark_disable") else 2000
    home = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    parts = []
    for name in ("training", "validation"):
        (home / name).mkdir()
        files = [home / name / f"{k:04}.fits" for k in range(count)]
        for k, file in enumerate(files):
            fits.writeto(file, rng.normal(0, 1500 if k % 2 else 700, (64, 64)).astype(np.float32))
        parts.append(Samples(files, np.arange(count) % 2))
    return home, parts


@pytest.mark.peer(path=["plain"])
@pytest.mark.benchmark(group="vgg-head-epochs")
@pytest.mark.parametrize("path", ["plain", "cached"])
def bench_epoch_of_the_head(benchmark, small, path, tmp_path):
    home, (training, validation) = small
    settings = {"workers": 2, "patience": None, "cache": home / "cache" if path == "cached" else None}
    network = build("vgg-small")
    if path == "cached":  # what is computed once
        fit_head(network, training, validation, tmp_path / "before", **{**settings, "epochs": 1})

    def fit():
        return fit_head(network, training, validation, tmp_path / "run", **{**settings, "epochs": 3})

    made = benchmark.pedantic(fit, rounds=1)
    other = fit_head(
        network,
        training,
        validation,
        tmp_path / "other",
        **{**settings, "epochs": 1, "cache": home / "cache"},
    )
    assert made.history["loss"][0] == pytest.approx(other.history["loss"][0], rel=1e-3)
