"""Figures of matplotlib as PNG files."""

import io
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from cache.files import write_whole
from stages.terminal import plain


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> None:
    """Write a figure as PNG without its empty borders, whole or not at all. dpi: default the figure's.

    Titles and notes are text as it stands: no mathematics between dollar signs, no control characters.
    Errors as `write_whole`.
    """
    for text in (*figure.texts, *(text for axes in figure.axes for text in (axes.title, *axes.texts))):
        text.set_parse_math(False)
        text.set_text(plain(text.get_text()))
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # and drawn as a box
        figure.savefig(data, format="png", dpi=dpi or "figure", bbox_inches="tight", pad_inches=0.1)
    write_whole(path, data.getbuffer())
