import re
import tomllib
from pathlib import Path

import pytest

import solartrack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_pre_commit_runs_the_versions_that_the_extra_lint_names(pyproject):
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    pins = {
        pin for repo in config["repos"] for hook in repo["hooks"] for pin in hook["additional_dependencies"]
    }
    lint = pyproject["project"]["optional-dependencies"]["lint"]
    assert pins == {requirement for requirement in lint if "==" in requirement}


def test_extra_test_brings_the_build_tools_for_the_editable_installation(pyproject):
    test = pyproject["project"]["optional-dependencies"]["test"]
    assert set(pyproject["build-system"]["requires"]) <= set(test)


def test_every_extra_that_a_message_names_exists(pyproject):
    extras = set(pyproject["project"]["optional-dependencies"])
    text = "\n".join(p.read_text() for p in Path(solartrack.__file__).parent.rglob("*.py"))
    named = set(re.findall(r"\bextra=\"(\w+)\"", text))
    for bracketed in re.findall(r"solartrack\[([\w,]+)\]", text):
        named |= set(bracketed.split(","))
    assert named and named <= extras


def test_version_is_the_same_wherever_it_is_written(pyproject):
    version = pyproject["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version} " in (ROOT / "CHANGELOG.md").read_text()
