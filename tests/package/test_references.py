from reference import boxes, complexity, crop, sharp
from solartrack import _core

OVERLAPS = [getattr(boxes, kind.name.lower()) for kind in _core.Overlap]
# The plain definition of everything that the compiled module computes.
REFERENCES = {
    "overlap_pairs": OVERLAPS,
    "overlap_matrix": OVERLAPS,
    "context_crops": [crop.context_crop],
    "complexity": [complexity.complexity],
    "complexity_batch": [complexity.complexity],
    "field_sums": [sharp.keywords, sharp.line_of_sight],
    "vector_sums": [sharp.keywords],
}


def test_every_exported_kernel_has_its_reference():
    exported = {n for n, v in vars(_core).items() if callable(v) and not isinstance(v, type) and n[0] != "_"}
    assert exported == set(REFERENCES)
    assert all(callable(reference) for found in REFERENCES.values() for reference in found)
