"""``solartrack flares predict``: forecasts of a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import (
    IMAGES,
    INCOMPLETE,
    OK,
    add_command,
    add_workers,
    archive_in_words,
    archive_told,
    require_writable,
)
from solartrack.cli._parser import add_config
from solartrack.cli._tables import SUFFIXES, is_table, write_table
from solartrack.cli.flares._sources import complete_rows, features_of, joined
from solartrack.cli.flares.train import add_labels

if TYPE_CHECKING:
    import pandas as pd

_NOTES = """
examples:
  From features; with labels, the table is ready for 'solartrack flares score':
    solartrack flares predict --model model.skops features/features --labels samples.csv -o forecasts.csv
  Straight from patches, by a support vector machine or by a network:
    solartrack flares predict --model model.skops patches/ -o forecasts.csv
    solartrack flares predict --model run/vgg16.onnx 'patches/**' --labels samples.csv -o forecasts.csv
  From a large archive, on all cores or a Dask cluster; after an interruption it goes on:
    solartrack flares predict --model model.skops 'archive/**' -o forecasts/

The columns are those of the features' table (of patches: file, region and time), then probability, and
flare: whether it reaches the model's threshold; both are empty where there is no forecast. model,
model_sha256 and device say what made them; they are in tables only, not in a folder of an archive.

results in a folder, for an archive:
  forecasts/     Parquet, one table in parts, a row for each good file
  forecasts.csv  the same
  errors.csv     the files without a row, and why
  features/      the features, as 'solartrack features' makes them
