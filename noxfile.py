"""The checks of the project: `nox -l` lists them, `nox -s lint` runs one.

Each session installs what it needs into an environment of its own. With `--no-venv` it runs in the active
environment instead, which must have the extra `dev`; so does .ci/run. Arguments after `--` go to the
command of the session: `nox -s tests -- tests/metrics -x`.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True


def install(session: nox.Session, extras: str) -> None:
    """Install the package with these extras, unless the session runs in the active environment."""
    if session.virtualenv.is_sandboxed:
        session.install(f".[{extras}]")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests; `-- tests/ROOM` runs those of one room."""
    install(session, "test")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Tests that use the dependencies most, with the lowest versions that pyproject.toml allows."""
    session.run("python", "-m", "venv", str(env := Path(session.create_tmp()).resolve() / "oldest"))
    python = str(env / "bin" / "python")
    run = {"external": True}
    session.run(python, "-m", "pip", "install", "--quiet", "uv", **run)
    uv = [str(env / "bin" / "uv"), "pip", "install", "--quiet", "--python", python]
    session.run(*uv, "--resolution", "lowest-direct", ".[test]", **run)
    rooms = "images coordinates boxes crop metrics viz sequence files demo features/test_physical.py"
    # Old releases warn of their own end beside newer ones: not an error here.
    chosen = session.posargs or [f"tests/{room}" for room in rooms.split()]
    session.run(python, "-m", "pytest", "-q", "-W", "default", *chosen, **run)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, stubs of the compiled modules, who imports whom, format of the C++ code."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run(
        *("python", "-m", "mypy.stubtest", "solartrack._core", "solartrack.cython_boxes"),
        *("--mypy-config-file", "pyproject.toml", "--allowlist", ".ci/stubtest-allowlist"),
    )
    session.run("lint-imports")
    sources = session.run("git", "ls-files", "cpp/*.cpp", "cpp/*.hpp", external=True, silent=True)
    session.run("clang-format", "--dry-run", "-Werror", *sources.split())


@nox.session
def sanitizers(session: nox.Session) -> None:
    """The kernels' tests under the address and undefined-behaviour sanitizers."""
    install(session, "test")
    session.run(".ci/sanitize", "python", *session.posargs, external=True)


@nox.session
def demo(session: nox.Session) -> None:
    """The first command of the README, with fewer images."""
    install(session, "cpu,sunpy,viz")
    with session.chdir(session.create_tmp()):
        session.run("solartrack", "demo", "--quiet", "--images", "6", *session.posargs)


@nox.session
def training(session: nox.Session) -> None:
    """Training of the small network, with too little of everything, and its export."""
    install(session, "train")
    out = Path(session.create_tmp()).resolve() / "training"
    session.run("python", "-m", "solartrack.models.goturn.train", "--reduced", "--out", str(out))
    if not (out / "goturn-lite.onnx").stat().st_size:
        session.error("the exported network is empty")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The benchmarks; `-- --benchmark-disable` runs each once, for its assertions only."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-q", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The pages whose figures come from runs, with the real data in ../shared.

    docs/tracking.md is written only with `-- REPORT [TRAINING]`: REPORT is what
    benchmarks/tracking_quality.py writes, in a run that takes long.
    """
    install(session, "test")
    session.run("python", "docs/make_features_page.py")
    if session.posargs:
        session.run("python", "docs/make_tracking_page.py", *session.posargs)
