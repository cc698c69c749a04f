"""Training of the text model: ``python -m solartrack.flares.text_training --help``.

Needs ``solartrack[flares]``. `train` is the function behind the command.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import __version__
from solartrack._optional import require
from solartrack.flares import mcintosh, scores
from solartrack.flares.events import Events, read_events, read_flare_list
from solartrack.flares.labels import label
from solartrack.flares.published import read_split
from solartrack.flares.regions import read_region_table, read_srs
from solartrack.flares.text import INPUTS, TARGETS, Regression, TextModel, features, full_disk, samples_of

__all__ = ["fit", "main", "train"]

#: Hours after the summary's day begins at which a region is looked at in training.
_HOURS = (0, 12)
# Inverse weights of the L2 penalty, for 20 000 region-days, of which the cross-validation chooses.
_PENALTIES = (0.01, 0.03, 0.1, 0.3)
_FOLDS = 5
# Stands for all regions together: five digits, so that it is nobody's own and is taken as it is.
_DISK = 99999


def fit(values: NDArray[np.float64], labels: NDArray[np.bool_], c: Sequence[float]) -> Regression:
    """Logistic regressions of several targets on the same features.

    Parameters
    ----------
    values : ndarray, shape (n, n_features)
        NaN where a feature is missing: the mean is taken for it.
    labels : ndarray of bool, shape (n, n_targets)
    c : sequence of float, length n_targets
        Inverse weights of the L2 penalty on standardized features, as for 20 000 samples whatever `n` is.

    Returns
    -------
    Regression
        Without thresholds.

    Raises
    ------
    ValueError
        If a target has only one class.
    """
    linear_model = require("sklearn.linear_model", extra="flares", purpose="training the text model")
    mean = np.nanmean(values, axis=0)
    scale = np.nanstd(values, axis=0)
    scale[scale == 0] = 1.0
    standard = np.nan_to_num((values - mean) / scale, nan=0.0)
    # Samples of one day are nearly one; and the penalty is that of 20 000 region-days whatever their number.
    weight = np.full(len(values), 20_000 / len(values))
    models = [
        linear_model.LogisticRegression(C=one, solver="newton-cholesky", max_iter=1000).fit(
            standard, labels[:, k], sample_weight=weight
        )
        for k, one in enumerate(c)
    ]
    return Regression(
        mean,
        scale,
        np.array([model.coef_[0] for model in models]),
        np.array([model.intercept_[0] for model in models]),
        np.full(len(models), np.nan),
    )


def _out_of_fold(
    values: NDArray[np.float64],
    labels: NDArray[np.bool_],
    region: NDArray[np.int64],
    c: Sequence[float],
    seed: int,
) -> NDArray[np.float64]:
    """Probabilities of each sample by a model that has not seen its region, shape (n, n_targets)."""
    selection = require("sklearn.model_selection", extra="flares", purpose="training the text model")
    found = np.empty(labels.shape)
    for learn, judge in selection.GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(
        values, groups=region
    ):
        found[judge] = fit(values[learn], labels[learn], c).probabilities(values[judge])
    return found


def _penalties(
    values: NDArray[np.float64], labels: NDArray[np.bool_], region: NDArray[np.int64], seed: int
) -> list[float]:
    """For each target the penalty with the best logarithmic score in the cross-validation."""
    losses = []
    for c in _PENALTIES:
        found = np.clip(_out_of_fold(values, labels, region, [c] * labels.shape[1], seed), 1e-12, 1 - 1e-12)
        losses.append(-np.where(labels, np.log(found), np.log1p(-found)).mean(axis=0))
    return [_PENALTIES[best] for best in np.argmin(losses, axis=0)]


def train(
    regions: pd.DataFrame,
    events: Events,
    *,
    validation: Iterable[int] = (),
    left_out: Iterable[int] = (),
    card: dict[str, Any] | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> TextModel:
    """Fit the text model.

    Parameters
    ----------
    regions : DataFrame
        Rows of summaries (`solartrack.flares.read_srs`).
    events : Events
        X-ray flares and the days that are covered (`solartrack.flares.read_events`).
    validation : iterable of int
        Regions that choose the thresholds and are not trained on. Without any, thresholds are chosen on the
        probabilities that a cross-validation over regions gives.
    left_out : iterable of int
        Regions that are neither trained on nor looked at: those of a test.
    card : dict, optional
        What else the model should say of its training, such as the sources of the data.
    seed, n_boot : int
        Of the folds, and the draws of the intervals.

    Returns
    -------
    TextModel
        Its card has the numbers of samples and regions, the period, and the scores of the cross-validation
        with intervals over regions.

    Raises
    ------
    ValueError
        If there are no samples with known flares, or a target has no event.

    Notes
    -----
    A sample is a region at 00:00 and 12:00 UTC of each day on which a summary has it. The penalty of each
    target's regression is the one with the best logarithmic score in a cross-validation over regions.
    """
    gone, judging = np.array(sorted(left_out), dtype=np.int64), np.array(sorted(validation), dtype=np.int64)
    samples = samples_of(regions, _HOURS)
    samples = samples[~samples["region"].isin(gone)].reset_index(drop=True)
    labelled = [
        label(samples, events, threshold=threshold, window=f"{hours}h")["label"]
        for threshold, hours in TARGETS.values()
    ]
    known = pd.concat(labelled, axis=1).notna().all(axis=1).to_numpy()
    if not known.any():
        raise ValueError("no region of the summaries has hours whose flares are known")
    samples = samples[known].reset_index(drop=True)
    labels = np.column_stack([column[known].to_numpy(np.int8) == 1 for column in labelled])
    judged = samples["region"].isin(judging).to_numpy()
    if empty := [name for name, column in zip(TARGETS, labels[~judged].T, strict=True) if not column.any()]:
        raise ValueError(f"the training regions have no event of {', '.join(empty)}: give more years")
    values = features(samples, regions, events)
    region = samples["region"].to_numpy(np.int64)

    c = _penalties(values.to_numpy(np.float64)[~judged], labels[~judged], region[~judged], seed)
    regressions, cross_validation = {}, {}
    for inputs, names in INPUTS.items():
        table = values[list(names)].to_numpy(np.float64)
        fitted = fit(table[~judged], labels[~judged], c)
        found = np.where(
            judged[:, None],
            fitted.probabilities(table),
            _spread(_out_of_fold(table[~judged], labels[~judged], region[~judged], c, seed), ~judged),
        )
        chosen_on = judged if judged.any() else ~judged
        thresholds = np.array([
            scores.choose_threshold(labels[chosen_on, k], found[chosen_on, k])
            if labels[chosen_on, k].any() else np.nan
            for k in range(len(TARGETS))
        ])  # fmt: skip
        regressions[inputs] = fitted._replace(thresholds=thresholds)
        cross_validation[inputs] = {
            name: _summary(labels[~judged, k], found[~judged, k], thresholds[k], region[~judged], n_boot)
            for k, name in enumerate(TARGETS)
        }
    model = TextModel(regressions, np.tile([0.0, 1.0], (len(TARGETS), 1)), {})
    whole = ~np.isin(_day(samples["time"]), _day(regions.loc[regions["region"].isin(gone), "time"]))
    disk = _disk_correction(samples[whole], found[whole], events, model)
    told = {
        "version": __version__,
        "period": [f"{one:%Y-%m-%d}" for one in (samples["time"].min(), samples["time"].max())],
        "samples": int((~judged).sum()),
        "regions": int(samples.loc[~judged, "region"].nunique()),
        "validation_regions": int(samples.loc[judged, "region"].nunique()),
        "left_out_regions": len(gone),
        "events": {name: int(n) for name, n in zip(TARGETS, labels[~judged].sum(axis=0), strict=True)},
        "penalties": dict(zip(TARGETS, c, strict=True)),
        "seed": seed,
        "cross_validation": cross_validation,
    }
    return TextModel(regressions, disk, told | (card or {}))


def _spread(rows: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rows put where a mask is true."""
    spread = np.full((len(where), rows.shape[1]), np.nan)
    spread[where] = rows
    return spread


