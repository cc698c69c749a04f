"""How the inputs of a network are made and what its outputs mean.

A model file names its convention. To add one, write a class with the members of `Convention` and enter
it in `KINDS`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_count
from solartrack.crop import context_crop, crop_to_frame

__all__ = ["KINDS", "Convention", "CropPair", "FeatureTable", "MagnetogramPatch", "Shape"]

Float32Array = NDArray[np.float32]

#: Shape of an input or output without the first axis; None stands for any length from 1.
Shape = tuple[int | None, ...]


class Convention(Protocol):
    """What every convention tells `Model` and `solartrack.models.export`.

    A convention is a frozen dataclass. Its fields are written to the model file as JSON and given to the
    constructor when the file is read: numbers and strings, or tuples of these, which come back as lists.

    Examples
    --------
    >>> from solartrack import inference
    >>> convention: inference.Convention = inference.FeatureTable(("USFLUX", "R_VALUE"))
    >>> convention.inputs, convention.outputs
    ({'features': (2,)}, {'probability': (1,)})
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kind(self) -> str:
        """Name in model files, a key of `KINDS`."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Subtracted from each channel of the display values (0 to 255)."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """Shape of each input, without the first axis; None for any length.

        Inputs of any length are raw pixels, and `Model` refuses those that are not finite.
        """

    @property
    def trial(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each input, without the first axis, for trying a network out: `inputs` without None."""

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each output, without the first axis."""

    @property
    def optional(self) -> frozenset[str]:
        """Outputs that a model may lack."""

    @property
    def ranges(self) -> Mapping[str, float]:
        """Width of the range of each output's values, the unit of errors in them."""


