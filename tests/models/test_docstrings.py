"""Examples of the modules that import TensorFlow; those of the others are in tests/package."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

from solartrack import models
from solartrack.flares import format_name, vgg
from solartrack.simulate import flaring_patches

pytest.importorskip("tensorflow", reason="the examples build networks, which needs TensorFlow")

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples(module):
    found = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    return [test for test in found if test.examples]


def test_examples_of_docstrings_give_what_they_say(tmp_path, monkeypatch):
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    told = []
    for found in pkgutil.walk_packages(models.__path__, "solartrack.models."):
        if found.name.endswith(".__main__"):
            continue
        for test in examples(importlib.import_module(found.name)):
            folder = tmp_path / test.name
            folder.mkdir()
            monkeypatch.chdir(folder)
            runner.run(test, out=told.append)
    assert runner.tries > 40
    assert runner.failures == 0, "".join(told)


@pytest.mark.filterwarnings("ignore:.*no skill.*:UserWarning")
def test_examples_that_are_skipped_for_want_of_a_trained_network_are_right_where_there_is_one(
    tmp_path, monkeypatch
):
    series = flaring_patches(6, 24, 4, size=32)
    (tmp_path / "patches").mkdir()
    monkeypatch.chdir(tmp_path)
    files = series.write("patches", format_name)
    table = series.samples[["region", "time", "label"]].assign(file=[str(file) for file in files])
    parts = np.repeat(["train", "validation", "test"], [12, 6, 6])
    table["part"] = parts[(table["region"] - table["region"].min()).to_numpy()]
    table.to_csv("split.csv", index=False)

    tests = {test.name.removeprefix("solartrack.flares.vgg."): test for test in examples(vgg)}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    told = []
    # The others use what the training makes.
    for test in [tests.pop("train"), *tests.values()]:
        for example in test.examples:
            example.options.pop(doctest.SKIP, None)
        runner.run(test, out=told.append)
    assert runner.tries > 40
    assert runner.failures == 0, "".join(told)
