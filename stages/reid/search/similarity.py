"""How alike tracklets are, as a sparse matrix: the Jaccard similarity of their k-reciprocal neighbours.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, with sparse
products in the place of loops. It is 0 between tracklets without a common neighbour, so nothing is lost by
not holding them. Unlike a distance it compares with what is usual among a tracklet's neighbours, so that one
threshold serves persons who are hard and easy to tell.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.learned_ways import Way, learn_ways, on_ways
from stages.reid.search.neighbours import Mixed, Neighbours, nearest_others, without_camera
from stages.reid.search.ways import distances, ties

_SHARED_LOOK = 0.3  # weight of a tie beside a tracklet's own features; best on training walkers
_ROUNDS = 2  # of learning ways from what is alike, and comparing again; best on walkers of neither half
_HELD = 2**28  # numbers of mixed features in memory, 1 GB; of more, rows are mixed whenever they are read
_TERMS = 2**23  # common neighbours of pairs held at a time


@dataclass(frozen=True)
class Compared:
    """Tracklets compared. similarity: symmetric float64 [N, N] in [0, 1], diagonal 0. ways: learned ones."""

    neighbours: Neighbours
    similarity: sparse.csr_array
    ways: tuple[Way, ...] = ()


def compare(
    gallery: Embeddings,
    config: LinkConfig,
    apart: Apart,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Compared:
    """Compare all tracklets of a gallery, cameras taken out. Pairs that cannot be one person are 0 alike.

    With travel times, features are mixed with those of likely partners on the way, and compared again. Where
    none are given, ways that stand out are learned from what is alike, see `stages.reid.search.learned_ways`.

    progress: called with tracklets done and all. Raises KeyReIDError as `distance_rows` and `IndexedRows.of`.
    """
    distance = config.distance or gallery.about["distance"]
    gallery = without_camera(gallery)
    neighbours = nearest_others(gallery, config, apart, distance, progress)
    if np.isfinite(apart.greatest).any():
        return Compared(neighbours, _tied(gallery, neighbours, config, distance, apart, apart, progress))
    similarity, ways = _reciprocal_similarity(gallery, neighbours, config, distance, apart), ()
    for _ in range(0 if config.no_ways else _ROUNDS):
        before, ways = ways, learn_ways(similarity, apart)
        if ways == before:
            break
        there = on_ways(apart, ways)
        similarity = _tied(gallery, neighbours, config, distance, apart, there, progress)
    return Compared(neighbours, similarity, ways)


def _tied(
    gallery: Embeddings,
    neighbours: Neighbours,
    config: LinkConfig,
    distance: Distance,
    apart: Apart,
    there: Apart,
    progress: Callable[[int, int], None],
) -> sparse.csr_array:
    """The similarity of tracklets mixed with likely partners on the ways of `there`. apart: the rules."""
    known = neighbours.distances[:, : config.neighbours]
    usual = float(np.median(known[np.isfinite(known)]))
    near = ties(gallery, there, distance, max(usual, 1e-12))
    # Those who came the same way are one look at a person from several sides.
    mixed = (sparse.eye_array(len(gallery)) + _SHARED_LOOK * near).tocsr()
    mixed = sparse.diags_array(1 / np.asarray(mixed.sum(1)).ravel()) @ mixed
    features = Mixed(gallery.features, mixed.astype(np.float32))
    gallery = replace(gallery, features=features[:] if np.prod(features.shape) <= _HELD else features)
    config = config.model_copy(update={"index_folder": None})  # an index of mixed features serves once
    closer = nearest_others(gallery, config, apart, distance, progress)
    return _reciprocal_similarity(gallery, closer, config, distance, apart).maximum(near).tocsr()


def _reciprocal_similarity(
    gallery: Embeddings, neighbours: Neighbours, config: LinkConfig, distance: Distance, apart: Apart
) -> sparse.csr_array:
    k1, k2 = config.neighbours, config.shared
    wide = _reciprocal(neighbours.rows[:, :k1])
    narrow = _reciprocal(neighbours.rows[:, : round(k1 / 2)])
    # A neighbour's own close neighbours join where two thirds of them are neighbours already.
    common = (wide @ narrow.T).multiply(wide).tocsr()
    sizes = np.asarray(narrow.sum(1)).ravel()
    common.data = (common.data > sizes[common.indices] * (2 / 3)).astype(np.float64)
    pattern = (wide + common @ narrow).tocsr()
    usual = neighbours.distances[:, :k1].copy()
    usual[~np.isfinite(usual)] = 0
    usual = usual.max(1)
    pattern.sort_indices()
    owners = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    far = distances(gallery, owners, pattern.indices, distance)
    pattern.data = np.exp(-far / np.where(usual > 0, usual, 1)[owners])
    encoding = sparse.diags_array(1 / np.asarray(pattern.sum(1)).ravel()) @ pattern  # rows sum to 1
    if k2 > 1:
        near = _adjacency(neighbours.rows[:, : k2 - 1]) + sparse.eye_array(len(gallery))
        encoding = sparse.diags_array(1 / np.asarray(near.sum(1)).ravel()) @ near @ encoding
    return _jaccard(encoding.tocsr(), apart)


def _adjacency(rows: np.ndarray) -> sparse.csr_array:
    count, k = rows.shape
    kept = rows >= 0
    owners = np.repeat(np.arange(count), k).reshape(count, k)[kept]
    return sparse.csr_array((np.ones(len(owners)), (owners, rows[kept])), shape=(count, count))


def _reciprocal(rows: np.ndarray) -> sparse.csr_array:
    """1 where each is among the other's `rows`, and on the diagonal."""
    near = _adjacency(rows)
    return (near.multiply(near.T) + sparse.eye_array(len(rows))).tocsr()


