"""What help and notebooks show: examples that run, signatures that can be read, short results."""

import doctest
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time

import solartrack
from solartrack import _show, features, images, metrics
from solartrack.flares import scores

# Rooms whose modules import TensorFlow, which takes long; tests/models runs their examples.
_SLOW = ("solartrack.models",)


def modules():
    """All modules but those of `_SLOW`, of single commands and those with an extra that is missing."""
    for found in pkgutil.walk_packages(solartrack.__path__, "solartrack."):
        if not found.name.startswith((*_SLOW, "solartrack.cli.")) and not found.name.endswith(".__main__"):
            try:
                yield importlib.import_module(found.name)
            except ImportError:
                continue


def test_examples_of_docstrings_give_what_they_say(tmp_path, monkeypatch):
    finder = doctest.DocTestFinder(exclude_empty=True)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=options)
    told = []
    left_out = () if importlib.util.find_spec("sunpy") else ("needs sunpy",)
    for module in modules():
        for test in finder.find(module, module.__name__):
            if test.examples and not any(word in one.source for word in left_out for one in test.examples):
                folder = tmp_path / test.name
                folder.mkdir()
                monkeypatch.chdir(folder)
                runner.run(test, out=told.append)
    assert runner.tries > 1500
    assert runner.failures == 0, "".join(told)


def test_every_public_function_and_class_shows_its_use():
    # Not by its name alone: tests/reference has the same.
    place = Path(__file__).parents[2] / "docs" / "reference.py"
    spec = importlib.util.spec_from_file_location("docs_reference", place)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    without = set()
    for name, where in reference.described().items():
        module, short = name.rsplit(".", 1)
        value = reference.public(module)[short]
        if name != where or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        error = inspect.isclass(value) and issubclass(value, BaseException)
        if not error and ">>> " not in (value.__doc__ or ""):
            without.add(name)
    assert without == set()


def test_signatures_in_help_name_their_types_instead_of_spelling_them_out():
    spelled = {
        f"{module.__name__}.{name}"
        for module in modules()
        for name in getattr(module, "__all__", ())
        if inspect.isfunction(one := getattr(module, name))
        and "_SupportsArray" in str(inspect.signature(one))
    }
    assert spelled == set()


def image(**cards):
    return images.SolarImage(np.zeros((4, 6), np.float32), fits.Header(cards), Time("2014-02-03T02:08:47"))


def test_an_image_is_shown_in_a_few_lines():
    assert repr(image(TELESCOP="SDO", WAVELNTH=171)).splitlines() == [
        "SolarImage",
        "  array   (4, 6) float32",
        "  header  2 keywords",
        "  time    2014-02-03T02:08:47.000 UTC",
    ]


def test_html_of_an_image_has_the_header_and_escapes_it():
    html = image(OBJECT="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "<td>(4, 6) float32</td>" in html


def test_physical_features_are_shown_one_per_line_with_units():
    gauss = np.random.default_rng(1).normal(0, 300, (32, 32))
    found = features.physical(gauss, pixel=0.36 * u.Mm)
    lines = repr(found).splitlines()
    assert len(lines) == 29 and max(map(len, lines)) < 80
    assert any(line.split() == ["flux_net", f"{found.flux_net.value:.6g}", "Mx"] for line in lines)
    assert found._repr_html_().count("<tr>") == 28


def test_scores_are_tables_in_notebooks():
    truth = [[0, 0, 10, 10], [2, 0, 12, 10]]
    one = metrics.score(truth, truth)
    assert one._repr_html_().count("<tr>") == len(one.values)
    pooled = metrics.pool([one, one])._repr_html_()
    assert pooled.count("<tr>") == 1 + len(one.values) and "<th>over frames</th>" in pooled
    forecast = scores.score_forecast([1, 0, 1, 0], [0.9, 0.1, 0.6, 0.4], threshold=0.5)
    assert forecast._repr_html_().count("<tr>") == 1 + len(forecast.values)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.23456789, "1.23457"),
        (np.arange(3) * u.Mm, "(3,) float64 Mm"),
        (2 * u.one, "2"),
        (None, "None"),
        (list(range(9)), "list of 9"),
        ("a\nb", "a b"),
        ("x" * 99, "x" * 57 + "..."),
    ],
)
def test_values_are_shown_short(value, said):
    assert _show._short(value) == said


@pytest.mark.parametrize("widgets", [True, False])
def test_bars_are_widgets_in_notebooks_that_have_them_and_never_a_warning(widgets):
    # Stands in for the kernel of a notebook, which tqdm asks for; without ipywidgets bars are of text.
    code = (
        "import sys, types\n"
        "shell = types.SimpleNamespace(config={'IPKernelApp': {}})\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell)\n"
        "sys.modules['ipykernel.zmqshell'] = types.ModuleType('zmqshell')\n"
        "import tqdm.notebook\n"
        f"tqdm.notebook.IProgress = object() if {widgets} else None\n"
        "from solartrack._progress import tqdm as bar\n"
        f"assert issubclass(bar, tqdm.notebook.tqdm_notebook) is {widgets}\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
