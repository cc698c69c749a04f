"""docs/flares.md says what the library says now."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")


@pytest.mark.usefixtures("shared")
def test_page_has_the_numbers_of_a_new_run(tmp_path):
    new, picture = runpy.run_path(str(DOCS / "make_flares_page.py"))["make"](tmp_path)
    page = (DOCS / "flares.md").read_text()
    cure = "run python docs/make_flares_page.py"
    text = [re.sub(r"[ -]+", " ", NUMBER.sub("#", one)) for one in (page, new)]
    assert text[0] == text[1], cure
    numbers = [np.array([float(n) for n in NUMBER.findall(one)]) for one in (page, new)]
    # Machines round differently, and a threshold may then fall on the other side of a sample.
    assert numbers[0].size > 300
    np.testing.assert_allclose(*numbers, rtol=0.02, atol=0.02, err_msg=cure)
    with Image.open(picture) as made, Image.open(DOCS / "images/flares_test_regions.jpg") as shown:
        assert shown.width / shown.height == pytest.approx(made.width / made.height, rel=0.01), cure


def test_picture_of_the_page_is_small():
    assert (DOCS / "images/flares_test_regions.jpg").stat().st_size < 200_000
