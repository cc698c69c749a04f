"""The SHARP keywords of HARP 377 (744 x 377 pixels), one thread, beside their definition in NumPy and SciPy.

The published Python loops take 169 s for this patch, most of it the potential field.
"""

import warnings

import numpy as np
import pytest

from reference import sharp as reference
from solartrack import features, images
from solartrack.errors import ImageWarning
from solartrack.features._potential import fourier_field, jsoc_field

START = "data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI"
SEGMENTS = ("Br", "Bt", "Bp", "bitmap", "conf_disambig", "magnetogram", "Br_err", "Bt_err", "Bp_err")


@pytest.fixture(scope="session")
def header(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # the card R_VALUE = nan
        return images.read_header(shared / f"{START}.Br.fits").header


@pytest.fixture(scope="session")
def planes(shared):
    return {name: images.read_pixels(shared / f"{START}.{name}.fits") for name in SEGMENTS}


def given(planes, errors):
    return {name.lower(): p for name, p in planes.items() if errors or not name.endswith("_err")}


@pytest.fixture(scope="session")
def fields(planes):
    mask = (planes["bitmap"] >= 30) & (planes["conf_disambig"] >= 70)
    return [[planes[name + end] for name in ("Br", "Bt", "Bp")] for end in ("", "_err")] + [mask]


@pytest.mark.benchmark(group="sharp-744x377", min_rounds=20)
@pytest.mark.parametrize("errors", [False, True], ids=["values", "with-errors"])
def bench_sharp_keywords(benchmark, planes, header, fields, errors):
    found = benchmark(features.sharp_keywords, **given(planes, errors), wcs=header)
    side = found.pixel.to_value("m / pix")
    values, sigmas = reference.keywords(fields[0], fields[1], fields[2], side, 0.5087642834025162)
    for name, value in values.items():
        assert found.values[name] == pytest.approx(value, rel=1e-9)
    if errors:
        assert found.errors["MEANPOT"] == pytest.approx(sigmas["MEANPOT"], rel=1e-9)


@pytest.mark.benchmark(group="sharp-744x377", min_rounds=10)
def bench_sharp_keywords_with_errors_and_maps(benchmark, planes, header):
    found = benchmark(features.sharp_keywords, **given(planes, True), wcs=header, maps=True)
    assert found.maps.mask.sum() == found.values["CMASK"] == 45703


@pytest.mark.peer
@pytest.mark.benchmark(group="sharp-744x377", min_rounds=3)
@pytest.mark.parametrize("errors", [False, True], ids=["values", "with-errors"])
def bench_sharp_keywords_peer_numpy_and_scipy(benchmark, planes, fields, errors):
    """The definition over whole maps, with the line-of-sight keywords; it works the errors out either way."""

    def peer():
        values, _ = reference.keywords(
            fields[0], fields[1] if errors else None, fields[2], 364423.35, 0.50876
        )
        values |= reference.line_of_sight(planes["magnetogram"], planes["bitmap"] >= 30, 364423.35)
        return values | {"R_VALUE": reference.jsoc_r(planes["magnetogram"], 0.50876)}

    assert benchmark(peer)["CMASK"] == 45703


@pytest.mark.benchmark(group="sharp-potential", min_rounds=10)
@pytest.mark.parametrize("kind", ["jsoc", "fourier"])
def bench_potential_field(benchmark, planes, kind):
    call = jsoc_field if kind == "jsoc" else lambda bz: fourier_field(bz, 1.0, 1.0)
    assert np.isfinite(benchmark(call, planes["Br"])[0]).all()


@pytest.mark.benchmark(group="sharp-by-size", min_rounds=5)
@pytest.mark.parametrize("side", [128, 256, 512, 1024])
def bench_sharp_keywords_by_size(benchmark, planes, header, side):
    cut = np.s_[130 : 130 + side, 250 : 250 + side]
    few = {n: np.pad(p, ((0, 900), (0, 700)), mode="symmetric")[cut].copy() for n, p in planes.items()}
    found = benchmark(features.sharp_keywords, **given(few, False), wcs=header)
    assert found.values["CMASK"] > 0
