"""docs/sharp_keywords.md says what the library says now."""

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]\d+)?(?![\w.])")


@pytest.mark.usefixtures("shared")
def test_page_has_the_numbers_of_a_new_run(tmp_path):
    pytest.importorskip("matplotlib")
    new, picture = runpy.run_path(str(DOCS / "make_sharp_page.py"))["make"](tmp_path)
    page = (DOCS / "sharp_keywords.md").read_text()
    cure = "run python docs/make_sharp_page.py"
    assert NUMBER.sub("#", page) == NUMBER.sub("#", new), cure
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (page, new)]
    # The column of differences from JSOC has one digit.
    assert len(numbers[0]) > 100 and numbers[0] == pytest.approx(numbers[1], rel=1e-4, abs=1e-5), cure
    with Image.open(picture) as made, Image.open(DOCS / "images/sharp_harp377.jpg") as shown:
        assert shown.width / shown.height == pytest.approx(made.width / made.height, rel=0.01), cure
    assert (DOCS / "images/sharp_harp377.jpg").stat().st_size < 150_000