def _jaccard(encoding: sparse.csr_array, apart: Apart) -> sparse.csr_array:
    """s / (2 - s), s the sum over columns of the smaller value: Jaccard similarity of rows that sum to 1."""
    by_column = encoding.tocsc()
    sizes = np.diff(by_column.indptr).astype(np.int64)
    count = encoding.shape[0]
    total = sparse.csr_array((count, count))
    ends = np.searchsorted(np.cumsum(sizes**2), np.arange(_TERMS, (sizes**2).sum() + _TERMS, _TERMS))
    for first, stop in zip([0, *(ends[:-1] + 1)], [*(ends[:-1] + 1), len(sizes)], strict=True):
        total = total + _terms(by_column, sizes, first, stop)
    total = total.tocoo()
    kept = total.row < total.col
    row, col, shared = total.row[kept], total.col[kept], total.data[kept]
    value = np.round(shared / (2 - shared), 6)  # rounding errors should not decide ties
    kept = (value > 0) & ~apart.pairs(row, col)
    upper = sparse.coo_array((value[kept], (row[kept], col[kept])), shape=(count, count))
    return (upper + upper.T).tocsr()


def _terms(columns: sparse.csc_array, sizes: np.ndarray, first: int, stop: int) -> sparse.csr_array:
    """The smaller values of columns first to stop, summed for each pair of rows."""
    first_entry, last_entry = columns.indptr[first], columns.indptr[stop]
    rows, data = columns.indices[first_entry:last_entry], columns.data[first_entry:last_entry]
    own = sizes[first:stop]
    repeats = np.repeat(own, own)  # each entry meets all of its column
    left = np.repeat(np.arange(len(rows)), repeats)
    starts = np.repeat(np.repeat(np.cumsum(own) - own, own), repeats)
    right = starts + np.arange(len(left)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    above = rows[left] < rows[right]
    left, right = left[above], right[above]
    values = np.minimum(data[left], data[right])
    return sparse.csr_array((values, (rows[left], rows[right])), shape=(columns.shape[0],) * 2)
