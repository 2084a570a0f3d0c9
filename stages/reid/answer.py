"""Search: galleries and a query in, ranked answers out, as records and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, prepare_file
from stages.browse.answers import write_answers
from stages.browse.config import BrowseConfig
from stages.browse.site import check_site
from stages.datasets.files import IMAGE_SUFFIXES, list_images, natural
from stages.extras import LARGE_SEARCH
from stages.precision import recorded
from stages.reid.embedder import Embedder
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.answers import draw, records
from stages.reid.search.calibration import Limit
from stages.reid.search.config import SearchConfig
from stages.reid.search.gallery import gallery_files, index_folder, part_notes, read_gallery
from stages.reid.search.gallery_file import header
from stages.reid.search.gallery_folder import drop_stale_indexes
from stages.reid.search.gallery_index import is_gallery
from stages.reid.search.search import find_query, search
from stages.reid.search.selection import selected


@dataclass(frozen=True)
class Answers:
    """What a search found. records: one per query. limit: rejection threshold, None where none was given.

    picture, page: where it was drawn and written, None where it was not. notes: for the user.
    """

    records: list[dict[str, Any]]
    limit: float | None
    labelled: bool
    picture: Path | None
    page: Path | None
    notes: list[str] = field(default_factory=list)


def run(
    config: SearchConfig,
    galleries: Sequence[Path],
    query: str,
    picture: Path | None = None,
    threshold: str | None = None,
    calibration: Path | None = None,
    device: str = "auto",
    page: Path | None = None,
) -> Answers:
    """Rank the rows of galleries by their distance to a query.

    galleries: as of `read_gallery`. query: a tracklet of a gallery (its name, or a piece that only one has;
    PART:NAME for one of several parts), a picture, a folder of pictures of one person, or a file or folder of
    embeddings, each row of which is a query. picture: PNG file to draw. threshold: a distance, or fpr=RATE of
    a calibration; calibration: its file, default beside the checkpoint. page: folder for
    a page of the answers, see `stages.browse.answers`.
    Raises KeyReIDError for what cannot be read or combined.
    """
    if config.index != "exact":
        LARGE_SEARCH.check()
    if picture is not None:
        prepare_file(picture)
    if page is not None:
        check_site(page)
    limit = Limit.parse(threshold, config)
    config = config.model_copy(update={"index_folder": index_folder(galleries, config.index_folder)})
    if page is not None:
        make_folder(page)
    asked = _asked(query, galleries, device, config.precision)
    whole = read_gallery(galleries, [] if asked is None else [(query, asked)], stored=True)
    notes = part_notes(whole)
    every = np.arange(len(whole) - (0 if asked is None else len(asked)))
    rows = selected(whole, every, config)
    if asked is not None:
        queries = np.arange(len(every), len(whole))
    else:
        queries = np.array([find_query(whole, query, every)])
    value, more = limit.value(whole, config, len(rows), calibration)
    ranking = search(whole, queries, rows, config)
    if config.index_folder is not None:
        drop_stale_indexes(config.index_folder)
    answers = records(whole, ranking, value)
    drawn = None if picture is None else draw(picture, whole, ranking, value, config.rows)
    written = None if page is None else write_answers(BrowseConfig(), whole, ranking, value, page)
    return Answers(answers, value, bool(whole.about.get("labelled")), drawn, written, [*notes, *more])


def _asked(query: str, galleries: Sequence[Path], device: str, precision: str | None) -> Embeddings | None:
    """Embeddings of a query that is not a row of the galleries; None for a tracklet's name."""
    path = Path(query)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # too long for a path
        return None
    if is_file and path.suffix.lower() in IMAGE_SUFFIXES:
        pictures = [path]
    elif is_file or (is_folder and is_gallery(path)):
        return read_gallery(path, stored=True)
    elif is_folder:
        pictures = [path / name for name in sorted(list_images(path), key=natural)]
    else:
        return None
    if not pictures:
        raise KeyReIDError(f"--query {path}: no picture in that folder; expected the frames of one tracklet")
    about = header(gallery_files(galleries)[0][0])
    checkpoint = Path(about["checkpoint"]["path"])
    if not checkpoint.is_file():
        raise KeyReIDError(
            f"{checkpoint}: the gallery's checkpoint is gone; embed the query with keyreid embed"
        )
    return Embedder(checkpoint, device=device, precision=precision or recorded(about)).query(pictures)
