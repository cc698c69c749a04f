"""Training of networks on patches: samples, calibration, the files of a run, and what they are worth."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import _files
from solartrack._arrays import as_count
from solartrack._optional import require
from solartrack._tables import as_times
from solartrack.errors import ImageError, ModelError
from solartrack.flares._labelled import as_labels, as_seed
from solartrack.flares._svm_fit import calibrator_of
from solartrack.flares.scores import choose_threshold, score_forecast
from solartrack.inference import MagnetogramPatch
from solartrack.inference.patches import read_gauss

if TYPE_CHECKING:
    from solartrack.flares.vgg import ImageModel
    from solartrack.models.vgg.dataset import Samples

__all__ = ["ABOUT", "NETWORK", "finished_network", "read_about", "train"]

Floats = NDArray[np.float64]

#: Files in the folder of a run: what it says about itself, and the weights of the finished network.
ABOUT, NETWORK = "run.json", "network.weights.h5"

EXPORTS = ("fp32", "fp16", "int8")
#: Scores that a model says of itself.
SCORES = ("tss", "hss", "bss", "brier", "auc")

_COLUMNS = ("file", "label", "part", "region")
# Of layers that already know something; random ones learn at the rate of the head.
_CAREFUL_RATE = 1e-5
# Largest loss of TSS at which fp16 and int8 are offered, and patches that it is measured on.
_LARGEST_LOSS, _JUDGED = 0.01, 5000
# Patches that give the ranges of values in int8.
_SEEN = 256


class Part(NamedTuple):
    """Samples of one part with a known label."""

    files: list[str]
    labels: NDArray[np.int64]
    regions: pd.Series
    times: Any
    unknown: int

    @property
    def samples(self) -> Samples:
        """As the training takes them."""
        from solartrack.models.vgg.dataset import Samples

        return Samples(self.files, self.labels)

    def only(self, chosen: NDArray[np.bool_]) -> Part:
        """Some of them, in their order."""
        files = [file for file, is_chosen in zip(self.files, chosen, strict=True) if is_chosen]
        times = self.times[chosen] if len(self.times) else self.times
        return Part(
            files, self.labels[chosen], self.regions[chosen].reset_index(drop=True), times, self.unknown
        )


def parts_of(samples: pd.DataFrame) -> tuple[Part, Part]:
    """Samples to train on and to validate on; all others are not looked at."""
    if not isinstance(samples, pd.DataFrame):
        raise TypeError(f"samples must be a table, got {type(samples).__name__}")
    if lacking := [name for name in _COLUMNS if name not in samples]:
        raise ValueError(
            f"samples must have the columns {', '.join(_COLUMNS)}, as 'solartrack flares split' makes them; "
            f"{lacking[0]!r} is missing, got {list(samples.columns)[:12]}"
        )
    train, validation = (_part(samples, part) for part in ("train", "validation"))
    if shared := set(train.regions) & set(validation.regions):
        raise ValueError(
            f"{len(shared)} regions, such as {next(iter(shared))}, are in the parts train and validation; "
            "'solartrack flares split' keeps them apart"
        )
    return train, validation


def _part(samples: pd.DataFrame, name: str) -> Part:
    rows = samples[samples["part"] == name].reset_index(drop=True)
    if not len(rows):
        found = sorted(map(str, samples["part"].dropna().unique()))
        raise ValueError(f"samples must have rows of the part {name!r}, got the parts {found}")
    labels = pd.to_numeric(rows["label"], errors="coerce")
    words = rows["label"][labels.isna() & rows["label"].notna() & (rows["label"].astype(str) != "")]
    if len(words):
        raise ValueError(f"labels must be 0, 1 or missing, got {words.iloc[0]!r} in the part {name!r}")
    known, y = as_labels(labels)
    if len(np.unique(y)) < 2:
        found_labels = f"all {len(y)} known labels are {y[0]:g}" if len(y) else "no label is known"
        raise ValueError(
            f"the part {name!r} must have patches with a flare and without, {found_labels}; take more "
            "regions or another threshold"
        )
    kept = rows[known].reset_index(drop=True)
    if kept["region"].isna().any():
        raise ValueError(f"{int(kept['region'].isna().sum())} samples of the part {name!r} have no region")
    try:
        times = as_times(kept["time"]) if "time" in kept else np.array([], dtype="datetime64[us]")
    except ValueError as error:
        raise ValueError(
            f"the column 'time' of the part {name!r} must have times such as 2014-02-03T02:08:47: {error}"
        ) from error
    for row, file in enumerate(kept["file"]):
        if not isinstance(file, str | os.PathLike) or not os.fspath(file):
            raise ValueError(
                f"the column 'file' must have the path of each patch, got {file!r} in row {row} of the part "
                f"{name!r}; leave such rows out"
            )
    files = [os.fspath(file) for file in kept["file"]]
    return Part(files, y.astype(np.int64), kept["region"], times, int((~known).sum()))


def manifest(train: Part, validation: Part) -> dict[str, Any]:
    """What a network is trained on, in the words of `solartrack.flares.svm.SvmModel.training`."""
    digest = hashlib.sha256()
    for part in (train, validation):
        for file, label, region in zip(part.files, part.labels, part.regions, strict=True):
            digest.update(f"{Path(file).name} {label} {region}\n".encode("utf-8", "surrogateescape"))
        digest.update(b"\n")
    times = np.concatenate([train.times, validation.times])
    period = [str(times.min()), str(times.max())] if len(times) and not np.isnat(times).any() else []
    return {
        "rows": len(train.files) + len(validation.files),
        "positives": int(train.labels.sum() + validation.labels.sum()),
        "unknown": train.unknown + validation.unknown,
        "regions": int(train.regions.nunique() + validation.regions.nunique()),
        "validation_rows": len(validation.files),
        "validation_regions": int(validation.regions.nunique()),
        "period": period,
        "sha256": digest.hexdigest(),
    }


class Calibration(NamedTuple):
    """What turns a network's log-odds into probabilities, and what they are worth on the validation part."""

    slope: float
    offset: float
    threshold: float
    scores: dict[str, float]
    note: str


