"""The networks and how each of them is trained, as plain data."""

from dataclasses import dataclass
from typing import Any

from solartrack.inference import CropPair

__all__ = ["PLANS", "PRESETS", "Plan", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A network as plain data.

    Attributes
    ----------
    crops : CropPair
        How the inputs are made.
    tower, head : tuple
        Layers for each crop (shared weights) and for both together:
        ``("standardize",)``, ``("conv", filters, kernel, stride, padding, groups)``,
        ``("norm",)`` (over the batch), ``("pool", size, stride)``, ``("lrn",)``, ``("flatten",)``,
        ``("dense", units, dropout)``.
    score : bool
        Whether it judges its box: ``score``, and ``spread`` for each side.
    initial_box : tuple of float, optional
        Output of the untrained network for any input; random if None.

    Examples
    --------
    >>> from solartrack.models.goturn.presets import PRESETS
    >>> lite = PRESETS["goturn-lite"]
    >>> lite.crops.side, lite.score, lite.tower[0]
    (128, True, ('standardize',))
    """

    crops: CropPair
    tower: tuple[tuple[Any, ...], ...]
    head: tuple[tuple[Any, ...], ...]
    score: bool
    initial_box: tuple[float, float, float, float] | None = None


PRESETS = {
    "goturn-caffenet": Preset(
        crops=CropPair(side=227, channels=3, mean=(104.0, 117.0, 123.0)),
        tower=(
            ("conv", 96, 11, 4, "valid", 1),
            ("pool", 3, 2),
            ("lrn",),
            ("conv", 256, 5, 1, "same", 2),
            ("pool", 3, 2),
            ("lrn",),
            ("conv", 384, 3, 1, "same", 1),
            ("conv", 384, 3, 1, "same", 2),
            ("conv", 256, 3, 1, "same", 2),
            ("pool", 3, 2),
        ),
        head=(("flatten",), ("dense", 4096, 0.5), ("dense", 4096, 0.5), ("dense", 4096, 0.5)),
        score=False,
    ),
    "goturn-lite": Preset(
        crops=CropPair(side=128, channels=1, mean=(0.0,), alone=0.25),
        # Each crop is first scaled to mean 0 and standard deviation 1: archives differ far more in
        # exposure, stretch and channel than in what their images show.
        tower=(("standardize",),),
        # Both crops enter the first convolution together: motion and growth show in small features, which
        # would be lost by the time separate towers meet.
        head=(
            ("conv", 32, 5, 4, "same", 1),
            ("norm",),
            ("conv", 64, 3, 2, "same", 1),
            ("norm",),
            ("conv", 128, 3, 2, "same", 1),
            ("norm",),
            ("conv", 192, 3, 2, "same", 1),
            ("norm",),
            ("flatten",),
            ("dense", 192, 0.0),
            ("norm",),
        ),
        score=True,
        # The box that rotation predicts, as the window is cut around it.
        initial_box=(2.5, 2.5, 7.5, 7.5),
    ),
}


@dataclass(frozen=True)
class Plan:
    """How a preset is trained.

    Attributes
    ----------
    recipe : str
        How examples are drawn, a name in `recipes.RECIPES`.
    optimizer : {"adamw", "caffe"}
        AdamW with warm-up and cosine decay; or momentum with Caffe's rates for each kind of layer.
    rate : float
        Base learning rate.
    batch, steps, epoch_steps : int
    overlap, score : float
        Weights of 1 - IoU and of the score in the loss; that of the corners' L1 distance is 1.

    Examples
    --------
    >>> from solartrack.models.goturn.presets import PLANS
    >>> plan = PLANS["goturn-lite"]
    >>> plan.optimizer, plan.recipe
    ('adamw', 'solar')
    """

    recipe: str
    optimizer: str
    rate: float
    batch: int
    steps: int
    epoch_steps: int
    overlap: float
    score: float


PLANS = {
    # Held et al. 2016: the rate is divided by 10 every 100 000 steps.
    "goturn-caffenet": Plan("published", "caffe", 1e-6, 50, 450_000, 5_000, 0.0, 0.0),
    "goturn-lite": Plan("solar", "adamw", 1e-3, 64, 24_000, 1_600, 1.0, 0.5),
}
