"""Files of embeddings as galleries: read, checked for what a search asks of them, joined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings, join

NOTE_POSES = "the files were made with different pose networks; distances suffer from it"


def load_gallery(path: Path | str) -> Embeddings:
    """Read a gallery. Raises KeyReIDError for another file, and for a header without what a search needs."""
    gallery = Embeddings.load(path)
    about = gallery.about
    try:
        texts = [about[name] for name in ("camera", "distance", "dataset")]
        texts += [about["checkpoint"]["path"], gallery.checkpoint, about["poses"]["weights_sha256"]]
        good = all(isinstance(text, str) for text in texts) and isinstance(about["labelled"], bool)
    except (KeyError, TypeError):
        good = False
    if not good or gallery.camera_names is None or not gallery.frames:
        raise KeyReIDError(
            f"{path}: not a gallery: its header does not say what made it; make it with keyreid embed"
        )
    return gallery


def joined(galleries: Sequence[tuple[str, Embeddings]]) -> tuple[Embeddings, np.ndarray, list[str]]:
    """One gallery of several, the name of the file of each row, and notes for the user.

    Raises KeyReIDError where they were made by different networks.
    """
    whole = join(galleries)
    files = np.repeat([name for name, _ in galleries], [len(gallery) for _, gallery in galleries])
    weights = {gallery.about["poses"]["weights_sha256"] for _, gallery in galleries}
    return whole, files, [NOTE_POSES] if len(weights) > 1 else []