def calibrate(probabilities: NDArray[Any], labels: NDArray[np.int64], *, published: bool) -> Calibration:
    """Platt's logistic curve over the log-odds, and the threshold with the highest TSS.

    Parameters
    ----------
    probabilities : ndarray, shape (n, 2)
        Of the network, for the validation part.
    labels : ndarray of int, shape (n,)
    published : bool
        Leave the probabilities alone, and forecast a flare from 0.5 on.
    """
    tiny = np.finfo(np.float32).tiny  # a softmax in float32 may say that something is impossible
    quiet, flare = np.maximum(np.asarray(probabilities, dtype=np.float64), tiny).T
    log_odds = np.log(flare) - np.log(quiet)
    slope, offset, note = 1.0, 0.0, "none, as published"
    if not published:
        spread = float(log_odds.std()) or 1.0
        fitted = calibrator_of("sigmoid").fit(log_odds[:, None] / spread, labels)
        slope, offset, note = float(fitted.coef_[0, 0]) / spread, float(fitted.intercept_[0]), "sigmoid"
        if not slope > 0:
            # Turned around it would forecast: on the validation part, by chance.
            slope, offset, note = 1.0, 0.0, "none: on the validation part the network has no skill"
            warnings.warn(
                "on the validation part the network forecasts flares where there are fewer: it has learnt "
                "nothing that holds for other regions, and its probabilities are left as they are",
                stacklevel=3,
            )
    p = 1.0 / (1.0 + np.exp(-(slope * log_odds + offset)))
    threshold = 0.5 if published else choose_threshold(labels, p)
    values = score_forecast(labels, p, threshold=threshold).values
    return Calibration(slope, offset, threshold, {name: values[name] for name in SCORES}, note)


def fold_in(head: Any, calibration: Calibration) -> None:
    """Make a softmax of two units give the calibrated probabilities."""
    kernel, bias = (np.asarray(weight.value, dtype=np.float64) for weight in (head.kernel, head.bias))
    head.kernel.assign(calibration.slope * kernel)
    head.bias.assign(calibration.slope * bias + [0.0, calibration.offset])


class Plan(NamedTuple):
    """Arguments of a training run, checked."""

    backbone: str
    weights: str
    at: str
    cache: str
    epochs: int
    batch: int
    rate: float
    fine_tune_rate: float
    patience: int | None
    class_weights: bool
    published: bool
    precision: str
    seed: int
    export: tuple[str, ...]
    workers: int | None

    @property
    def settings(self) -> dict[str, Any]:
        """What the model says of itself."""
        return {
            "backbone": self.backbone, "fine_tune_from": self.at, "cache": self.cache, "epochs": self.epochs,
            "batch": self.batch, "rate": self.rate if self.at == "head" else self.fine_tune_rate,
            "patience": self.patience, "class_weights": self.class_weights, "seed": self.seed,
            "convention": "published" if self.published else "default",
        }  # fmt: skip


