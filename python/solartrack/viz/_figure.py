"""Figures that show themselves in notebooks."""

from io import BytesIO

from matplotlib import figure

__all__ = ["Figure"]


class Figure(figure.Figure):
    """A figure of matplotlib without pyplot, which would choose a window system and keep it in memory.

    Notebooks show only the figures of pyplot by themselves, and this one as well.
    """

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
