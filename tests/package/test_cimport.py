import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import solartrack


def test_another_project_can_cimport_the_box_operations(tmp_path):
    """Compile a Cython module that cimports solartrack, as a stranger's project would."""
    pytest.importorskip("Cython")
    (tmp_path / "theirs.pyx").write_text(
        textwrap.dedent("""
            from solartrack.cython_boxes cimport iou, coverage

            def best(double[:, ::1] boxes, double x0, double y0, double x1, double y1):
                cdef Py_ssize_t i, at = -1
                cdef double value, top = 0.0
                with nogil:
                    for i in range(boxes.shape[0]):
                        value = iou(boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], x0, y0, x1, y1)
                        if value > top:
                            top, at = value, i
                return at, top, coverage(0, 0, 1, 1, 0, 0, 2, 2)
        """)
    )
    (tmp_path / "setup.py").write_text(
        textwrap.dedent("""
            from Cython.Build import cythonize
            from setuptools import Extension, setup

            setup(name="theirs", ext_modules=cythonize([Extension("theirs", ["theirs.pyx"])], language_level=3))
        """)
    )
    # An editable installation keeps the .pxd beside the sources; either way it is beside the package.
    package = str(Path(solartrack.__file__).parent.parent)
    env = {**__import__("os").environ, "PYTHONPATH": package} if "site-packages" not in package else None
    build = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, env=env,
    )  # fmt: skip
    assert build.returncode == 0, build.stdout + build.stderr
    code = "import numpy as np, theirs; print(theirs.best(np.array([[9., 9, 10, 10], [0, 0, 2, 2]]), 1, 1, 3, 3))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert out.stdout.strip() == f"(1, {1 / 7}, 0.25)", out.stderr
