"""Support vector machines on tables of features: train, tune, judge, forecast, store.

The published recipe is min-max scaling and ``SVC(gamma="auto", class_weight="balanced")``. Here features are
also brought near to a normal distribution first (Yeo and Johnson 2000, Biometrika 87, 954), because fluxes
and areas range over decades; the scale comes from the training rows alone; and decision values are made
probabilities on regions that the machine was not trained on, which also give the threshold.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count
from solartrack._files import shown
from solartrack.errors import SolartrackError
from solartrack.flares._svm_fit import (
    calibrated,
    calibrator_of,
    fit,
    fitted,
    folds_of,
    known_rows,
    manifest,
    pipeline_of,
    published_scaler,
    tss_of,
)
from solartrack.flares.feature_sets import as_matrix, feature_names, measure
from solartrack.flares.scores import Report, choose_threshold, evaluate, score_forecast

__all__ = ["EXACT_ROWS", "SvmModel", "Tuning", "cross_validate", "train", "tune"]

Floats = NDArray[np.float64]
Kernel = Literal["linear", "rbf"]
Solver = Literal["auto", "exact", "linear", "nystroem"]

#: With more rows, solver="auto" no longer trains exactly: the time grows with their square.
EXACT_ROWS = 50_000

_SOLVERS = {"linear": ("exact", "linear"), "rbf": ("exact", "nystroem")}


@dataclass(frozen=True, eq=False, repr=False)
class SvmModel:
    """A trained support vector machine with calibrated probabilities; made by `train` or `SvmModel.load`.

    Attributes
    ----------
    feature_set : str
        As for `solartrack.flares.feature_sets.feature_names`.
    feature_names : tuple of str
        Columns that it needs.
    threshold : float
        Probability from which it forecasts a flare: where TSS was highest on the validation regions.
    settings : dict
        Kernel, solver and the other arguments of `train`, and why that solver was taken.
    training : dict
        What it was trained on: rows, positives, rows without a known label (left out), regions, period
        ("" without a column ``time``), and the SHA-256 hash of features, labels and groups.
    scores : dict
        TSS, HSS, BSS, Brier score and ROC area on the validation regions, which also gave the threshold and
        the probabilities: somewhat better than on regions that gave neither.
    version : str
        Of solartrack, when it was trained.
    pipeline : sklearn.pipeline.Pipeline
        Features in, decision values out.
    calibrator : sklearn.linear_model.LogisticRegression or sklearn.isotonic.IsotonicRegression
        Decision values in, probabilities out.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 120)
    >>> table = pd.DataFrame({"FLARE_INDEX": rng.exponential(1 + 20 * labels)})
    >>> model = svm.train(table, labels, groups=np.arange(120) // 6, feature_set="flare_index")
    >>> model.predict_proba(table[:3]).round(2), labels[:3]
    (array([0.04, 0.04, 0.89]), array([0, 1, 1]))
    >>> model.forecast(table.assign(region=11158)).columns.tolist()
    ['region', 'probability', 'flare']
    """

    feature_set: str
    feature_names: tuple[str, ...]
    threshold: float
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    scores: Mapping[str, float]
    version: str
    pipeline: Any
    calibrator: Any

    def decision_values(self, features: Any) -> Floats:
        """Signed distances from the separating surface, shape (n,), positive on the side of flares.

        Parameters and errors are those of `predict_proba`.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(index, labels, regions, feature_set="flare_index")
        >>> quiet, active = model.decision_values([[1.0], [60.0]])
        >>> bool(quiet < active)
        True
        """
        matrix = as_matrix(features, self.feature_names, self.feature_set)
        if not len(matrix):
            return np.empty(0)
        values: Floats = self.pipeline.decision_function(matrix)
        return values

    def predict_proba(self, features: Any) -> Floats:
        """Probabilities of a flare.

        Parameters
        ----------
        features : DataFrame or array_like of float, shape (n, k)
            A table has the columns `feature_names` in any order, and may have others, which are ignored. An
            array has exactly these.

        Returns
        -------
        ndarray of float, shape (n,)

        Raises
        ------
        ValueError
            If a column is missing, as in a table of another set, or a value is missing or infinite.
        TypeError
            If a column does not hold numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(index, labels, regions, feature_set="flare_index")
        >>> quiet, active = model.predict_proba([[1.0], [60.0]])
        >>> bool(quiet < model.threshold <= active)
        True
        """
        return calibrated(self.calibrator, self.decision_values(features))

    def predict(self, features: Any) -> NDArray[np.bool_]:
        """Whether a flare is forecast, shape (n,): the probability is at least `threshold`.

        A model of ``convention="published"`` goes by the sign of the decision value instead.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(index, labels, regions, feature_set="flare_index")
        >>> model.predict([[1.0], [60.0]])
        array([False,  True])
        """
        if self.settings["convention"] == "published":
            return self.decision_values(features) > 0
        return self.predict_proba(features) >= self.threshold

    def forecast(self, features: pd.DataFrame) -> pd.DataFrame:
        """Forecasts for the rows of a table.

        Parameters
        ----------
        features : DataFrame
            As for `predict_proba`.

        Returns
        -------
        DataFrame
            The columns that are no features (region, time, label, ...), then ``probability`` and ``flare``:
            what `solartrack.flares.scores.evaluate` takes.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> table = pd.DataFrame({"FLARE_INDEX": rng.exponential(1 + 20 * labels)})
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(table, labels, regions, feature_set="flare_index")
        >>> forecasts = model.forecast(table.assign(region=11158 + regions))
        >>> forecasts.columns.tolist()
        ['region', 'probability', 'flare']
        """
        if not isinstance(features, pd.DataFrame):
            raise TypeError(f"features must be a table, got {type(features).__name__}; use predict_proba")
        others = [name for name in features.columns if name not in self.feature_names]
        return features[others].assign(probability=self.predict_proba(features), flare=self.predict(features))

    def forecast_patches(self, patches: Iterable[Any]) -> pd.DataFrame:
        """Forecasts straight from magnetogram patches.

        Parameters
        ----------
        patches : iterable of path, array_like or SolarImage
            Each as for `solartrack.flares.feature_sets.measure`.

        Returns
        -------
        DataFrame
            A row for each: ``patch`` (the path, or "" for an array), ``probability``, ``flare`` and
            ``trouble``: "", or why there is no forecast; then the probability is NaN and ``flare`` is NA.

        Raises
        ------
        ValueError
            If the model's features cannot be measured on a patch.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from solartrack import features
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 60)
        >>> values = rng.normal(300, 50, (60, 29))
        >>> table = pd.DataFrame(values, columns=features.COMPLEXITY_NAMES)
        >>> model = svm.train(table, labels, np.arange(60) // 3, transform="none")
        >>> found = model.forecast_patches([rng.normal(0, 300, (64, 64)), "none.fits"])
        >>> found["probability"].notna().tolist()
        [True, False]
        """
        measure(np.zeros((8, 8)), self.feature_set)  # refuses other sets before the first patch
        rows: list[tuple[str, float, Any, str]] = []
        for patch in patches:
            name = shown(patch) if isinstance(patch, str | os.PathLike) else ""
            try:
                features = pd.DataFrame([measure(patch, self.feature_set)])
                rows.append((name, self.predict_proba(features)[0], self.predict(features)[0], ""))
            except (SolartrackError, ValueError, TypeError, OSError) as error:
                rows.append((name, np.nan, pd.NA, shown(str(error))))
        table = pd.DataFrame(rows, columns=["patch", "probability", "flare", "trouble"])
        return table.astype({"probability": "float64", "flare": "boolean"})

    def evaluate(
        self, features: pd.DataFrame, labels: ArrayLike, groups: ArrayLike, **options: Any
    ) -> Report:
        """Scores on rows that it was not trained on, beside climatology and what ``baselines`` gives.

        Parameters
        ----------
        features, labels, groups
            As for `train`.
        **options
            Those of `solartrack.flares.scores.evaluate`: ``baselines``, ``by``, ``n_boot``, ``seed``, ...

        Returns
        -------
        Report

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> table = pd.DataFrame({"FLARE_INDEX": rng.exponential(1 + 20 * labels)})
        >>> regions = np.arange(120) // 6
        >>> known = table[:60], labels[:60], regions[:60]
        >>> model = svm.train(*known, feature_set="flare_index")
        >>> report = model.evaluate(table[60:], labels[60:], regions[60:], n_boot=100)
        >>> list(report.scores)
        ['svm', 'climatology']
        """
        forecasts = pd.DataFrame({"probability": self.predict_proba(features)})
        forecasts["label"], forecasts["region"] = pd.Series(labels).array, pd.Series(groups).array
        settings = {"base_rate": self.training["positives"] / self.training["rows"], "name": "svm", **options}
        return evaluate(forecasts, threshold=self.threshold, **settings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and everything it says about itself as a ``.skops`` file; see `load`.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(index, labels, regions, feature_set="flare_index")
        >>> model.save("index.skops")
        >>> svm.SvmModel.load("index.skops").threshold == model.threshold
        True
        """
        from solartrack.flares._svm_file import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SvmModel:
        """Read a model that `save` wrote.

        Nothing in the file is run. The file holds a few rows with their probabilities, which the loaded
        model must reproduce.

        Raises
        ------
        ModelError
            If the file is a pickle, a model of the published scripts or another foreign file, is damaged, has
            another format, or does not compute here what it did where it was trained.
        FileNotFoundError
            If there is no such file.
        ImportError
            If scikit-learn or skops is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> model = svm.train(index, labels, groups=np.arange(120) // 6, feature_set="flare_index")
        >>> model.save("index.skops")
        >>> again = svm.SvmModel.load("index.skops")
        >>> again.threshold == model.threshold
        True
        """
        from solartrack.flares._svm_file import load

        return load(path)

    def export_onnx(self, path: str | os.PathLike[str], *, name: str = "svm") -> None:
        """Write the model for ONNX Runtime: features in, probability out.

        `solartrack.inference.Model.load` runs the file without scikit-learn; the convention says the order
        of the features, the metadata the threshold.

        Parameters
        ----------
        path : path
            Ends in ``.onnx``. An existing file is replaced, once the new one computes what this model does.
        name : str
            Name of the model, for result tables.

        Raises
        ------
        ModelError
            If the file does not compute what the model does; then it is not kept.
        ValueError
            If the suffix is another.
        ImportError
            If onnx or onnxruntime is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack import inference
        >>> from solartrack.flares import svm
        >>> rng = np.random.default_rng(1)
        >>> labels = rng.integers(0, 2, 120)
        >>> index = rng.exponential(1 + 20 * labels)[:, None]
        >>> regions = np.arange(120) // 6
        >>> model = svm.train(index, labels, regions, feature_set="flare_index")
        >>> model.export_onnx("index.onnx")
        >>> inference.Model.load("index.onnx", device="cpu").convention.inputs
        {'features': (1,)}
        """
        from solartrack.flares._svm_onnx import export

        export(self, path, name)

    def __repr__(self) -> str:
        s, t = self.settings, self.training
        return (
            f"<SvmModel {s['kernel']} ({s['solver']}) on {self.feature_set}, {t['rows']} rows of "
            f"{t['regions']} regions, validation TSS {self.scores['tss']:.3f}>"
        )


class Tuning(NamedTuple):
    """What `tune` found.

    Attributes
    ----------
    settings : dict
        The best ``kernel``, ``c`` and ``gamma``; give them to `train`: ``train(..., **tuned.settings)``.
    table : DataFrame
        A row for each combination, best first: its settings, ``tss`` (mean over the folds) and ``spread``
        (standard deviation).

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 120)
    >>> index = rng.exponential(1 + 20 * labels)[:, None]
    >>> regions = np.arange(120) // 6
    >>> tuned = svm.tune(index, labels, regions, feature_set="flare_index", grid={"c": [0.1, 1.0]})
    >>> model = svm.train(index, labels, regions, feature_set="flare_index", **tuned.settings)
    """

    settings: dict[str, Any]
    table: pd.DataFrame


def train(
    features: Any,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    feature_set: str = "complexity",
    kernel: Kernel = "rbf",
    solver: Solver = "auto",
    c: float = 1.0,
    gamma: float | Literal["auto"] = "auto",
    components: int = 100,
    transform: Literal["power", "none"] = "power",
    validation: int | Collection[Any] = 5,
    calibration: Literal["sigmoid", "isotonic"] = "sigmoid",
    scale_with: pd.DataFrame | None = None,
    convention: Literal["standard", "published"] = "standard",
    seed: int = 0,
) -> SvmModel:
    """Train a support vector machine.

    Parameters
    ----------
    features : DataFrame or array_like of float, shape (n, k)
        As for `SvmModel.predict_proba`.
    labels : array_like, shape (n,)
        1, 0, or missing where it is not known; those rows are left out.
    groups : array_like, shape (n,)
        Region of each row: no region is on two sides of a validation.
    feature_set : str
        Names of sets: "complexity", "physical", "sharp", "flare_index", "srs_text", or several joined by "+".
    kernel : {"rbf", "linear"}
        exp(-gamma d^2), or the scalar product.
    solver : {"auto", "exact", "linear", "nystroem"}
        "exact" is libsvm, whose time grows with the square of the rows. For many rows, "linear" is liblinear
        (squared hinge loss) for the linear kernel, and "nystroem" is the same on a map of `components`
        dimensions that approximates "rbf" (Williams and Seeger 2001). "auto" is exact up to `EXACT_ROWS`
        rows; the model's settings say what was taken and why.
    c : float
        Weight of errors against a wide margin.
    gamma : float or "auto"
        "auto" is one over the number of features.
    components : int
        Dimensions of the map of "nystroem".
    transform : {"power", "none"}
        "power": after scaling, each feature is clipped to its range in training, transformed (Yeo-Johnson)
        and scaled again. "none": scaled only, as published.
    validation : int or collection of groups
        Groups that are left out of training and give the probabilities and the threshold. A number: so many
        folds over the groups, each predicted by a machine trained on the others, give these, and the final
        machine is trained on all rows.
    calibration : {"sigmoid", "isotonic"}
        Decision values become probabilities by a logistic curve (Platt), or by the best monotonic steps, for
        thousands of positives.
    scale_with : DataFrame, optional
        With ``convention="published"``: rows whose minima and maxima scale the features. The published script
        took all rows, those of the test regions included, which lets the model know of them.
    convention : {"standard", "published"}
        "published" is for comparison: ``transform="none"``, ``solver="exact"``, `scale_with`, columns of
        integers not scaled, and a flare is forecast where the decision value is positive. Set "complexity"
        only.
    seed : int
        Of the folds and of the rows that the map is made from.

    Returns
    -------
    SvmModel

    Raises
    ------
    ValueError
        If features are not as they should be (`SvmModel.predict_proba`), lengths differ, labels are all of
        one class (in the training rows, those of a fold, or validation), there are fewer groups than folds, a
        validation group has no rows, or an argument is out of range.
    TypeError
        If labels are not numbers.
    ImportError
        If scikit-learn is not installed.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If a linear solver stops early; lower `c`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 120)
    >>> table = pd.DataFrame({"FLARE_INDEX": rng.exponential(1 + 20 * labels)})
    >>> regions = 11158 + np.arange(120) // 6
    >>> model = svm.train(table, labels, regions, feature_set="flare_index")
    >>> model.training["regions"], model.training["rows"]
    (20, 120)
    """
    is_published = _check(
        kernel, solver, c, gamma, transform, calibration, convention, scale_with, feature_set
    )
    if is_published:
        solver, transform = "exact", "none"
    names = feature_names(feature_set)
    rows = known_rows(features, labels, groups, names, feature_set)
    if solver == "auto":
        exact = len(rows.y) <= EXACT_ROWS
        solver = "exact" if exact else _SOLVERS[kernel][1]  # type: ignore[assignment]
        choice = f"{solver}: {len(rows.y)} rows are {'at most' if exact else 'more than'} {EXACT_ROWS}"
    else:
        choice = f"{solver}, as requested"
    unfitted = pipeline_of(
        kernel, solver, c, gamma, as_count(components, "components"), transform, len(names), seed
    )
    if is_published:
        assert scale_with is not None
        unfitted.steps[0] = ("scale", published_scaler(scale_with))

    pipeline, judged, decisions = fit(unfitted, rows, validation, seed)
    y, judged_groups = rows.y[judged], rows.groups[judged]
    if len(np.unique(y)) < 2:
        raise ValueError("the validation rows are all of one class; choose other groups for validation")
    calibrator = calibrator_of(calibration).fit(
        decisions[:, None] if calibration == "sigmoid" else decisions, y
    )
    probability = calibrated(calibrator, decisions)
    threshold = choose_threshold(y, probability)
    values = score_forecast(y, probability, threshold=threshold).values
    left_out = validation if isinstance(validation, int) else sorted(map(str, pd.unique(judged_groups)))
    return SvmModel(
        feature_set,
        names,
        threshold,
        {
            "kernel": kernel, "solver": solver, "choice": choice, "c": float(c), "gamma": gamma,
            "components": int(components), "transform": transform, "validation": left_out,
            "calibration": calibration, "convention": convention, "seed": int(seed),
        },
        manifest(rows),
        {score: values[score] for score in ("tss", "hss", "bss", "brier", "auc")},
        metadata.version("solartrack"),
        pipeline,
        calibrator,
    )  # fmt: skip


def tune(
    features: Any,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    grid: Mapping[str, Iterable[Any]] | None = None,
    folds: int = 5,
    seed: int = 0,
    **settings: Any,
) -> Tuning:
    """Choose settings by cross-validation over groups.

    Parameters
    ----------
    features, labels, groups
        As for `train`; training rows alone.
    grid : mapping of str to iterable, optional
        Values of ``c`` and ``gamma`` to combine. Default: c of 0.1, 1 and 10.
    folds : int
        Over the groups, stratified by label.
    seed : int
    **settings
        ``feature_set``, ``kernel``, ``solver``, ``components``, ``transform``, as for `train`.

    Returns
    -------
    Tuning
        By the highest mean TSS at a decision value of 0, where the balanced class weights put the threshold.

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `train`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 120)
    >>> index = rng.exponential(1 + 20 * labels)[:, None]
    >>> regions = np.arange(120) // 6
    >>> tuned = svm.tune(index, labels, regions, feature_set="flare_index", grid={"c": [0.1, 1.0]})
    >>> sorted(tuned.settings), len(tuned.table)
    (['c', 'kernel'], 2)
    """
    grid = {name: list(values) for name, values in (grid or {"c": (0.1, 1.0, 10.0)}).items()}
    if not grid or not set(grid) <= {"c", "gamma"} or not all(grid.values()):
        raise ValueError(f"grid must give values of c, gamma or both, got {grid}")
    if unknown := set(settings) - {"feature_set", "kernel", "solver", "components", "transform"}:
        raise ValueError(f"tune does not take {', '.join(sorted(unknown))}")
    chosen = {
        "feature_set": "complexity",
        "kernel": "rbf",
        "solver": "auto",
        "transform": "power",
        **settings,
    }
    combinations = pd.MultiIndex.from_product(grid.values(), names=grid).to_frame(index=False)
    for one in combinations.to_dict("records"):
        _check(
            chosen["kernel"], chosen["solver"], one.get("c", 1.0), one.get("gamma", "auto"),
            chosen["transform"], "sigmoid", "standard", None, chosen["feature_set"],
        )  # fmt: skip
    names = feature_names(chosen["feature_set"])
    rows = known_rows(features, labels, groups, names, chosen["feature_set"])
    solver = chosen["solver"]
    if solver == "auto":
        solver = "exact" if len(rows.y) <= EXACT_ROWS else _SOLVERS[chosen["kernel"]][1]
    parts = folds_of(rows, folds, seed)
    results = []
    for one in combinations.to_dict("records"):
        unfitted = pipeline_of(
            chosen["kernel"], solver, one.get("c", 1.0), one.get("gamma", "auto"),
            as_count(chosen.get("components", 100), "components"), chosen["transform"], len(names), seed,
        )  # fmt: skip
        tss = [tss_of(fitted(unfitted, rows, in_training), rows, ~in_training) for in_training in parts]
        results.append({**one, "tss": np.mean(tss), "spread": np.std(tss)})
    table = pd.DataFrame(results).sort_values("tss", ascending=False, ignore_index=True)
    best = table.iloc[0]
    return Tuning({"kernel": chosen["kernel"], **{name: best[name] for name in grid}}, table)


def cross_validate(
    features: Any, labels: ArrayLike, groups: ArrayLike, folds: int | ArrayLike = 5, **settings: Any
) -> pd.DataFrame:
    """Forecasts of each fold by a model that was trained on the others, threshold and probabilities included.

    Parameters
    ----------
    features, labels, groups
        As for `train`.
    folds : int or array_like, shape (n,)
        Number of folds over the groups, or the fold of each row.
    **settings
        As for `train`.

    Returns
    -------
    DataFrame
        A row for each one given: ``region`` (its group), ``label``, ``fold``, ``probability`` and ``flare``,
        whether the probability is at least the threshold of the fold's model.

    Raises
    ------
    ValueError
        If a group is in two folds, and as for `train`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 120)
    >>> index = rng.exponential(1 + 20 * labels)[:, None]
    >>> table = svm.cross_validate(index, labels, np.arange(120) // 6, feature_set="flare_index")
    >>> table[["region", "label", "fold"]].nunique().tolist()
    [20, 2, 5]
    """
    features = features if isinstance(features, pd.DataFrame) else np.asarray(features)
    out = pd.DataFrame({"region": pd.Series(groups).array, "label": pd.Series(labels).array})
    if len(out) != len(features):
        raise ValueError(f"labels must be as long as the features, got {len(out)} for {len(features)} rows")
    if isinstance(folds, int | np.integer):
        names = feature_names(settings.get("feature_set", "complexity"))
        rows = known_rows(features, labels, groups, names, settings.get("feature_set", "complexity"))
        fold = np.zeros(len(out), dtype=np.int64)
        for number, in_training in enumerate(folds_of(rows, int(folds), settings.get("seed", 0))):
            fold[out["region"].isin(rows.groups[~in_training].unique())] = number
    else:
        fold = np.asarray(folds)
    out["fold"] = fold
    if len(twice := out.groupby("region")["fold"].nunique().loc[lambda n: n > 1]):
        raise ValueError(f"each group must be in one fold, but {twice.index[0]} is in {twice.iloc[0]}")
    out["probability"], out["flare"] = np.nan, False
    for one in pd.unique(out["fold"]):
        test = (out["fold"] == one).to_numpy()
        model = train(features[~test], out["label"][~test], out["region"][~test], **settings)
        out.loc[test, "probability"] = model.predict_proba(features[test])
        out.loc[test, "flare"] = model.predict(features[test])
    return out


def _check(
    kernel: str, solver: str, c: float, gamma: Any, transform: str, calibration: str, convention: str,
    scale_with: Any, feature_set: str,
) -> bool:  # fmt: skip
    """Whether the convention is the published one, once the arguments have been checked."""
    for name, value, allowed in (
        ("kernel", kernel, tuple(_SOLVERS)),
        ("solver", solver, ("auto", *_SOLVERS.get(kernel, ()))),
        ("transform", transform, ("power", "none")),
        ("calibration", calibration, ("sigmoid", "isotonic")),
        ("convention", convention, ("standard", "published")),
    ):
        if value not in allowed:
            which = f" with kernel={kernel!r}" if name == "solver" else ""
            raise ValueError(f"{name} must be one of {', '.join(allowed)}{which}, got {value!r}")
    for name, number in (("c", c), ("gamma", 1.0 if gamma == "auto" else gamma)):
        if isinstance(number, str | bool) or not 0 < number < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {number!r}")
    is_published = convention == "published"
    if is_published != (scale_with is not None):
        raise ValueError(
            "convention='published' and scale_with go together: the published script scaled with the minima "
            "and maxima of all rows; give these as scale_with, or leave both out"
        )
    if is_published and (feature_set != "complexity" or solver not in ("auto", "exact")):
        raise ValueError("convention='published' has the set 'complexity' and the exact solver only")
    return is_published
