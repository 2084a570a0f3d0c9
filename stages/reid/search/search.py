"""Search a gallery: exact in blocks, re-ranked, or through FAISS."""

from dataclasses import replace

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.distances import distance_blocks, smallest
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.ranking import Ranking
from stages.reid.search.blocks import Nearest, distance_to_blocks, groups
from stages.reid.search.config import SearchConfig
from stages.reid.search.indexed import IndexedRows

_HELD = 2**28  # numbers of features, or distances, that re-ranking holds in memory, 1 GB
_FEW = 10  # an index of more than this many times the searched rows is not used


def search(gallery: Embeddings, query: np.ndarray, rows: np.ndarray, config: SearchConfig) -> Ranking:
    """The nearest `rows` (each once) of the gallery to each row in `query`. A query is never its own answer.

    query: int64 [Q] and rows: int64 [R], rows of `gallery`; they may overlap. Of equal distances, the lower
    row comes first (exact and re-ranked search).
    Raises KeyReIDError for what cannot be combined (an index with re-ranking or with distance visible), for a
    kind of index that FAISS refuses, where FAISS is needed and not installed, and where no row is left to
    search.
    """
    few = len(rows) <= len(query)
    if not len(query) or not len(rows) or (few and not len(np.setdiff1d(rows, query))):
        raise KeyReIDError(
            f"{len(query)} queries in a gallery of {len(rows)} tracklets: there is nothing to search; "
            "expected a query, and a gallery of others"
        )
    if config.distance is None:
        config = config.model_copy(update={"distance": gallery.about.get("distance", "euclidean")})
    if config.index != "exact" and (answers := _indexed(gallery, query, rows, config)) is not None:
        return answers
    matches, values = (_reranked if config.rerank.enabled else _exact)(gallery, query, rows, config)
    width = max(1, int((matches >= 0).sum(1).max()))
    return Ranking(query, matches[:, :width], values[:, :width])


def _exact(
    gallery: Embeddings, query: np.ndarray, rows: np.ndarray, config: SearchConfig
) -> tuple[np.ndarray, np.ndarray]:
    closed = np.ones(len(gallery), bool)
    closed[rows] = False
    k = min(config.top, len(rows))
    matches, values = np.empty((len(query), k), np.int64), np.empty((len(query), k), np.float32)
    for at, asked in groups(query, gallery.features.shape[1]):
        nearest = Nearest(len(asked), k)
        for first, part in distance_to_blocks(gallery, asked, config.distance, closed):
            own = slice(first, first + part.shape[1])
            part[:, closed[own]] = np.inf
            part[excluded(gallery, asked, own, config)] = np.inf
            nearest.add(first, part)
        matches[at : at + len(asked)], values[at : at + len(asked)] = nearest.rows, nearest.distances
    return matches, values


def excluded(
    gallery: Embeddings, query: np.ndarray, rows: slice | np.ndarray, config: SearchConfig
) -> np.ndarray:
    """Rows that may not answer a query: the same tracklet, and its camera's if asked for. bool [Q, R]

    query: int64 [Q]. rows: int64 [R], or a slice of the gallery.
    """
    same = gallery.places[query][:, None] == gallery.places[rows]
    if config.other_cameras:
        own = gallery.camera_numbers[query][:, None]
        same |= (own >= 0) & (own == gallery.camera_numbers[rows])
    return same


def _reranked(
    gallery: Embeddings, query: np.ndarray, rows: np.ndarray, config: SearchConfig
) -> tuple[np.ndarray, np.ndarray]:
    from stages.reid.scoring.rerank import reranked_rows

    others = np.setdiff1d(rows, query)
    settings = config.rerank
    items = np.concatenate([query, others])

    searched, own, block = gallery, items, 256
    if len(items) * gallery.features.shape[1] <= _HELD:
        held = np.sort(items)  # each of them is compared with all several times
        searched, own = replace(gallery, frames=()).taken(held), np.searchsorted(held, items)
    else:
        block = int(np.clip(_HELD // len(gallery), block, 4096))  # for each, the gallery is read once
    place = dict(zip(items.tolist(), own.tolist(), strict=True))

    def compared(index: np.ndarray) -> np.ndarray:
        asked = np.array([place[row] for row in index.tolist()])
        whole = np.empty((len(index), len(searched)), np.float32)
        for first, part in distance_to_blocks(searched, asked, config.distance):
            whole[:, first : first + part.shape[1]] = part
        return whole[:, own]

    options = (settings.k1, settings.k2, settings.weight)
    distances = reranked_rows(gallery, query, others, config.distance, *options, block, compared)
    k = min(config.top, len(others))
    matches, values = np.full((len(query), k), -1), np.full((len(query), k), np.inf, np.float32)
    for first, part in distance_blocks(distances, query, block):
        part[excluded(gallery, query[first : first + block], others, config)] = np.inf
        for at, line in enumerate(part, start=first):
            nearest = smallest(line, k)
            nearest = nearest[np.isfinite(line[nearest])]
            matches[at, : len(nearest)], values[at, : len(nearest)] = others[nearest], line[nearest]
    return matches, values


def _indexed(
    gallery: Embeddings, query: np.ndarray, rows: np.ndarray, config: SearchConfig
) -> Ranking | None:
    """FAISS's answers; None where so few rows are searched that it would miss some of them."""
    if config.rerank.enabled or config.distance == "visible":
        what = "re-ranking" if config.rerank.enabled else "distance visible"
        raise KeyReIDError(f"{what} needs every distance; use --index exact")
    made = IndexedRows.of(gallery, rows, config.index, config.distance, config.index_folder)
    if len(rows) * _FEW < len(made.rows):
        return None
    some = None if len(rows) == len(made.rows) else rows
    return Ranking(query, *made.nearest(gallery, query, config.top, config.other_cameras, some))


def find_query(gallery: Embeddings, name: str, rows: np.ndarray) -> int:
    """The row of a tracklet by its name, or by a part of it that only one has.

    rows: int64 [R], where to look. PART:NAME is a name in one part. A tracklet that is in several is one.
    Raises KeyReIDError for a name that none has, or several.
    """
    names, files = gallery.names[rows], gallery.part[rows]
    wanted, known = name, np.unique(files[np.r_[True, files[1:] != files[:-1]]])  # parts are runs of rows
    plain = name.removeprefix("./")
    file = max((file for file in known if plain.startswith(f"{file}:")), key=len, default=None)
    if file is not None:
        wanted = plain.removeprefix(f"{file}:")
        rows, names, files = (array[files == file] for array in (rows, names, files))
    exact = np.flatnonzero(names == wanted)
    near = exact if len(exact) else np.flatnonzero(np.char.find(names, wanted) >= 0)
    if len(near) and len(np.unique(gallery.places[rows[near]])) == 1:
        return int(rows[near[0]])
    if len(near):
        full = [names[at] if len(known) == 1 else f"{files[at]}:{names[at]}" for at in near[:3]]
        some = ", ".join(full) + ", ..." * (len(near) > 3)
        raise KeyReIDError(f"--query {name}: {len(near)} tracklets match it ({some}); give more of the name")
    raise KeyReIDError(
        f"--query {name}: no tracklet of the gallery has that name, and there is no such file or folder; "
        f"names are like {names[0] if len(known) == 1 else f'{files[0]}:{names[0]}'}"
    )
