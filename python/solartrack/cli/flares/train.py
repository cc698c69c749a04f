"""``solartrack flares train``: a support vector machine on a table of features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import INCOMPLETE, OK, add_command, require_writable
from solartrack.cli.flares._sources import complete_rows, features_of, joined, with_samples

if TYPE_CHECKING:
    import pandas as pd

_NOTES = """
examples:
  On the features of patches; regions are split as 'solartrack flares split' did:
    solartrack features 'patches/**' -o features
    solartrack flares train features/features --labels samples.csv -o model.skops
  On keywords of SHARPs, with probabilities from a cross-validation over HARPs:
    solartrack flares train sharp_*.csv.gz --feature-set sharp+flare_index --group arpnum -o sharp.skops

With a column part, the machine is trained on 'train', its probabilities and its threshold come from
'validation', and the rest is not looked at. Without one, they come from a cross-validation over regions.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "train",
        help="train a support vector machine on features",
        description="Train a support vector machine on tables of features, with calibrated probabilities.",
        notes=_NOTES,
    )
    parser.add_argument(
        "features",
        nargs="+",
        type=Path,
        metavar="FEATURES",
        help="tables of the same columns: .csv, .parquet, folders of 'solartrack features', or as published",
    )
    add_labels(parser)
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help="table with the column part, if --labels has none"
    )
    parser.add_argument(
        "--feature-set",
        default="complexity",
        metavar="NAMES",
        help="complexity, physical, sharp, sharp_vector, flare_index, srs_text, or some joined by + "
        "(default: %(default)s)",
    )
    parser.add_argument("--kernel", choices=("rbf", "linear"), default="rbf", help="(default: %(default)s)")
    parser.add_argument(
        "--solver",
        choices=("auto", "exact", "linear", "nystroem"),
        default="auto",
        help="auto: exact for up to 50 000 rows, above linear or nystroem (default: %(default)s)",
    )
    parser.add_argument(
        "--c", type=float, metavar="C", help="weight of errors against a wide margin (default: 1)"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="choose C of 0.1, 1 and 10 by a cross-validation over training regions",
    )
    parser.add_argument(
        "--folds", type=int, default=5, metavar="N", help="of cross-validations (default: %(default)s)"
    )
    parser.add_argument(
        "--group",
        default="region",
        metavar="COLUMN",
        help="what is on one side of a validation only (default: %(default)s)",
    )
    parser.add_argument(
        "--convention",
        choices=("standard", "published"),
        default="standard",
        help="published: scaled with minima and maxima of all rows, test included, as the published script "
        "did (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="the model: .skops")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="also export it for ONNX Runtime: .onnx")
    add_messages(parser)
    parser.set_defaults(run=run)


def add_labels(parser: argparse.ArgumentParser) -> None:
    """A table of labels for the rows of the features."""
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="table of 'solartrack flares label' or 'split' for the same patches, or the same regions and "
        "times (default: the column label, or class_label, of the features)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, store, and say how well it does on the validation regions."""
    from solartrack.flares import svm
    from solartrack.flares.feature_sets import feature_names

    require_writable(arguments.output, (".skops",))
    if arguments.onnx is not None:
        require_writable(arguments.onnx, (".onnx",))
    everything = features_of(arguments.features)
    complete = complete_rows(everything, feature_names(arguments.feature_set))
    everything = table = everything[complete].reset_index(drop=True)
    for path in filter(None, (arguments.labels, arguments.split)):
        table = joined(table, path)
    if arguments.group not in table:
        table = with_samples(table, "the table of features")
    table = table.assign(label=_labels(table))
    settings: dict[str, Any] = {
        "feature_set": arguments.feature_set,
        "kernel": arguments.kernel,
        "solver": arguments.solver,
        "seed": arguments.seed,
    }
    validation: Any = arguments.folds
    if "part" in table:
        table = table[table["part"].isin(["train", "validation"])].reset_index(drop=True)
        rows = (table["part"] == "validation") & table["label"].notna()
        validation = table.loc[rows, arguments.group].unique().tolist()
    if arguments.tune:
        own = table if isinstance(validation, int) else table[table["part"] == "train"]
        tuned = svm.tune(own, own["label"], own[arguments.group], folds=arguments.folds, **settings)
        settings |= tuned.settings
    elif arguments.c is not None:
        settings["c"] = arguments.c
    if arguments.convention == "published":
        settings |= {"convention": "published", "scale_with": everything}
    model = svm.train(table, table["label"], table[arguments.group], validation=validation, **settings)
    model.save(arguments.output)
    if arguments.onnx is not None:
        model.export_onnx(arguments.onnx)
    told = {
        "feature_set": model.feature_set,
        "threshold": model.threshold,
        "settings": dict(model.settings),
        "training": dict(model.training),
        "scores": dict(model.scores),
    }
    say(arguments, told, _in_words(told))
    return OK if complete.all() else INCOMPLETE


def _labels(table: pd.DataFrame) -> pd.Series:
    import pandas as pd

    for column in ("label", "class_label"):
        if column in table:
            return pd.to_numeric(table[column].replace({"True": 1, "False": 0}))
    raise ValueError("the features have no column label; give --labels")


def _in_words(told: dict[str, Any]) -> str:
    settings, training = told["settings"], told["training"]
    judged = settings["validation"]
    by = (
        f"a cross-validation in {judged} folds"
        if isinstance(judged, int)
        else f"{len(judged)} validation regions"
    )
    scores = ", ".join(f"{name.upper()} {value:.3f}" for name, value in told["scores"].items())
    return (
        f"{settings['kernel']} kernel, C {settings['c']:g}, on {told['feature_set']}; "
        f"solver {settings['choice']}\n"
        f"{training['rows']} rows of {training['regions']} regions, {training['positives']} positive; "
        f"{training['unknown']} without a known label left out\n"
        f"threshold {told['threshold']:.3f} from {by}: {scores}"
    )
