"""Search: galleries and a query in, ranked answers out, as records and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import KeyReIDError
from cache.files import prepare_file
from stages.datasets.files import list_images, natural
from stages.precision import recorded
from stages.reid.embedder import Embedder
from stages.reid.scoring.embeddings import Embeddings, join
from stages.reid.search.answers import draw, records
from stages.reid.search.calibration import Limit
from stages.reid.search.config import SearchConfig
from stages.reid.search.gallery import pose_note, read_gallery
from stages.reid.search.search import find_query, search


@dataclass(frozen=True)
class Answers:
    """What a search found. records: one per query. limit: rejection threshold, None where none was given.

    picture: where it was drawn, None where it was not. notes: for the user.
    """

    records: list[dict[str, Any]]
    limit: float | None
    labelled: bool
    picture: Path | None
    notes: list[str] = field(default_factory=list)


def run(
    config: SearchConfig,
    galleries: Sequence[Path],
    query: str,
    picture: Path | None = None,
    threshold: str | None = None,
    calibration: Path | None = None,
    device: str = "auto",
) -> Answers:
    """Rank the rows of galleries by their distance to a query.

    query: a tracklet of a gallery (its name, or a part that only one has; FILE:NAME for one of several
    files), a folder of pictures of one person, or a file of embeddings, each row of which is a query.
    picture: PNG file to draw. threshold: a distance, or fpr=RATE of a calibration; calibration: its file,
    default beside the checkpoint. Raises KeyReIDError for what cannot be read or combined.
    """
    if picture is not None:
        prepare_file(picture)
    limit = Limit.parse(threshold, config)
    whole = read_gallery(galleries)
    notes = pose_note(whole)
    rows = np.arange(len(whole))
    if (asked := _asked(query, whole, device, config.precision)) is not None:
        whole = join([("gallery", whole), (query, asked)])
        queries = np.arange(len(rows), len(whole))
    else:
        queries = np.array([find_query(whole, query, rows)])
    value, more = limit.value(whole, config, len(rows), calibration)
    ranking = search(whole, queries, rows, config)
    found = records(whole, ranking, value)
    drawn = None if picture is None else draw(picture, whole, ranking, value)
    return Answers(found, value, bool(whole.about.get("labelled")), drawn, [*notes, *more])


def _asked(query: str, like: Embeddings, device: str, precision: str | None) -> Embeddings | None:
    """Embeddings of a query that is not a row of the galleries; None for a tracklet's name."""
    path = Path(query)
    try:
        is_file = path.is_file()
    except OSError:  # too long for a path
        is_file = False
    if is_file:
        return read_gallery(path)
    if not path.is_dir():
        return None
    names = sorted(list_images(path), key=natural)
    if not names:
        raise KeyReIDError(f"--query {path}: no picture in that folder; expected the frames of one tracklet")
    checkpoint = Path(like.about["checkpoint"]["path"])
    if not checkpoint.is_file():
        raise KeyReIDError(
            f"{checkpoint}: the gallery's checkpoint is gone; embed the query with keyreid embed"
        )
    embedder = Embedder(checkpoint, device=device, precision=precision or recorded(like.about))
    return embedder.query([path / name for name in names])
