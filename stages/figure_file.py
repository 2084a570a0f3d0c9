"""Figures of matplotlib as PNG files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from cache.files import write_whole


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> None:
    """Write a figure as PNG without its empty borders, whole or not at all. dpi: default the figure's.

    Errors as `write_whole`.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=dpi or "figure", bbox_inches="tight", pad_inches=0.1)
    write_whole(path, data.getbuffer())
