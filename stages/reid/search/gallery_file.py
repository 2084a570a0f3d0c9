"""One file of a gallery: embeddings whose header says what a search needs."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cache.border import reading
from cache.errors import KeyReIDError
from stages.config import Record
from stages.datasets import CHOICES
from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import read_about


class _Checkpoint(Record):
    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Poses(Record):
    weights_sha256: str
    path: str | None = None


class _Header(Record):
    """What is read back of `Embeddings.about`; the rest is for the user."""

    camera: str
    distance: Distance
    dataset: str
    labelled: bool
    split: int | None = None
    reading: dict[Literal[tuple(CHOICES)], str] | None = None
    checkpoint: _Checkpoint
    poses: _Poses


def load_gallery(path: Path | str, stored: bool = False) -> Embeddings:
    """Read one file. Raises KeyReIDError for another file, and for a header without what a search needs.

    stored: its features stay in the file.
    """
    gallery = Embeddings.load(path, stored)
    check_header(path, gallery.about)
    if gallery.camera_names is None or not gallery.frames:
        raise KeyReIDError(f"{path}: not a gallery: it has no frames or cameras; make it with keyreid embed")
    return gallery


def header(path: Path) -> dict[str, Any]:
    """The header of a file, without its features. Raises KeyReIDError as `load_gallery`."""
    about = read_about(path)
    check_header(path, about)
    return about


def check_header(path: Path | str, about: dict[str, Any]) -> None:
    """Raises KeyReIDError for a header without what a search needs."""
    remedy = "its header lacks what a search needs: make the gallery with keyreid embed"
    with reading(path, remedy=remedy):
        _Header.model_validate(about)