@dataclass(frozen=True)
class CropPair:
    """Convention of trackers: two context crops in, a box in the second one out.

    Inputs ``target`` and ``search``, float32 (n, side, side, channels); outputs ``box`` (n, 4)
    in the coordinates of the search crop, 0 to `span`, and optionally ``score`` (n, 1), 0 to 1, and
    ``spread`` (n, 4), the expected error of each side in the same units as the box.

    Attributes
    ----------
    side : int
        Side of the crops, pixels.
    channels : int
        Number of copies of the grey value.
    mean : tuple of float
        Subtracted from each channel. Pixels are display values, 0 to 255.
    context : float
        Side of the window, in units of the box's side.
    span : float
        Coordinate of the crop's far edges.
    alone : float
        A network may accept a search window without a target, whose crop is then all zeros. Such windows
        are cut around squares of this side, in solar radii; see `squares`. 0 if the network always needs a
        target.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import inference
    >>> pair = inference.load_model("goturn-lite", device="cpu").convention
    >>> image, boxes = np.zeros((256, 256), np.float32), [(100, 100, 140, 130)]
    >>> pair.crop(image, boxes).shape == (1, *pair.inputs["search"])
    True
    """

    side: int
    channels: int
    mean: tuple[float, ...]
    context: float = 2.0
    span: float = 10.0
    alone: float = 0.0

    kind = "crop-pair"
    #: Outputs that a model may lack.
    optional = frozenset({"score", "spread"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        if self.side < 1 or self.channels < 1 or self.context <= 0 or self.span <= 0:
            raise ValueError(f"side, channels, context and span must be positive, got {self}")
        if len(self.mean) != self.channels:
            raise ValueError(f"mean must have one value for each channel, got {self}")
        if not 0 <= self.alone <= 1:
            raise ValueError(f"alone must lie between 0 and 1 radii, got {self}")

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input, without the first axis."""
        crop = (self.side, self.side, self.channels)
        return {"target": crop, "search": crop}

    @property
    def trial(self) -> dict[str, tuple[int, ...]]:
        """The same as `inputs`."""
        return self.inputs

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output, without the first axis."""
        return {"box": (4,), "score": (1,), "spread": (4,)}

    @property
    def ranges(self) -> dict[str, float]:
        """Width of the range of each output's values."""
        return {"box": self.span, "score": 1.0, "spread": self.span}

    def crop(
        self,
        image: ArrayLike | Sequence[ArrayLike],
        boxes: ArrayLike,
        *,
        out: Float32Array | None = None,
        threads: int | None = None,
    ) -> Float32Array:
        """Crops around boxes, shape (n, side, side, channels); see `solartrack.crop.context_crop`."""
        return context_crop(
            image,
            boxes,
            size=self.side,
            context=self.context,
            channels=self.channels,
            mean=self.mean,
            out=out,
            threads=threads,
        )

    def squares(self, boxes: Float64Array, disk_radius: float) -> Float64Array:
        """Squares around which search windows are cut when no target is shown.

        Their size does not depend on the boxes, because without a target the network has to find the
        region's size itself.

        Parameters
        ----------
        boxes : ndarray of float64, shape (n, 4)
        disk_radius : float
            Pixels.

        Returns
        -------
        ndarray of float64, shape (n, 4)
            With the centres of `boxes` and sides of `alone` radii.
        """
        centre, half = 0.5 * (boxes[:, :2] + boxes[:, 2:]), 0.5 * self.alone * disk_radius
        return np.concatenate([centre - half, centre + half], axis=1)

    def to_frame(
        self, boxes: ArrayLike, anchors: ArrayLike, image_shape: tuple[int, int] | None
    ) -> Float64Array:
        """The network's boxes in frame pixels; see `solartrack.crop.crop_to_frame`."""
        return crop_to_frame(boxes, anchors, image_shape, context=self.context, span=self.span)


@dataclass(frozen=True)
class FeatureTable:
    """Convention of classifiers of tables: features in, the probability of an event out.

    Input ``features``, float32 (n, k), neither scaled nor NaN; output ``probability`` (n, 1), 0 to 1.

    Attributes
    ----------
    names : tuple of str, length k
        Names of the features, in the order of the columns.

    Examples
    --------
    >>> from solartrack import inference
    >>> inference.FeatureTable(("USFLUX", "R_VALUE")).inputs
    {'features': (2,)}
    """

    names: tuple[str, ...]

    kind = "feature-table"
    mean: ClassVar[tuple[float, ...]] = ()
    optional: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be names of features, each once, got {self.names}")

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of the input, without the first axis."""
        return {"features": (len(self.names),)}

    @property
    def trial(self) -> dict[str, tuple[int, ...]]:
        """The same as `inputs`."""
        return self.inputs

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of the output, without the first axis."""
        return {"probability": (1,)}

    @property
    def ranges(self) -> dict[str, float]:
        """Width of the range of the output."""
        return {"probability": 1.0}


@dataclass(frozen=True)
class MagnetogramPatch:
    """Convention of classifiers of images: a magnetogram patch in, the probability of an event out.

    Input ``patch``, float32 (n, rows, columns), gauss, finite, sides from `smallest` to `largest` pixels,
    which the network's file resizes; `solartrack.inference.patches.read_gauss` makes patches from files.
    Output ``probability`` (n, 1), 0 to 1.

    Attributes
    ----------
    side : int
        Side of the square that the network itself sees, pixels.
    field_gauss : float
        The field from minus to plus this many gauss becomes 0 to 255, without clipping.

    Examples
    --------
    >>> from solartrack import inference
    >>> patch = inference.MagnetogramPatch(side=224)
    >>> patch.inputs, patch.outputs
    ({'patch': (None, None)}, {'probability': (1,)})
    """

    side: int
    field_gauss: float = 5978.7

    kind = "magnetogram-patch"
    mean: ClassVar[tuple[float, ...]] = ()
    optional: ClassVar[frozenset[str]] = frozenset()
    #: Gauss; more than ten times what the strongest sunspots have, so whatever is beyond it is no field.
    strongest_gauss: ClassVar[float] = 1e5
    #: Shortest and longest side of a patch, pixels.
    smallest: ClassVar[int] = 16
    largest: ClassVar[int] = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "side", as_count(self.side, "side", self.largest))
        object.__setattr__(self, "field_gauss", float(self.field_gauss))
        if not 0 < self.field_gauss < math.inf:
            raise ValueError(f"field_gauss must be positive and finite, got {self.field_gauss}")

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shape of the input, without the first axis."""
        return {"patch": (None, None)}

    @property
    def trial(self) -> dict[str, tuple[int, ...]]:
        """A patch that has to be made smaller."""
        length = min(max(2 * self.side, self.smallest), self.largest)
        return {"patch": (length, length)}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of the output, without the first axis."""
        return {"probability": (1,)}

    @property
    def ranges(self) -> dict[str, float]:
        """Width of the range of the output."""
        return {"probability": 1.0}


#: Conventions by the name that model files carry.
KINDS: dict[str, type[Convention]] = {
    CropPair.kind: CropPair,
    FeatureTable.kind: FeatureTable,
    MagnetogramPatch.kind: MagnetogramPatch,
}
