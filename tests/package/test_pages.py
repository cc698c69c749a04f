"""The pages of the documentation say what is there, and their code runs."""

import importlib
import importlib.util
import inspect
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import matplotlib
import numpy as np
import pandas as pd
import pytest

import solartrack
from solartrack import archive, cli, flares, simulate, tracking

matplotlib.use("agg")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")), *DOCS.glob("gallery/*.py")]
PAGES = [page for page in PAGES if not {"_build", "auto_gallery"} & set(page.parts)]


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return load("reference")


def test_the_reference_describes_every_public_name_once(reference):
    pytest.importorskip("sphinx")
    places = reference.described()
    pages = {module: reference.page(module, places) for module in reference.modules()}
    described = re.findall(r"^\.\. (?:autofunction|autoclass|py:data):: (\S+)", "".join(pages.values()), re.M)
    assert len(described) == len(set(described)) > 300
    for name, place in places.items():
        module, _, last = name.rpartition(".")
        value = reference.public(module)[last]
        assert isinstance(value, ModuleType) or place in described, name
        assert re.search(
            rf"(?<![\w.]){re.escape(place)}\b|``{last}``|:doc:`{re.escape(name)}`", pages[module]
        ), name


def test_no_public_module_is_left_out_of_the_reference(reference):
    """What a page tells people to import from is in the reference."""
    listed = reference.modules()
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r"^(?:>>> )?from (solartrack[\w.]*) import", text, re.M)
        assert set(named) <= set(listed), page


def test_every_name_that_the_pages_mention_exists():
    for page in PAGES:
        for name in sorted(set(re.findall(r"(?<![\w./-])solartrack(?:\.[A-Za-z_]\w*)+", page.read_text()))):
            if re.search(r"\.(git|org|py|md|rst)$", name):
                continue
            parts = name.split(".")
            value = importlib.import_module("solartrack")
            for i, part in enumerate(parts[1:], 2):
                if not hasattr(value, part):
                    importlib.import_module(".".join(parts[:i]))
                value = getattr(value, part)


def signature_and_doc(value):
    return set(inspect.signature(value).parameters) - {"self", "cls"}, inspect.getdoc(value) or ""


def functions(reference):
    """Every public function, and every public method of a public class: name and function."""
    for module in reference.modules():
        for name, value in reference.public(module).items():
            if inspect.isfunction(value):
                yield f"{module}.{name}", value
            elif inspect.isclass(value):
                for own, member in vars(value).items():
                    member = getattr(member, "__func__", getattr(member, "fget", member))
                    if not own.startswith("_") and inspect.isfunction(member):
                        yield f"{module}.{name}.{own}", member


def test_every_public_function_says_what_it_takes_and_gives(reference):
    lacking = []
    for name, function in functions(reference):
        takes, text = signature_and_doc(function)
        if not text:
            lacking.append(f"{name}: no docstring")
            continue
        if name.split(".")[-2][0].isupper():
            continue  # methods may say it in a sentence
        section = text.partition("Parameters\n")[2].partition("\nReturns\n")[0].partition("\nYields\n")[0]
        told = {
            n.strip(" *") for line in section.splitlines() if line[:1].strip() for n in re.split("[,:]", line)
        }
        if takes - told:
            lacking.append(f"{name}: {sorted(takes - told)}")
        gives = inspect.signature(function).return_annotation
        if gives not in (None, "None") and not re.search("^(Returns|Yields)$", text, re.M):
            lacking.append(f"{name}: Returns")
    assert not lacking, "\n".join(lacking)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What the pages find: images, patches, tables, texts."""
    folder = tmp_path_factory.mktemp("pages")
    truth = simulate.write(folder / "images", simulate.sequence(1, 4, "8h", size=256))
    truth[truth["id"] == 12].to_csv(folder / "truth.csv", index=False)
    track = solartrack.track(folder / "images", [92, 122, 116, 135], tracker="rotation")
    tracking.write_track(track, folder / "track.csv")
    first = truth[truth["frame"] == 0].rename(columns={"id": "event"})
    first[["event", "time", "x0", "y0", "x1", "y1"]].to_csv(folder / "events.csv", index=False)
    made = simulate.flaring_patches(seed=1, n_regions=1, days=2, size=64, start="2014-01-07")
    made.write(folder / "patches", flares.format_name)
    shutil.copy(next((folder / "patches").rglob("*.fits")), folder / "magnetogram.fits")
    flares.write_srs(made.summaries, folder)
    return folder


# Commands such as those of flare_model.md are run by tests/flares/test_image_classifier_page.py; training of
# a tracker takes too long.
RUN = ["track", "many_regions", "score", "sunpy", "features", "images", "forecast"]
# Files that only a reader has, and a command that starts processes.
UNKNOWN = (
    *("frames/", "aia193/", "20140106SRS.txt", "2014_events.tar.gz", "known.csv", "published"),
    "track-archive",
)


@pytest.mark.parametrize("page", RUN)
def test_the_code_of_the_how_to_pages_runs(page, home, monkeypatch):
    pytest.importorskip("sunpy")
    monkeypatch.chdir(home)
    monkeypatch.setitem(archive.track_archive.__kwdefaults__, "workers", 0)
    names = {"__name__": "page"}
    text = (DOCS / "howto" / f"{page}.md").read_text()
    blocks = re.findall(r"^```(python|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for language, code in blocks:
        if language == "python":
            exec(code, names)
        for line in code.replace("\\\n", " ").splitlines() if language == "console" else []:
            if not any(word in line for word in UNKNOWN):
                name, *words = shlex.split(line)
                assert name == "solartrack" and cli.main(words) == cli.OK, line
    if page == "sunpy":
        np.testing.assert_allclose(np.ravel(names["again"]), names["box"], atol=1e-3)
        pd.testing.assert_series_equal(names["same"]["x0"], names["track"]["x0"], atol=1e-3)
        assert names["submap"].data.size < names["smap"].data.size / 10
        assert names["table"]["lon"].unit == "deg" and names["table"]["time"].scale == "utc"


def test_the_address_is_the_same_wherever_it_is_written():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    home = urls["Repository"]
    assert urls["Issues"] == f"{home}/issues"
    assert f'\nrepository-code: "{home}"\n' in (ROOT / "CITATION.cff").read_text()
    for page in [*PAGES, DOCS / "conf.py"]:
        for address in re.findall(r"https://github\.com/[\w-]+/solartrack", page.read_text()):
            assert address == home, page
    assert home in (DOCS / "about" / "citing.md").read_text()