def _summary(
    labels: NDArray[np.bool_],
    found: NDArray[np.float64],
    threshold: float,
    region: NDArray[np.int64],
    n_boot: int,
) -> dict[str, Any]:
    """TSS, Brier skill score and area under the ROC curve with their intervals, rounded."""
    scored = scores.score_forecast(labels, found, threshold=threshold, groups=region, n_boot=n_boot)
    return {
        name: [round(one, 4) for one in (scored.values[name], *scored.intervals[name])]
        for name in ("tss", "bss", "auc")
    }


def _day(times: pd.Series) -> NDArray[np.datetime64]:
    return np.asarray(times.to_numpy("datetime64[D]"))


def _disk_correction(
    samples: pd.DataFrame, found: NDArray[np.float64], events: Events, model: TextModel
) -> NDArray[np.float64]:
    """Intercept and slope of the logarithmic odds of a flare anywhere on the disk, for each target."""
    linear_model = require("sklearn.linear_model", extra="flares", purpose="training the text model")
    table = pd.concat(
        [samples[["time"]], pd.DataFrame(found, columns=list(TARGETS), index=samples.index)], axis=1
    )
    disk = full_disk(table, model=model, corrected=False)
    # The whole disk as one region, with the flares that were attributed to none.
    flares = events.table.assign(region=pd.array(np.full(len(events.table), _DISK), dtype="Int32"))
    correction = []
    for name, (threshold, hours) in TARGETS.items():
        asked = disk[["time"]].assign(region=_DISK)
        truth = label(asked, events._replace(table=flares), threshold=threshold, window=f"{hours}h")["label"]
        known = truth.notna().to_numpy()
        odds = np.clip(disk[name].to_numpy(), 1e-9, 1 - 1e-9)
        odds = np.log(odds / (1 - odds))[:, None]
        yes = truth[known].to_numpy(np.int8) == 1
        if yes.all() or not yes.any():
            correction.append([0.0, 1.0])
            continue
        line = linear_model.LogisticRegression(C=np.inf).fit(odds[known], yes)
        correction.append([float(line.intercept_[0]), float(line.coef_[0, 0])])
    return np.array(correction)


