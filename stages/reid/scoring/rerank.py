"""k-reciprocal re-ranking, block by block: no N x N matrix is ever held.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. Queries and gallery
together are the N items. Memory: a block of rows, k1 + 1 neighbours per item and a sparse encoding.
"""

import numpy as np
from scipy import sparse

from stages.reid.scoring.distances import Distance, Rows, distance_blocks, distance_rows, smallest
from stages.reid.scoring.embeddings import Embeddings


def reranked_rows(
    embeddings: Embeddings,
    query: np.ndarray,
    gallery: np.ndarray,
    distance: Distance = "euclidean",
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    block: int = 256,
    rows: Rows | None = None,
) -> Rows:
    """A function from query rows int64 [b] to re-ranked distances float32 [b, G] to the gallery rows.

    d = (1 - weight) * Jaccard distance of the k-reciprocal encodings + weight * distance / its row's maximum.
    k1: neighbours that may be reciprocal. k2: neighbours over which encodings are averaged (1: none). rows:
    from rows int64 [b] to distances float32 [b, Q + G] to queries and gallery; None: from features in memory.
    """
    items = np.concatenate([query, gallery])
    rows = rows or distance_rows(embeddings, items, distance)
    neighbours, largest = _neighbours(rows, items, k1 + 1, block)
    encoding = _encode(rows, items, neighbours, largest, k1, block)
    if k2 > 1:
        # local query expansion: every encoding becomes the mean of its neighbours' encodings
        count, k = len(items), min(k2, neighbours.shape[1])
        places, pointers = neighbours[:, :k].ravel(), np.arange(count + 1) * k
        mean = sparse.csr_matrix((np.full(count * k, 1 / k), places, pointers), shape=(count, count))
        encoding = (mean @ encoding).tocsr()
    by_item = encoding[len(query) :].tocsc()  # column: which gallery items hold an item, with which weight
    place = {int(row): i for i, row in enumerate(query)}

    def reranked(index: np.ndarray) -> np.ndarray:
        block_rows = rows(index)[:, len(query) :]
        blended = np.empty(block_rows.shape, np.float32)
        for i, (row, original) in enumerate(zip(index.tolist(), block_rows, strict=True)):
            at = place[row]
            jaccard = _jaccard(encoding, at, by_item)
            blended[i] = (1 - weight) * jaccard + weight * (original / largest[at])
        return blended

    return reranked


def _neighbours(rows: Rows, items: np.ndarray, count: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest `count` items of every item, itself among them, and its largest distance."""
    neighbours = np.empty((len(items), min(count, len(items))), np.int64)
    largest = np.empty(len(items), np.float32)
    for first, distances in distance_blocks(rows, items, block):
        for i, row in enumerate(distances, start=first):
            neighbours[i] = smallest(row, count)
            largest[i] = row.max()
    return neighbours, np.maximum(largest, np.finfo(np.float32).tiny)


def _reciprocal(neighbours: np.ndarray, item: int, count: int) -> np.ndarray:
    """Those of the first `count` neighbours of an item that have it among their own first `count`."""
    forward = neighbours[item, :count]
    return forward[(neighbours[forward, :count] == item).any(1)]


def _encode(
    rows: Rows, items: np.ndarray, neighbours: np.ndarray, largest: np.ndarray, k1: int, block: int
) -> sparse.csr_matrix:
    """Row i: exp(-normalised distance) to the expanded k-reciprocal set of item i, summing to 1."""
    half = int(np.around(k1 / 2)) + 1
    narrow = [_reciprocal(neighbours, i, half) for i in range(len(items))]
    columns, values, lengths = [], [], []
    for first, distances in distance_blocks(rows, items, block):
        for i, row in enumerate(distances, start=first):
            wide = _reciprocal(neighbours, i, k1 + 1)
            sets = [wide]
            for candidate in wide:
                own = narrow[candidate]
                if np.isin(own, wide).sum() > 2 / 3 * len(own):
                    sets.append(own)
            chosen = np.unique(np.concatenate(sets))
            closeness = np.exp(-(row[chosen] / largest[i]).astype(np.float64))
            columns.append(chosen)
            values.append(closeness / closeness.sum())
            lengths.append(len(chosen))
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    shape = (len(items), len(items))
    return sparse.csr_matrix((np.concatenate(values), np.concatenate(columns), pointers), shape=shape)


def _jaccard(encoding: sparse.csr_matrix, item: int, by_item: sparse.csc_matrix) -> np.ndarray:
    """Jaccard distance float64 [G] between the encoding of an item and those of the gallery."""
    shared = np.zeros(by_item.shape[0])
    start, stop = encoding.indptr[item : item + 2]
    for column, value in zip(encoding.indices[start:stop], encoding.data[start:stop], strict=True):
        first, last = by_item.indptr[column : column + 2]
        shared[by_item.indices[first:last]] += np.minimum(value, by_item.data[first:last])
    return 1 - shared / (2 - shared)
