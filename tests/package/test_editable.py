import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS = ("CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "cpp", "python")


class Checkout:
    """A copy of the sources and an environment of its own, which sees the packages of the running one."""

    def __init__(self, folder):
        self.source = folder / "source"
        self.source.mkdir()
        for part in PARTS:
            if (CHECKOUT / part).is_dir():
                shutil.copytree(
                    CHECKOUT / part, self.source / part, ignore=shutil.ignore_patterns("__pycache__", "*.so")
                )
            else:
                shutil.copy(CHECKOUT / part, self.source)
        venv.create(folder / "venv", symlinks=True)
        self.interpreter = folder / "venv/bin/python"
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (site / "packages.pth").write_text("\n".join(packages) + "\n")
        self.folder, self.site = folder, site

    def install(self):
        # Without optimisation, which takes most of the time of a build.
        self._run(
            *("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"),
            *("--config-settings", "cmake.build-type=Debug", "-e", self.source),
            timeout=900,
        )

    def python(self, code):
        return self._run("-c", code, timeout=120).splitlines()

    def _run(self, *arguments, timeout):
        scripts = os.path.dirname(sys.executable)
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_PRELOAD")}
        environment["PATH"] = scripts + os.pathsep + environment["PATH"]
        run = subprocess.run(
            [self.interpreter, *arguments],
            capture_output=True, text=True, timeout=timeout, cwd=self.folder, env=environment,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    for tool in ("pip", "scikit_build_core", "pybind11", "cython_cmake", "Cython"):
        pytest.importorskip(tool, reason=f"an editable installation is built with {tool}")
    for program, others in (("cmake", ()), ("ninja", ("make",))):
        if not find_spec(program) and not any(map(shutil.which, (program, *others))):
            pytest.skip(f"an editable installation is built with {program}")
    checkout = Checkout(tmp_path_factory.mktemp("editable"))
    checkout.install()
    return checkout


def test_editable_installation_takes_python_and_data_from_the_checkout(checkout):
    package, compiled, overlap, model, *files = checkout.python(
        "import solartrack; from solartrack import _core, inference, metrics; from importlib import resources\n"
        "print(solartrack.__file__)\n"
        "print(_core.__file__)\n"
        "print(metrics.iou([[0, 0, 2, 2]], [[1, 1, 3, 3]])[0])\n"
        "print(inference.find_model('goturn-lite'))\n"
        "for name in ('py.typed', '_core.pyi', 'cython_boxes.pyi', 'cython_boxes.pxd'):\n"
        "    print(resources.files('solartrack').joinpath(name).is_file())\n"
    )
    sources = checkout.source / "python/solartrack"
    assert Path(package) == sources / "__init__.py"
    assert Path(compiled).is_relative_to(checkout.site)
    assert float(overlap) == pytest.approx(1 / 7)
    assert Path(model) == sources / "inference/weights/goturn-lite.onnx"
    assert files == ["True"] * 4


def test_editable_installation_finds_new_modules_without_another_install(checkout):
    sources = checkout.source / "python/solartrack"
    (sources / "metrics/new.py").write_text("VALUE = 1\n")
    (sources / "new_room").mkdir()
    (sources / "new_room/__init__.py").write_text("VALUE = 2\n")
    said = checkout.python(
        "import solartrack.metrics.new as a, solartrack.new_room as b; print(a.VALUE, b.VALUE)"
    )
    assert said == ["1 2"]


def test_installing_again_compiles_a_changed_kernel_module(checkout):
    module = checkout.source / "cpp/bindings/module.cpp"
    head, brace, body = module.read_text().partition("py::mod_gil_not_used()) {\n")
    assert brace
    module.write_text(f'{head}{brace}    m.attr("_changed") = 1;\n{body}')
    ask = "from solartrack import _core; print(hasattr(_core, '_changed'))"
    assert checkout.python(ask) == ["False"]
    checkout.install()
    assert checkout.python(ask) == ["True"]
