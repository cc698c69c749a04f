"""Networks on magnetogram patches: train, judge, forecast; the recipe is that of Boucheron et al. 2023.

A model is an ONNX file: float32 patches in gauss of any size in, the probability of a flare out, with the
preprocessing inside. It runs without TensorFlow, on the CPU or on a CUDA device; `train` and `explain` need
TensorFlow.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack import _files, _workers
from solartrack._arrays import as_count
from solartrack._progress import tqdm
from solartrack._show import as_html, as_text
from solartrack.errors import ImageError, ModelError
from solartrack.flares import _vgg_training as _training
from solartrack.flares.scores import Report, evaluate
from solartrack.inference import MagnetogramPatch, Model
from solartrack.inference.patches import read_field, read_gauss, try_field

__all__ = ["Explanation", "ImageModel", "about_run", "explain", "train"]

Floats = NDArray[np.float64]
_Field = NDArray[np.float32]

# Files that a worker process gets at a time, and threads that read in this process: reading FITS holds
# Python's lock most of the time, so more do not help.
_CHUNK, _READERS = 8, 2
_BATCH = 32

_NO_NUMBER = (
    "the network answers no number: its values overflow for this patch; use a file of it in fp32, or look at "
    "the field"
)


@dataclass(frozen=True, eq=False, repr=False)
class ImageModel:
    """A trained network on magnetogram patches; made by `train` or `ImageModel.load`.

    Attributes
    ----------
    path : Path
    name, version, precision, sha256 : str
        As the file says, see `solartrack.inference.ModelInfo`.
    threshold : float
        Probability from which it forecasts a flare: where TSS was highest on the validation regions, 0.5 if
        it was trained with ``convention="published"``.
    settings : dict
        Backbone, weights, epochs and the other arguments of the training.
    training : dict
        What it was trained on: rows, positives, rows without a known label or without a part (left out),
        unreadable files, regions, period ("" without a column ``time``), the SHA-256 hash of files, labels
        and regions; with what, and in how many seconds.
    scores : dict
        On the validation regions, which also gave the threshold and the probabilities: somewhat better than
        on regions that gave neither.
    device : str
        Where it runs: "cpu", "cuda:0", ...
    choice : str
        Why it runs there.
    network : Model
        The ONNX session.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import flares
    >>> model = flares.ImageModel.load("run/vgg-small.onnx", device="cpu")  # doctest: +SKIP
    >>> table = model.forecast_patches(Path("patches").rglob("*.fits"))  # doctest: +SKIP
    >>> table.columns.tolist()  # doctest: +SKIP
    ['patch', 'probability', 'flare', 'trouble']
    """

    path: Path
    name: str
    version: str
    precision: str
    sha256: str
    threshold: float
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    scores: Mapping[str, float]
    device: str
    choice: str
    network: Model

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None
    ) -> ImageModel:
        """Read a model file.

        Parameters
        ----------
        path : path
            An ``.onnx`` file of a network on patches.
        device, threads
            As for `solartrack.inference.Model.load`.

        Returns
        -------
        ImageModel

        Raises
        ------
        ModelError
            If the file is damaged or foreign, of another convention (such as a tracker's or a table
            classifier's), or does not say its threshold.
        DeviceError
            If CUDA was requested and does not work here.
        FileNotFoundError
            If there is no such file.
        ImportError
            If ONNX Runtime is not installed.

        Examples
        --------
        >>> from solartrack import flares
        >>> model = flares.ImageModel.load("run/vgg-small.onnx", device="cpu")  # doctest: +SKIP
        >>> model.name, model.device  # doctest: +SKIP
        ('vgg-small:run', 'cpu')
        """
        network = Model.load(path, device=device, threads=threads)
        info = network.info
        if not isinstance(info.convention, MagnetogramPatch):
            raise ModelError(
                f"{path} is a model of the convention {info.convention.kind!r}, forecasts from patches need "
                f"{MagnetogramPatch.kind!r}; {_USES.get(info.convention.kind, 'use what wrote it')}"
            )
        said = dict(info.training)
        threshold = said.pop("threshold", None)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise ModelError(
                f"{path} does not say from which probability it forecasts a flare: its threshold is "
                f"{threshold!r}; export it again with training={{'threshold': 0.5, ...}}"
            )
        settings, scores = dict(said.pop("settings", {})), dict(said.pop("scores", {}))
        return cls(
            network.path, info.name, info.version, info.precision, info.sha256, float(threshold), settings,
            said, scores, network.device, network.choice, network,
        )  # fmt: skip

    @property
    def convention(self) -> MagnetogramPatch:
        """Side of the image that the network sees, and the field that is mapped to 0 to 255."""
        assert isinstance(self.network.convention, MagnetogramPatch)
        return self.network.convention

    def predict_proba(self, patches: Iterable[Any]) -> Floats:
        """Probabilities of a flare.

        Parameters
        ----------
        patches : ndarray, shape (n, rows, columns), or iterable
            Line-of-sight field in gauss, row 0 as in the FITS file. Items of an iterable may differ in size,
            and may be paths; see `solartrack.inference.patches.read_gauss`.

        Returns
        -------
        ndarray of float, shape (n,)

        Raises
        ------
        ImageError
            If a patch cannot be used: it has NaN, or a field that is impossible (more than 100 kG), is not
            grey of 8 bits, is smaller than 16 or larger than 4096 pixels. The message says which patch it is.
        ModelError
            If the network's answer for a patch is no number.
        TypeError, ValueError
            If `patches` is a single patch, or an array is none of numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack import flares
        >>> gauss = np.random.default_rng(1).normal(0, 100, (3, 100, 120))
        >>> model = flares.ImageModel.load("run/vgg-small.onnx")  # doctest: +SKIP
        >>> model.predict_proba(gauss).shape  # doctest: +SKIP
        (3,)
        """
        _refuse_single(patches)
        found: list[Floats] = [np.empty(0)]
        numbered = enumerate(patches)
        while some := list(islice(numbered, _BATCH)):
            fields = np.stack([self._prepared(patch, f"patch {k}") for k, patch in some])
            found.append(self._run(fields, some[0][0]))
        return np.concatenate(found)

    def predict(self, patches: Iterable[Any]) -> NDArray[np.bool_]:
        """Whether a flare is forecast, shape (n,): the probability is at least `threshold`.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack import flares
        >>> gauss = np.random.default_rng(1).normal(0, 100, (3, 100, 120))
        >>> model = flares.ImageModel.load("run/vgg-small.onnx")  # doctest: +SKIP
        >>> model.predict(gauss).dtype  # doctest: +SKIP
        dtype('bool')
        """
        return self.predict_proba(patches) >= self.threshold

    def forecast_patches(
        self,
        patches: Iterable[Any],
        *,
        batch: int = _BATCH,
        workers: int = 0,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Forecasts from files, which are read while the network computes.

        Parameters
        ----------
        patches : iterable of path or array_like
            As for `predict_proba`.
        batch : int
            Patches that the network gets at a time.
        workers : int
            Processes that read; 0 reads in threads of this process, which is better for a few hundred files.
            A script that uses more must call this below ``if __name__ == "__main__":``.
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        DataFrame
            A row for each, in their order: ``patch`` (the path, or "" for an array), ``probability``,
            ``flare`` and ``trouble``: "", or why there is no forecast; then the probability is NaN and
            ``flare`` is NA. A name that is not UTF-8 is trouble, too, and is written with
            its bytes in hexadecimal.

        Raises
        ------
        ValueError
            If `patches` is a single patch, or `batch` or `workers` is out of range.
        ArchiveError
            If worker processes cannot start.

        Notes
        -----
        Files are read, and patches resized, a few batches ahead of the network, which is all that is in
        memory of them; the items of an iterable are taken at once. A file that kills the process that
        reads it costs its own row.

        Examples
        --------
        >>> from pathlib import Path
        >>> from solartrack import flares
        >>> model = flares.ImageModel.load("run/vgg-small.onnx")  # doctest: +SKIP
        >>> paths = sorted(Path("patches").rglob("*.fits"))
        >>> table = model.forecast_patches(paths)  # doctest: +SKIP
        >>> table["trouble"].unique().tolist()  # doctest: +SKIP
        ['']
        """
        size = as_count(batch, "batch")
        _refuse_single(patches)
        place = _workers.workplace(workers)
        given = patches if isinstance(patches, np.ndarray) else list(patches)
        names = [_files.shown(one) if isinstance(one, str | os.PathLike) else "" for one in given]
        probability, trouble = np.full(len(names), np.nan), [""] * len(names)
        rows: list[int] = []
        waiting: list[_Field] = []

        def forecast() -> None:
            if rows:
                found = self.network.run({"patch": np.stack(waiting)})["probability"][:, 0]
                probability[rows] = np.where(np.isfinite(found), found, np.nan)
                for row in np.array(rows)[~np.isfinite(found)]:
                    trouble[row] = _NO_NUMBER
            rows.clear()
            waiting.clear()

        read = partial(_read, convention=self.convention)
        with (
            closing(_reading(enumerate(given), read, place, 2 * size)) as results,
            tqdm(total=len(names), unit="patch", disable=not progress) as bar,
        ):
            for (row, _), found in results:
                if isinstance(found, str):
                    trouble[row] = found
                else:
                    rows.append(row)
                    waiting.append(found)
                if len(rows) == size:
                    forecast()
                bar.update()
            forecast()
        flare = pd.array(probability >= self.threshold, dtype="boolean")
        flare[np.isnan(probability)] = pd.NA
        columns = {"patch": names, "probability": probability, "flare": flare, "trouble": trouble}
        return pd.DataFrame(columns).astype({"patch": "str", "trouble": "str"})

    def evaluate(
        self, patches: Iterable[Any], labels: ArrayLike, groups: ArrayLike, **options: Any
    ) -> Report:
        """Scores on patches that it was not trained on, beside climatology and what ``baselines`` gives.

        Parameters
        ----------
        patches : iterable of path or array_like, length n
            As for `forecast_patches`. Those without a forecast are left out and counted, as are those
            without a known label.
        labels, groups : array_like, shape (n,)
            1, 0 or missing; and the region of each patch.
        **options
            Those of `solartrack.flares.scores.evaluate`: ``baselines``, ``by``, ``n_boot``, ``seed``, ...

        Returns
        -------
        Report

        Raises
        ------
        ValueError, TypeError
            If lengths differ, or no patch has a forecast, and as for `solartrack.flares.scores.evaluate`.

        Examples
        --------
        >>> import pandas as pd
        >>> from solartrack import flares
        >>> samples = pd.read_csv("split.csv")  # doctest: +SKIP
        >>> test = samples[samples["part"] == "test"]  # doctest: +SKIP
        >>> model = flares.ImageModel.load("run/vgg-small.onnx")  # doctest: +SKIP
        >>> report = model.evaluate(test["file"], test["label"], test["region"])  # doctest: +SKIP
        >>> list(report.scores)  # doctest: +SKIP
        ['vgg-small:run', 'climatology']
        """
        made = self.forecast_patches(patches)
        if len(made) and made["probability"].isna().all():
            raise ValueError(
                f"there is no forecast for any of the {len(made)} patches, such as the first: "
                f"{made['patch'][0]} {made['trouble'][0]}"
            )
        table = made[["probability"]]
        for name, column in (("label", labels), ("region", groups)):
            values = pd.Series(column).array
            if len(values) != len(table):
                raise ValueError(f"{name}s must be as many as the patches, {len(table)}, got {len(values)}")
            table[name] = values
        table["label"] = table["label"].mask(table["probability"].isna())
        settings: dict[str, Any] = {"name": self.name, **options}
        if {"positives", "rows"} <= set(self.training):
            settings.setdefault("base_rate", self.training["positives"] / self.training["rows"])
        return evaluate(table, threshold=self.threshold, **settings)

    def _prepared(self, patch: Any, name: str) -> _Field:
        """A patch as the network sees it; errors name it."""
        try:
            return read_field(patch, self.convention)
        except (ImageError, ValueError, TypeError) as error:
            kind = ImageError if isinstance(error, ImageError) else type(error)
            raise kind(f"{name}: {error}") from error

    def _run(self, fields: _Field, first: int) -> Floats:
        probability = self.network.run({"patch": fields})["probability"][:, 0].astype(np.float64)
        if not np.isfinite(probability).all():
            raise ModelError(f"patch {first + int(np.argmin(np.isfinite(probability)))}: {_NO_NUMBER}")
        return probability

    def __repr__(self) -> str:
        tss = self.scores.get("tss")
        skill = "" if tss is None else f", validation TSS {tss:.3f}"
        return f"<ImageModel {self.name} {self.version}, {self.precision} on {self.device}{skill}>"


_USES = {
    "crop-pair": "give it to a tracker as model=",
    "feature-table": "give its .skops file to SvmModel.load, and the features of the patches to the model",
}


def _refuse_single(patches: Any) -> None:
    """Refuse one patch where many are wanted: its rows would be taken for patches."""
    is_path = isinstance(patches, str | os.PathLike)
    if is_path or (isinstance(patches, np.ndarray) and patches.ndim == 2):
        got = "a path" if is_path else f"shape {patches.shape}"
        raise ValueError(
            "patches must be an array of shape (n, rows, columns) or a list of patches, got "
            f"{got}; put a single one into a list"
        )


def _read(item: tuple[int, Any], convention: MagnetogramPatch) -> _Field | str:
    """A patch as the network sees it, or why it cannot; in a thread or a worker process."""
    return try_field(item[1], convention)


def _lost(_: tuple[int, Any]) -> _Field | str:
    return _workers.DIED


def _reading(
    items: Iterable[tuple[int, Any]],
    read: Callable[[tuple[int, Any]], _Field | str],
    place: _workers.Workplace,
    ahead: int,
) -> Generator[tuple[tuple[int, Any], _Field | str], None, None]:
    """Patches, read ahead of what is asked for."""
    if place.processes:
        yield from _workers.run(read, items, place, lost=_lost, chunk=_CHUNK)
        return
    remaining = iter(items)
    with ThreadPoolExecutor(_READERS) as pool:
        underway = deque((item, pool.submit(read, item)) for item in islice(remaining, ahead))
        try:
            while underway:
                item, future = underway.popleft()
                yield item, future.result()
                underway.extend((item, pool.submit(read, item)) for item in islice(remaining, 1))
        finally:
            pool.shutdown(cancel_futures=True)


class Explanation(NamedTuple):
    """What a network looks at in a patch.

    Attributes
    ----------
    field : ndarray of float32, shape (rows, columns)
        Gauss.
    attribution, change, baseline, error
        As in `solartrack.models.vgg.saliency.Saliency`.
    probability, threshold : float
        The forecast, and from where on a flare is forecast.
    model : str
        Name of the network.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares import vgg
    >>> field = np.random.default_rng(1).normal(0, 300, (32, 32)).astype(np.float32)
    >>> found = vgg.Explanation(field, field / 1e6, 0.3, 0.1, 1e-4, 0.4, 0.5, "small")
    >>> found
    Explanation
      field        (32, 32) float32
      attribution  (32, 32) float32
      change       0.3
      baseline     0.1
      error        0.0001
      probability  0.4
      threshold    0.5
      model        small
    """

    field: _Field
    attribution: Floats
    change: float
    baseline: float
    error: float
    probability: float
    threshold: float
    model: str

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def explain(run: str | os.PathLike[str], patch: Any) -> Explanation:
    """What the network of a training run looks at in a patch: integrated gradients.

    Parameters
    ----------
    run : path
        Folder of `train`.
    patch : path or array_like, shape (rows, columns)
        As for `solartrack.inference.patches.read_gauss`.

    Returns
    -------
    Explanation
        For `solartrack.viz.plot_saliency`.

    Raises
    ------
    ModelError
        If the folder is not that of a finished run, or lacks the weights of its network.
    ImageError
        If the patch cannot be used.
    ImportError
        If TensorFlow is not installed.

    See Also
    --------
    solartrack.models.vgg.saliency.integrated_gradients : what is computed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import viz
    >>> from solartrack.flares import vgg
    >>> patch = sorted(Path("patches").rglob("*.fits"))[0]  # doctest: +SKIP
    >>> found = vgg.explain("run", patch)  # doctest: +SKIP
    >>> found.attribution.shape == found.field.shape  # doctest: +SKIP
    True
    >>> figure = viz.plot_saliency(found.field, found.attribution)  # doctest: +SKIP
    """
    about = about_run(run)
    field = read_gauss(patch, MagnetogramPatch(about["side"]))
    from solartrack.models.vgg.saliency import integrated_gradients

    found = integrated_gradients(_training.finished_network(run, about), field)
    return Explanation(
        field, found.attribution, found.change, found.baseline, found.error, found.probability,
        about["threshold"], about["name"],
    )  # fmt: skip


def about_run(run: str | os.PathLike[str]) -> dict[str, Any]:
    """What a finished run of `train` says about itself: its ``run.json``.

    Parameters
    ----------
    run : path
        Folder of the run.

    Returns
    -------
    dict
        ``name``, ``side``, ``threshold``, ``settings``, ``training`` and ``scores`` as in `ImageModel`;
        ``history``, the figures of each epoch; ``files``, for each precision its file, whether it was
        kept and else why not, size, TSS and Brier score on the validation part (5000 patches of it, if there
        are more), and largest difference of probabilities from fp32.

    Raises
    ------
    ModelError
        If the folder is not that of a finished run.

    Examples
    --------
    >>> from solartrack.flares import vgg
    >>> about = vgg.about_run("run")  # doctest: +SKIP
    >>> about["name"], about["settings"]["backbone"]  # doctest: +SKIP
    ('vgg-small:run', 'vgg-small')
    """
    return _training.read_about(run, ("name", "side", "threshold", "settings", "training", "scores", "files"))


def train(
    samples: pd.DataFrame,
    folder: str | os.PathLike[str],
    *,
    backbone: str = "vgg16",
    weights: str | os.PathLike[str] | None = None,
    fine_tune_from: str | None = None,
    cache: Literal["auto", "float32", "float16", "none"] = "auto",
    epochs: int = 5,
    batch: int = 64,
    rate: float = 1e-3,
    fine_tune_rate: float | None = None,
    patience: int | None = None,
    class_weights: bool = True,
    convention: Literal["default", "published"] = "default",
    precision: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    export: Sequence[str] = ("fp32",),
    name: str | None = None,
    progress: bool = False,
) -> ImageModel:
    """Train a network on patches by transfer learning, calibrate it, and export it.

    Parameters
    ----------
    samples : DataFrame
        Columns ``file``, ``label`` (1, 0, or missing where it is not known: left out and counted), ``part``
        and ``region``, as ``solartrack flares split`` makes them, perhaps ``time``. The network learns from
        the part "train"; "validation" gives the best epoch, the calibration, the threshold and the scores;
        other parts are not looked at.
    folder : path
        Of the run; it is made. A run that was stopped goes on when it is started again with the same
        arguments, to the same result. Afterwards it holds ``BACKBONE.onnx``, ``run.json`` (`about_run`),
        ``history.csv``, ``errors.csv`` (files that could not be read) and ``network.weights.h5``.
    backbone : str
        A name in `solartrack.models.vgg.backbones.BACKBONES`: "vgg16" as published, "vgg16-trunk",
        "efficientnet-lite0" or "vgg-small".
    weights : str or path
        To begin with, see `solartrack.models.vgg.weights.load_weights`: a file, "imagenet", "hed" or
        "random". There is no default.
    fine_tune_from : str, optional
        Layer or block from which on the network is trained; what is before it is frozen. The last layer is
        trained alone first, for as many epochs, unless `weights` are random. Default: the last layer alone,
        as published.
    cache : {"auto", "float32", "float16", "none"}
        Compute once what the frozen layers give for each file, and keep it in ``folder``; it gives the same
        network as without. "auto" is "float32" if the last layer alone is trained, else "none".
    epochs, batch, rate : int, int, float
        Passes through the samples, patches of a step, learning rate of Adam.
    fine_tune_rate : float, optional
        Learning rate with `fine_tune_from`. Default: 1e-5, or `rate` if `weights` are random, which have
        nothing to lose.
    patience : int, optional
        End after so many epochs without a better TSS.
    class_weights : bool
        Weigh flares by the number of the others over theirs.
    convention : {"default", "published"}
        "default" makes the probabilities those of a logistic curve (Platt) over the network's log-odds on the
        validation part, and the threshold that of the highest TSS there. "published" leaves the network's
        probabilities alone, which the class weights make too high, and forecasts a flare from 0.5 on.
    precision : str
        Of the training, one of `solartrack.models.training.PRECISIONS`.
    workers : int, optional
        Processes that read patches; 0 reads in this process. Default: the cores that it may use; then a
        script must call this below ``if __name__ == "__main__":``.
    seed : int
        Of the weights that are drawn and the order of the patches.
    export : sequence of {"fp32", "fp16", "int8"}
        ONNX files to write; "fp32" is always written. The others are kept only if their TSS on the validation
        part is at most 0.01 below that of "fp32", they have a forecast wherever it has one, and their
        probabilities are close to its own (`solartrack.models.vgg.export`). Files of an earlier run in this
        folder that are not asked for are removed.
    name : str, optional
        Of the model, for result tables. Default: the backbone and the folder's name.
    progress : bool
        Say how it goes on.

    Returns
    -------
    ImageModel
        The "fp32" one.

    Raises
    ------
    ValueError
        If a column is missing, a part is missing or has patches of one class only, a region is in both
        parts, as is a file (by whatever path), an argument is out of range, no weights are given, or the
        folder holds a run with other arguments or samples, or of more epochs than are asked for, or results
        of something else.
    TypeError
        If an argument is of another type.
    ModelError
        If there are no such weights, they are damaged, or of another architecture; or training diverges.
    OSError
        If the disk is full; what is finished is kept.
    ArchiveError
        If another run works in the folder, its state is damaged, or worker processes cannot start.
    ImportError
        If TensorFlow, ONNX, ONNX Runtime or scikit-learn is not installed.

    Warns
    -----
    UserWarning
        If the network has no skill on the validation part, or a file is not kept.

    References
    ----------
    Boucheron et al. 2023, Sci. Data 10, 825; Platt 1999, in Advances in Large Margin Classifiers, 61.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.flares import vgg
    >>> samples = pd.read_csv("split.csv")  # doctest: +SKIP
    >>> network = {"backbone": "vgg-small", "weights": "random", "fine_tune_from": "block1"}
    >>> model = vgg.train(samples, "run", **network, workers=0)  # doctest: +SKIP
    >>> model.path.name  # doctest: +SKIP
    'vgg-small.onnx'
    """
    return _training.train(
        samples, folder, backbone=backbone, weights=weights, fine_tune_from=fine_tune_from, cache=cache,
        epochs=epochs, batch=batch, rate=rate, fine_tune_rate=fine_tune_rate, patience=patience,
        class_weights=class_weights, convention=convention, precision=precision, workers=workers,
        seed=seed, export=export, name=name, progress=progress,
    )  # fmt: skip
