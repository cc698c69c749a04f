from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_NUMERIC = {"parallel"}  # hands out work, computes nothing


def test_every_kernel_has_its_plain_reference():
    kernels = {source.stem for source in (ROOT / "cpp" / "kernels").rglob("*.cpp")} - NOT_NUMERIC
    references = {source.stem for source in (ROOT / "tests" / "reference").rglob("*.py")}
    assert kernels
    assert kernels <= references, f"no tests/reference/<kernel>.py for {sorted(kernels - references)}"
