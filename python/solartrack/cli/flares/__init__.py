"""``solartrack flares``: from NOAA's texts to forecasts of flares and their scores."""

from __future__ import annotations

from typing import Any

from solartrack.cli._options import add_command
from solartrack.cli.flares import (
    events,
    explain,
    forecast,
    label,
    predict,
    regions,
    score,
    split,
    train,
    train_images,
)

_NOTES = """
examples:
  Today's forecast, with the model that comes with the package:
    solartrack flares forecast 20140106SRS.txt 20140107SRS.txt --events 2014010*events.txt
  From reports to the scores of a model of your own:
    solartrack flares events 2014_events.tar.gz -o events.parquet
    solartrack flares label 'patches/**' --events 2014_events.tar.gz -o labels.csv
    solartrack flares split labels.csv --by random -o samples.csv
    solartrack features 'patches/**' -o features
    solartrack flares train features/features --labels samples.csv -o model.skops
    solartrack flares predict --model model.skops features/features --labels samples.csv -o forecasts.csv
    solartrack flares score forecasts.csv --parts -o scores
  The same with a network on the patches themselves:
    solartrack flares train-images samples.csv -o run --backbone vgg16 --weights imagenet
    solartrack flares predict --model run/vgg16.onnx 'patches/**' --labels samples.csv -o images.csv
    solartrack flares score images.csv --parts -o image-scores
"""


def add(commands: Any) -> None:
    """Declare the commands and their arguments."""
    parser = add_command(
        commands,
        "flares",
        help="forecast flares: reports, labels, splits, models, scores",
        description="Forecast flares, from NOAA's texts or patches of magnetograms, and score forecasts.",
        notes=_NOTES,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        forecast,
        events,
        regions,
        label,
        split,
        train,
        train_images,
        predict,
        explain,
        score,
    ):
        command.add(inner)
