"""``solartrack flares explain``: what a network looks at in a patch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, positive, require_writable

_NOTES = """
examples:
  Which parts of a patch speak for a flare:
    solartrack flares explain run/ patches/1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits -o why.png

The picture shows the magnetogram and, beside it, what each pixel adds to the log-odds of a flare, compared
with a patch without any field (integrated gradients): orange speaks for a flare, purple against. It shows why
the network says so, not why the Sun does.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "explain",
        help="picture of what a network looks at in a patch",
        description="Draw which parts of a magnetogram patch speak for a flare, as a network sees it.",
        notes=_NOTES,
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of 'train-images'")
    parser.add_argument("patch", type=Path, metavar="PATCH", help="FITS file, or grey PNG of 8 bits")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PICTURE", help="picture: .png, .pdf or .svg"
    )
    parser.add_argument(
        "--limit",
        type=positive,
        default=1000.0,
        metavar="GAUSS",
        help="field drawn white (default: %(default)g)",
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Forecast, attribute, draw."""
    from solartrack import images, viz
    from solartrack._files import replacing, shown
    from solartrack.flares import vgg

    require_writable(arguments.output, (".png", ".pdf", ".svg"))
    why = vgg.explain(arguments.run_folder, arguments.patch)
    # Pictures begin with their upper row, and the plot with its lower one.
    rows = slice(None, None, -1 if images.row0(arguments.patch) == "top" else 1)
    figure = viz.plot_saliency(
        why.field[rows],
        why.attribution[rows],
        probability=why.probability,
        threshold=why.threshold,
        limit_gauss=arguments.limit,
        title=f"{shown(arguments.patch.name)}\n{why.model}",
    )
    with replacing(arguments.output) as partial:
        figure.savefig(partial, format=arguments.output.suffix[1:].lower())
    shares = why.attribution
    told = {
        "model": why.model,
        "probability": why.probability,
        "threshold": why.threshold,
        "log_odds_without_field": why.baseline,
        "change_of_log_odds": why.change,
        "for": float(shares[shares > 0].sum()),
        "against": float(shares[shares < 0].sum()),
        "error": why.error,
    }
    say(
        arguments,
        told,
        f"probability {why.probability:.3f}, threshold {why.threshold:.3f}; log-odds {why.baseline:+.2f} "
        f"without field, {told['for']:+.2f} for a flare, {told['against']:+.2f} against; "
        f"wrote {arguments.output}",
    )
    return OK