def plan_of(**given: Any) -> Plan:
    """Check the arguments of `train` before anything is read or written."""
    from solartrack.models.training import PRECISIONS
    from solartrack.models.vgg.backbones import BACKBONES
    from solartrack.models.vgg.weights import CHOICES

    for name, allowed in (
        ("backbone", tuple(BACKBONES)),
        ("cache", ("auto", "float32", "float16", "none")),
        ("convention", ("default", "published")),
        ("precision", PRECISIONS),
    ):
        if given[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {given[name]!r}")
    if isinstance(given["export"], str):
        raise TypeError(f"export must be a list, such as [{given['export']!r}], got a text")
    export = ("fp32", *(one for one in given["export"] if one != "fp32"))
    if unknown := set(export) - set(EXPORTS):
        raise ValueError(f"export must be of fp32, fp16 and int8, got {', '.join(sorted(unknown))}")
    if given["weights"] is None:
        raise ValueError(f"no weights are given: {CHOICES}")
    if not isinstance(given["weights"], str | os.PathLike):
        raise TypeError(f"{CHOICES}, got {given['weights']!r}")
    rates = {}
    for name in ("rate", "fine_tune_rate"):
        rate = given[name]
        if rate is None and name == "fine_tune_rate":
            rate = given["rate"] if given["weights"] == "random" else _CAREFUL_RATE
        is_number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
        if not is_number or not 0 < rate < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {rate!r}")
        rates[name] = float(rate)
    at = given["fine_tune_from"] or "head"
    cache = given["cache"]
    if cache == "auto":
        cache = "float32" if at == "head" else "none"
    patience = given["patience"]
    return Plan(
        given["backbone"], os.fspath(given["weights"]), at, cache, as_count(given["epochs"], "epochs"),
        as_count(given["batch"], "batch"), rates["rate"], rates["fine_tune_rate"],
        None if patience is None else as_count(patience, "patience"), bool(given["class_weights"]),
        given["convention"] == "published", given["precision"], as_seed(given["seed"]),
        tuple(dict.fromkeys(export)), given["workers"],
    )  # fmt: skip


def _layer_of(network: Any, fine_tune_from: str) -> str:
    """The layer from which on a network is trained; a block stands for its first one."""
    from solartrack.models.vgg.network import cut_points, split

    split(network, fine_tune_from)  # refuses what cannot be
    cuts = cut_points(network)
    first = (name for name in cuts if name.startswith(f"{fine_tune_from}_"))
    return fine_tune_from if fine_tune_from in cuts else next(first)


def train(
    samples: pd.DataFrame,
    folder: str | os.PathLike[str],
    *,
    name: str | None,
    progress: bool,
    **arguments: Any,
) -> ImageModel:
    """As `solartrack.flares.vgg.train` says."""
    plan = plan_of(**arguments)
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path, got {folder!r}")
    if not isinstance(name, str | None):
        raise TypeError(f"name must be text, got {name!r}")
    folder = Path(folder)
    learnt, judged = parts_of(samples)
    _refuse_other_results(folder)
    require("sklearn", extra="flares", purpose="the calibration of a network")
    from solartrack.models import training as runs
    from solartrack.models.vgg.learn import fit_head
    from solartrack.models.vgg.network import build
    from solartrack.models.vgg.weights import load_weights

    name = name or f"{plan.backbone}:{folder.resolve().name}"
    hardware = runs.prepare(precision=plan.precision, seed=plan.seed)
    network = build(plan.backbone, seed=plan.seed, dtype=hardware.precision)
    plan = plan._replace(at=_layer_of(network, plan.at))
    weights = load_weights(network, plan.weights)
    with _told(progress):
        fitted = fit_head(
            network,
            learnt.samples,
            judged.samples,
            folder,
            cache=None if plan.cache == "none" else folder / "activations",
            cache_dtype="float16" if plan.cache == "float16" else "float32",
            epochs=plan.epochs,
            batch=plan.batch,
            rate=plan.rate,
            patience=plan.patience,
            seed=plan.seed,
            class_weights=plan.class_weights,
            fine_tune_from=None if plan.at == "head" else plan.at,
            fine_tune_rate=plan.fine_tune_rate,
            head_first=plan.weights != "random",
            workers=plan.workers,
        )
    with _files.exclusive(folder):
        without_part = int((samples["part"].isna() | (samples["part"] == "")).sum())
        said = manifest(learnt, judged) | {"without_part": without_part}
        return _finish(folder, name, plan, network, learnt, judged, said, fitted, weights, hardware)


def _refuse_other_results(folder: Path) -> None:
    """Keep the files of a run that is not ours to go on with: they would be overwritten."""
    from solartrack.models.training import STATE

    if (folder / STATE).exists() or not folder.is_dir():
        return
    names = sorted(path.name for path in folder.iterdir())
    found = [name for name in names if name in (ABOUT, NETWORK, "history.csv") or name.endswith(".onnx")]
    if found:
        raise ValueError(
            f"{folder} holds {found[0]}, but no {STATE} of a run that could go on, and would lose it; choose "
            "another folder"
        )


def _finish(
    folder: Path,
    name: str,
    plan: Plan,
    trained: Any,
    learnt: Part,
    judged: Part,
    samples: Mapping[str, Any],
    fitted: Any,
    weights: Any,
    hardware: Any,
) -> ImageModel:
    """Calibrate, export, and say what came out."""
    from solartrack.flares.vgg import ImageModel
    from solartrack.models import training as runs
    from solartrack.models.vgg.network import build

    probabilities, there = _judge(folder, plan, trained, judged)
    calibration = calibrate(probabilities[there], judged.labels[there], published=plan.published)
    network = build(plan.backbone)  # in float32, whatever it was trained in
    network.set_weights(trained.get_weights())
    fold_in(network.get_layer("head"), calibration)
    about: dict[str, Any] = {
        "threshold": calibration.threshold,
        "settings": plan.settings
        | {
            "weights": {"name": weights.name, "sha256": weights.sha256, "about": weights.about},
            "precision": hardware.precision,
            "epoch": int(fitted.best["epoch"]),
            "calibration": calibration.note,
            "slope": calibration.slope,
            "offset": calibration.offset,
        },
        "scores": calibration.scores,
        **samples,
        "unreadable": len(fitted.unreadable),
        "hardware": hardware.name,
        "versions": runs.versions(),
        "seconds": round(fitted.seconds, 1),
    }
    version = f"epoch {about['settings']['epoch']}, seed {plan.seed}"
    with _files.replacing(folder / NETWORK) as partial:
        network.save_weights(partial)
    files = _exported(
        folder, plan, network, learnt, judged, {"name": name, "version": version, "training": about}
    )
    told = {
        "name": name,
        "version": version,
        "solartrack": metadata.version("solartrack"),
        "side": int(network.input_shape[1]),
        **{key: about.pop(key) for key in ("threshold", "settings", "scores")},
        "training": about,
        "history": fitted.history.to_dict("records"),
        "files": files,
    }
    write_about(folder, told)
    return ImageModel.load(folder / files["fp32"]["file"])


def _judge(folder: Path, plan: Plan, network: Any, judged: Part) -> tuple[Floats, NDArray[np.bool_]]:
    """The network's probabilities, shape (n, 2), for the validation part, and which files could be read."""
    from solartrack.models.vgg.activations import compute_activations
    from solartrack.models.vgg.dataset import Pass, Reader
    from solartrack.models.vgg.network import split

    n = len(judged.files)
    found, there = np.full((n, 2), np.nan), np.zeros(n, dtype=bool)
    rows = np.arange(n)
    if plan.cache != "none":
        trunk, rest = split(network, plan.at)
        home = folder / "activations" / plan.at / "validation"
        stored = compute_activations(
            trunk,
            judged.files,
            home,
            dtype="float16" if plan.cache == "float16" else "float32",
            batch=plan.batch,
            workers=plan.workers,
        )
        for begin in range(0, n, plan.batch):
            some = rows[begin : begin + plan.batch]
            found[some] = np.asarray(rest(stored.rows(some), training=False))
        return found, stored.readable
    convention = MagnetogramPatch(int(network.input_shape[1]))
    with Reader([Pass(judged.samples, lambda: rows)], convention, workers=plan.workers) as reader:
        for fields, _, some in reader.batches(plan.batch):
            found[some.numpy()], there[some.numpy()] = np.asarray(network(fields, training=False)), True
    return found, there


def _exported(
    folder: Path, plan: Plan, network: Any, learnt: Part, judged: Part, card: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write the files, measure them, and take away what costs too much."""
    from solartrack.models.vgg.export import export

    every = {p: folder / f"{plan.backbone}{'' if p == 'fp32' else f'.{p}'}.onnx" for p in EXPORTS}
    for precision in set(every) - set(plan.export):
        every[precision].unlink(missing_ok=True)  # of an earlier run here, with another threshold
    paths, refused = {precision: every[precision] for precision in plan.export}, {}
    for precision in plan.export:
        seen = None if precision == "fp32" else _some_patches(learnt, network, plan.seed)
        try:
            export(network, paths[precision], precision=precision, calibration=seen, **card)
        except ValueError as error:  # a ModelError is one; or there are too few patches for int8
            if precision == "fp32":
                raise
            refused[precision] = str(error)
    written = {precision: path for precision, path in paths.items() if precision not in refused}
    found = _measured(written, judged, plan) if len(written) > 1 else {}
    for precision in found.keys() - {"fp32"}:
        exact, other = found["fp32"], found[precision]
        # Written so that NaN is a loss, too.
        if not exact["tss"] - other["tss"] <= _LARGEST_LOSS:
            refused[precision] = (
                f"its TSS on the validation part is {other['tss']:.3f}, that of fp32 is {exact['tss']:.3f}"
            )
        elif other["patches"] < exact["patches"]:
            refused[precision] = (
                f"it has a forecast for {other['patches']} validation patches, fp32 for {exact['patches']}"
            )
    files: dict[str, dict[str, Any]] = {}
    for precision, path in paths.items():
        files[precision] = {"file": path.name, "kept": precision not in refused}
        if precision in refused:
            path.unlink(missing_ok=True)
            warnings.warn(f"no {precision} file was kept: {refused[precision]}", stacklevel=5)
            files[precision]["why"] = refused[precision]
        else:
            files[precision]["bytes"] = path.stat().st_size
        files[precision] |= found.get(precision, {})
    files["fp32"].setdefault("tss", card["training"]["scores"]["tss"])
    return files


def _some_patches(learnt: Part, network: Any, seed: int) -> Iterator[Any]:
    """Patches of the training part, half of them with flares, for the ranges of fp16 and int8."""
    convention = MagnetogramPatch(int(network.input_shape[1]))
    order = np.random.default_rng(seed).permutation(len(learnt.files))
    flares = learnt.labels[order] == 1
    half = _SEEN // 2
    for row in np.sort(np.concatenate([order[flares][:half], order[~flares][:half]])):
        with contextlib.suppress(ImageError, OSError):
            yield read_gauss(learnt.files[row], convention)


def _measured(paths: Mapping[str, Path], judged: Part, plan: Plan) -> dict[str, dict[str, Any]]:
    """What the files of a network say on the validation part, of which 5000 patches are enough."""
    from solartrack.flares.vgg import ImageModel

    chosen = np.ones(len(judged.files), dtype=bool)
    if len(chosen) > _JUDGED:
        chosen[np.random.default_rng(plan.seed).permutation(len(chosen))[_JUDGED:]] = False
    some = judged.only(chosen)
    found: dict[str, dict[str, Any]] = {}
    first: Floats | None = None
    for precision, file in paths.items():
        model = ImageModel.load(file)
        p = model.forecast_patches(some.files)["probability"].to_numpy()
        there = ~np.isnan(p)
        values = score_forecast(some.labels[there], p[there], threshold=model.threshold).values
        first = p if first is None else first
        found[precision] = {
            "patches": int(there.sum()),
            "tss": values["tss"],
            "brier": values["brier"],
            "largest_difference": float(np.abs(p[there] - first[there]).max(initial=0.0)),
        }
    return found


@contextlib.contextmanager
def _told(progress: bool) -> Iterator[None]:
    """Let a run say on standard error how it goes on, or nothing: what is printed is for the result."""
    with contextlib.ExitStack() as stack:
        stream = sys.stderr if progress else stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stdout(stream))
        yield


def finished_network(folder: str | os.PathLike[str], about: Mapping[str, Any]) -> Any:
    """The calibrated Keras network of a finished run, float32."""
    from solartrack.models.vgg.network import build
    from solartrack.models.vgg.weights import load_weights

    settings, weights = about["settings"], Path(folder) / NETWORK
    if not isinstance(settings, dict) or "backbone" not in settings:
        raise ModelError(f"{os.fspath(folder)}: the settings in its {ABOUT} name no backbone; train it again")
    if not weights.is_file():
        raise ModelError(
            f"{os.fspath(folder)} lacks {NETWORK}, the weights of its network; start 'train-images' again "
            "with the same arguments, which writes them"
        )
    network = build(settings["backbone"])
    load_weights(network, weights)
    return network


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write what a run says about itself."""
    _files.write_bytes(folder / ABOUT, f"{json.dumps(about, indent=1)}\n".encode())


def read_about(folder: str | os.PathLike[str], wanted: Collection[str]) -> dict[str, Any]:
    """What a finished run says about itself.

    Raises
    ------
    ModelError
        If the folder is none of a finished run.
    """
    path = Path(folder) / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if missing := [key for key in wanted if key not in about]:
            raise ValueError(f"it lacks {missing[0]!r}")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{os.fspath(folder)} is not the folder of a finished run of 'solartrack flares train-images': "
            f"{error}"
        ) from error
    return about
