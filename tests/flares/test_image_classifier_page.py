"""The commands of docs/image_classifier.md, run one after the other."""

import json
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "image_classifier.md"
CURE = "run python docs/make_images_page.py"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if find_spec("tensorflow") is None:
        pytest.skip("training needs TensorFlow")
    home = tmp_path_factory.mktemp("page")
    page, picture = runpy.run_path(str(DOCS / "make_images_page.py"))["make"](home)
    return home, page, picture


def test_commands_of_the_page_train_predict_and_score_a_network(made):
    home, _, picture = made
    report = json.loads((home / "scores/report.json").read_text())["scores"]
    assert {"network", "svm", "text", "persistence", "McIntosh-Poisson", "climatology"} == set(report)
    assert report["network"]["n"] == report["svm"]["n"] > 150
    # Machines and versions round differently, and a network trained on few patches is no sure thing.
    assert report["network"]["values"]["auc"] > 0.75
    table = pd.read_csv(home / "images.csv")
    assert len(table) == 800 and table["probability"].between(0, 1).all()
    with Image.open(picture) as new, Image.open(DOCS / "images/saliency.jpg") as shown:
        assert shown.width / shown.height == pytest.approx(new.width / new.height, rel=0.02), CURE


def test_page_is_what_its_template_gives(made):
    def words(page):
        # What a run prints differs in its numbers and in the rows that are undefined.
        return NUMBER.sub("#", re.sub(r"```text\n.*?```\n", "", page, flags=re.DOTALL))

    assert words(PAGE.read_text()) == words(made[1]), CURE


def test_table_of_networks_is_that_of_the_report():
    make = runpy.run_path(str(DOCS / "make_images_page.py"))
    assert make["table"](json.loads((DOCS / "image_quality.json").read_text())) in PAGE.read_text(), CURE
    assert (DOCS / "images/saliency.jpg").stat().st_size < 200_000