def main(argv: Sequence[str] | None = None) -> None:
    """Train the text model, and count the flares by McIntosh class, from files."""
    parser = argparse.ArgumentParser(
        prog="python -m solartrack.flares.text_training",
        description="Fit the model of flares from text, and rates by McIntosh class, to reports.",
    )
    parser.add_argument(
        "--regions", nargs="+", type=Path, required=True, metavar="FILE",
        help="Solar Region Summaries: texts, folders, tar files, or CSV tables of their rows. Of a day in "
        "two files the later file counts",
    )  # fmt: skip
    parser.add_argument(
        "--flares", nargs="+", type=Path, required=True, metavar="FILE",
        help="event reports: texts, folders, tar files; or one CSV list of flares",
    )  # fmt: skip
    parser.add_argument(
        "--split", type=Path, metavar="FOLDER",
        help="lists of regions as published: those for validation choose the thresholds, those of the "
        "test are not looked at (default: thresholds from a cross-validation, no test)",
    )  # fmt: skip
    parser.add_argument("--source", default="", metavar="TEXT", help="where the data are from, for the card")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the folds (default: 0)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the model: .json")
    parser.add_argument("--rates", type=Path, metavar="FILE", help="the counts by McIntosh class: .csv")
    arguments = parser.parse_args(argv)
    regions = _read_regions(arguments.regions)
    events = _read_flares(arguments.flares)
    split = None if arguments.split is None else read_split(arguments.split)
    validation, left_out = ((), ()) if split is None else (split.validation, split.test)
    card = {"source": arguments.source} if arguments.source else {}
    model = train(regions, events, validation=validation, left_out=left_out, card=card, seed=arguments.seed)
    model.save(arguments.output)
    if arguments.rates is not None:
        own = regions[~regions["region"].isin([*validation, *left_out])]
        mcintosh.fit(own, events).save(arguments.rates)


def _read_regions(paths: Iterable[Path]) -> pd.DataFrame:
    """Rows of summaries of all files; of a day that two files have, those of the later file."""
    table = pd.DataFrame()
    for path in paths:
        csv = path.name.removesuffix(".gz").endswith(".csv")
        read = (read_region_table if csv else read_srs)(path)
        kept = table if table.empty else table[~table["time"].isin(read.days)]
        table = pd.concat([kept, read.regions], ignore_index=True)
    return table


def _read_flares(paths: Sequence[Path]) -> Events:
    if len(paths) == 1 and paths[0].name.removesuffix(".gz").endswith(".csv"):
        return read_flare_list(paths[0])
    return read_events(paths)


if __name__ == "__main__":
    main()
