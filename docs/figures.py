"""Pictures of the gallery: the figures that `solartrack.viz` returns, which are not pyplot's."""

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def _get_sg_image_scraper() -> Any:
    return scrape


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures of an example that the block has made; reStructuredText that shows them."""
    shown = block_vars.setdefault("figures_shown", [])
    saved = []
    for value in list(block_vars["example_globals"].values()):
        if (
            isinstance(value, Figure)
            and not hasattr(value, "number")
            and all(value is not one for one in shown)
        ):
            shown.append(value)
            saved.append(next(block_vars["image_path_iterator"]))
            value.savefig(saved[-1])
    return figure_rst(saved, gallery_conf["src_dir"])