"""

# From so many files on, worker processes are worth their start.
_MANY = 500


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "predict",
        help="forecasts of a trained model",
        description="Forecast flares: from features or patches with a support vector machine, from patches "
        "with a network.",
        notes=_NOTES,
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="FILE",
        help="file of 'solartrack flares train' (.skops) or 'train-images' (.onnx)",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FEATURES|PATCHES",
        help=f"tables of features, as for 'solartrack flares train'; or patches: {IMAGES}",
    )
    add_labels(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE|FOLDER",
        help="table: .csv or .parquet; of patches with a .skops also a folder, for an archive",
    )
    parser.add_argument(
        "--device",
        help="where the network of an .onnx runs: auto (a GPU if one works), cpu, cuda or cuda:N "
        "(default: auto)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="patches that an .onnx gets at a time (default: 32)"
    )
    add_workers(parser)
    add_config(parser)
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Forecast, write, and say what failed."""
    _require_model(arguments.model)
    is_network = arguments.model.suffix.lower() == ".onnx"
    of_tables = all(map(is_table, map(Path, arguments.inputs)))
    if is_network and of_tables:
        raise ValueError(
            f"{arguments.model} forecasts from patches, and {arguments.inputs[0]} is a table; give the "
            "patches, or a .skops model of features"
        )
    if not is_network:
        for option in ("device", "batch"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--{option} is for networks (.onnx), not for {arguments.model}")
    if of_tables:
        return _of_features(arguments)
    if arguments.output.suffix:
        return _of_patches(arguments, is_network)
    if is_network:
        output = arguments.output
        table = output / "forecasts" if output.is_dir() else output.with_name(output.name.rstrip("."))
        raise ValueError(
            f"a network's forecasts go into a table: -o {table}.parquet; a folder is for .skops models"
        )
    return _of_archive(arguments)


def _require_model(path: Path) -> None:
    """Refuse what comes with a model, with the file to give instead."""
    if not path.is_dir() and not path.name.lower().endswith(".weights.h5"):
        return
    folder = path if path.is_dir() else path.parent
    found = sorted(file for file in folder.glob("*.onnx"))
    what = "is a folder" if path.is_dir() else "has weights to train on from"
    raise ValueError(
        f"{path} {what}; --model is a file of 'solartrack flares train' (.skops) or 'train-images' (.onnx)"
        + (f", such as {found[0]}" if found else "")
    )


def _of_features(arguments: argparse.Namespace) -> int:
    from solartrack.flares.svm import SvmModel

    require_writable(arguments.output, SUFFIXES)
    model = SvmModel.load(arguments.model)
    table = features_of([Path(one) for one in arguments.inputs])
    if arguments.labels is not None:
        table = _labelled(table, arguments.labels)
    complete = complete_rows(table, model.feature_names)
    found = model.forecast(table[complete])[["probability", "flare"]].astype({"flare": "boolean"})
    forecasts = table.drop(columns=list(model.feature_names)).join(found)
    write_table(_signed(forecasts, *_of_machine(arguments.model)), arguments.output)
    _say(arguments, found["flare"])
    return OK if complete.all() else INCOMPLETE


def _of_patches(arguments: argparse.Namespace, is_network: bool) -> int:
    from solartrack import images
    from solartrack.flares import parse_names

    require_writable(arguments.output, SUFFIXES)
    if arguments.scheduler is not None:
        raise ValueError("--scheduler needs a folder as output; a table is made on this machine")
    if is_network:
        from solartrack.flares.vgg import ImageModel

        network = ImageModel.load(arguments.model, device=arguments.device or "auto")
        signature = network.name, network.sha256, network.device
    else:
        from solartrack.flares.svm import SvmModel

        machine = SvmModel.load(arguments.model)
        signature = _of_machine(arguments.model)
    files = images.find_images(arguments.inputs)
    if not files:
        raise FileNotFoundError(images.none_found(arguments.inputs))
    names = parse_names(files)[["file", "name", "region", "time"]]
    # Before the work, which would be lost if they do not fit.
    labelled = names if arguments.labels is None else _labelled(names, arguments.labels)
    if is_network:
        made = network.forecast_patches(
            files,
            batch=32 if arguments.batch is None else arguments.batch,
            workers=_readers(arguments, len(files)),
            progress=shows_progress(arguments),
        )
    else:
        made = machine.forecast_patches(files)
    forecasts = names.join(made.drop(columns="patch"))
    failed = forecasts["trouble"] != ""
    forecasts = forecasts.join(labelled[[column for column in labelled if column not in forecasts]])
    write_table(_signed(forecasts, *signature), arguments.output)
    for row in forecasts[failed].itertuples():
        LOG.warning(f"{row.file}: {row.trouble.removeprefix(f'{row.file}: ')}")
    if is_network:
        LOG.info(f"{network.name} {network.version} ran on {network.device} ({network.choice})")
    _say(arguments, forecasts.loc[~failed, "flare"])
    return INCOMPLETE if failed.any() else OK


def _labelled(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Samples with their labels from a table."""
    table = joined(table, path)
    if "label" not in table:
        raise ValueError(f"{path} lacks the column 'label'; 'solartrack flares label' makes a table with it")
    return table


def _of_machine(file: Path) -> tuple[str, str, str]:
    import hashlib

    return file.name, hashlib.sha256(file.read_bytes()).hexdigest(), "cpu"


def _signed(table: pd.DataFrame, model: str, sha256: str, device: str) -> pd.DataFrame:
    """Forecasts with what made them."""
    return table.assign(model=model, model_sha256=sha256, device=device)


def _readers(arguments: argparse.Namespace, files: int) -> int:
    from solartrack._arrays import as_threads

    if arguments.workers is not None:
        return int(arguments.workers)
    return as_threads(None) if files >= _MANY else 0


def _of_archive(arguments: argparse.Namespace) -> int:
    from solartrack.archive import forecast_archive

    if arguments.labels is not None:
        raise ValueError(
            "--labels needs a file as output; label the table of the archive's forecasts afterwards"
        )
    made = forecast_archive(
        arguments.inputs,
        arguments.model,
        arguments.output,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        progress=shows_progress(arguments),
    )
    if made.failed:
        LOG.warning(f"{made.failed} files have no forecast; see {made.errors}")
    say(arguments, archive_told(made), archive_in_words(made))
    return INCOMPLETE if made.failed else OK


def _say(arguments: argparse.Namespace, flare: pd.Series) -> None:
    told = {"forecasts": len(flare), "flares": int(flare.sum()), "output": arguments.output}
    say(arguments, told, "{forecasts} forecasts, a flare in {flares} of them; wrote {output}".format(**told))
