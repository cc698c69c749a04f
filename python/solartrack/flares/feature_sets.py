"""Sets of features by name, and the columns of tables that hold them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack.errors import ImageError
from solartrack.features import COMPLEXITY_NAMES, SHARP_UNITS, complexity, physical
from solartrack.features._complexity import zero_field
from solartrack.features._physical import PHYSICAL_COLUMNS
from solartrack.features._sharp import SMARP_NAMES
from solartrack.flares import text
from solartrack.images import as_image

__all__ = ["FEATURE_SETS", "as_matrix", "feature_names", "measure"]

#: Columns of each set. Of "physical" the two without a unit are left out, the skewness and kurtosis of the
#: gradient: "complexity" has its own of these names, which count the border, too.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "complexity": COMPLEXITY_NAMES,
    "physical": tuple(name for name in PHYSICAL_COLUMNS if name not in COMPLEXITY_NAMES),
    # Keywords of SHARPs and SMARPs as Sun et al. 2022 (ApJ 931, 163) give them, and their flare index: the
    # peak fluxes of the region's flares in the 24 hours before, in units of C1.0.
    "sharp": ("AREA", "USFLUX", "MEANGBZ", "R_VALUE"),
    # The other keywords of the vector field; "sharp+sharp_vector" are all but the errors.
    "sharp_vector": tuple(
        name for name in SHARP_UNITS if name not in ("USFLUX", "MEANGBZ", "R_VALUE", "CMASK", *SMARP_NAMES)
    ),
    "flare_index": ("FLARE_INDEX",),
    "srs_text": text.FEATURES,
}


def feature_names(feature_set: str) -> tuple[str, ...]:
    """Columns of a set of features.

    Parameters
    ----------
    feature_set : str
        A name in `FEATURE_SETS`, or several: "sharp+flare_index".

    Returns
    -------
    tuple of str
        In the order of the names.

    Raises
    ------
    ValueError
        If a name is unknown or comes twice.

    Examples
    --------
    >>> from solartrack.flares.feature_sets import feature_names
    >>> feature_names("complexity")[:3]
    ('gradient_mean', 'gradient_std', 'gradient_median')
    """
    sets = feature_set.split("+") if isinstance(feature_set, str) else []
    if not sets or len(set(sets)) != len(sets) or not set(sets) <= set(FEATURE_SETS):
        raise ValueError(
            f"feature_set must be one of {', '.join(FEATURE_SETS)}, or several joined by '+', each once, "
            f"got {feature_set!r}"
        )
    return tuple(name for one in sets for name in FEATURE_SETS[one])


def as_matrix(features: Any, names: tuple[str, ...], feature_set: str) -> NDArray[np.float64]:
    """Features as numbers, columns in the order of `names`.

    Parameters
    ----------
    features : DataFrame or array_like of float, shape (n, k)
        A table has the columns by name, in any order, and may have others. An array has exactly those.
    names : tuple of str, length k
    feature_set : str
        For messages.

    Returns
    -------
    ndarray of float64, shape (n, k)

    Raises
    ------
    ValueError
        If a column is missing or there twice, an array has another shape, or a value is missing or infinite.
    TypeError
        If a column does not hold numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.flares.feature_sets import as_matrix
    >>> table = pd.DataFrame({"noaa": [11158], "b": [2.0], "a": [1.0]})
    >>> as_matrix(table, ("a", "b"), "mine")
    array([[1., 2.]])
    """
    matrix: NDArray[np.float64]
    if isinstance(features, pd.DataFrame):
        columns = list(features.columns)
        if lacking := [name for name in names if name not in columns]:
            others = [one for one, theirs in FEATURE_SETS.items() if set(theirs) <= set(columns)]
            found = f"it has the set {', '.join(others)}" if others else f"it has {columns[:12]}"
            raise ValueError(
                f"features of the set {feature_set!r} were wanted, the table lacks {len(lacking)} of "
                f"{len(names)} columns, such as {lacking[0]!r}; {found}"
            )
        if twice := [name for name in names if columns.count(name) > 1]:
            raise ValueError(f"the table has the column {twice[0]!r} more than once; drop one")
        for name in names:
            if not pd.api.types.is_numeric_dtype(features[name]) or pd.api.types.is_bool_dtype(
                features[name]
            ):
                raise TypeError(f"the column {name!r} must hold numbers, got {features[name].dtype}")
        matrix = features[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        given = np.asarray(features)
        if given.dtype.kind not in "iuf":
            raise TypeError(f"features must be a table or an array of numbers, got {given.dtype}")
        if given.ndim != 2 or given.shape[1] != len(names):
            raise ValueError(
                f"features of the set {feature_set!r} must have shape (n, {len(names)}), got {given.shape}"
            )
        matrix = given.astype(np.float64)
    bad = ~np.isfinite(matrix)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"features must be finite, {int(bad.any(axis=1).sum())} of {len(matrix)} rows are not: row {row} "
            f"has {names[column]} = {matrix[row, column]}; drop these rows"
        )
    return matrix


def measure(patch: Any, feature_set: str) -> dict[str, float]:
    """Features of one magnetogram patch.

    Parameters
    ----------
    patch : array_like, path, sunpy map or SolarImage
        As for `solartrack.features.complexity`, and `solartrack.features.physical` if that is in the set. In
        8-bit pictures 128 is zero field.
    feature_set : str
        "complexity", "physical" or "complexity+physical".

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If the set cannot be measured on a patch, and as the two functions.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares.feature_sets import measure
    >>> field = np.random.default_rng(1).normal(0, 300, (64, 64))
    >>> len(measure(field, "complexity"))
    29
    """
    names, sets = feature_names(feature_set), feature_set.split("+")
    if others := [one for one in sets if one not in ("complexity", "physical")]:
        raise ValueError(
            f"features of the set {others[0]!r} cannot be measured on a patch; give a table of them"
        )
    image = as_image(patch)
    zero = zero_field(Path(patch), image.array) if isinstance(patch, str | os.PathLike) else 0.0
    found: dict[str, float] = {}
    if "physical" in sets:
        if zero:
            raise ImageError(f"{patch} is a picture; physical features need gauss, as FITS files have them")
        found |= physical(image).as_row()
    if "complexity" in sets:
        found |= complexity(image, zero=zero).as_dict()
    return {name: found[name] for name in names}
