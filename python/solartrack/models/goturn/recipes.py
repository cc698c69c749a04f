"""How training examples are drawn, as plain data."""

from dataclasses import dataclass

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How examples are drawn.

    For each region in a pair of images there is one true example, whose search window is where the tracker
    would put it; all others are called further examples here.

    Attributes
    ----------
    shifted : int
        Number of further examples.
    window : float
        Share of the further examples whose search window is moved and resized at random.
    shift_rates, size_rates : tuple of float
        Rates of the Laplace distributions of the window's shift and growth, in box sizes; one of them is
        chosen for each example.
    size_limit : float
        Largest growth.
    side_rates : tuple of float
        Rates of the Laplace distributions of the error of each side of a disturbed box.
    rotated : bool
        Centre the search window where rotation takes the previous box, instead of on that box.
    stale, disturbed : float
        Shares of the further examples that start from a box such as a tracker has, instead of the true one:
        carried there by rotation from another image of the sequence, or with random errors of its four
        sides. The window has the same error, so only the images can reveal it.
    lost : float
        Share of examples in which the region is outside the window or the image is spoilt.
    gaps : int
        Largest number of steps between the images of a pair, as where images are missing.
    reversed : bool
        Also draw pairs in reversed order of time.
    tone, tone_change : float
        Scatter of the logarithms of gain and gamma, of the pair and between its images.
    noise : float
        Largest sigma of the noise added, counts of 255.
    alone : float
        Share of the further examples without a target, for a network that accepts that. The window's size
        does not depend on the box there, so the network has to recognise the region.
    cluttered : float
        Share of these into which a part of a real image is blended, if there are real images.
    clutter : float
        Largest weight of the real image.
    mirrored : bool
        Also use east-west and south-north mirror images.
    turned : float
        Share of examples that are transposed; mirrored as well, this gives all eight orientations.
    """

    shifted: int = 10
    window: float = 1.0
    shift_rates: tuple[float, ...] = (5.0,)
    size_rates: tuple[float, ...] = (15.0,)
    size_limit: float = 0.4
    side_rates: tuple[float, ...] = (15.0,)
    rotated: bool = False
    stale: float = 0.0
    disturbed: float = 0.0
    lost: float = 0.0
    gaps: int = 1
    reversed: bool = False
    tone: float = 0.0
    tone_change: float = 0.0
    noise: float = 0.0
    alone: float = 0.0
    cluttered: float = 0.0
    clutter: float = 0.0
    mirrored: bool = False
    turned: float = 0.0


RECIPES = {
    # Held et al. 2016.
    "published": Recipe(),
    # Rotation is a good prior: most errors that are left are small, some are not.
    "solar": Recipe(
        shifted=4,
        window=0.25,
        shift_rates=(5.0, 12.0, 30.0),
        size_rates=(8.0, 15.0, 30.0),
        rotated=True,
        side_rates=(3.0, 6.0, 20.0),
        stale=0.3,
        disturbed=0.6,
        lost=0.1,
        gaps=4,
        reversed=True,
        tone=0.2,
        tone_change=0.05,
        noise=8.0,
        alone=0.5,
        cluttered=0.7,
        clutter=0.6,
        mirrored=True,
        turned=0.1,
    ),
}
