"""Distances between embeddings, one block of queries at a time, and the smallest of a row.

euclidean  squared Euclidean distance, as released
cosine     1 - cosine
visible    squared Euclidean, but each part counts by how visible it is in both tracklets:
           d = d_global + K * sum_k v_qk v_gk d_k / sum_k v_qk v_gk
           With every part equally visible it equals `euclidean`; without any, parts count alike.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from scipy.linalg.blas import sgemm

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings

Distance = Literal["euclidean", "cosine", "visible"]
Rows = Callable[[np.ndarray], np.ndarray]
_PIECES = 8  # pieces per wanted item when bounding the k-th smallest


def distance_rows(embeddings: Embeddings, columns: np.ndarray, distance: Distance) -> Rows:
    """A function from rows int64 [b] to their distances float32 [b, len(columns)] to the rows `columns`."""
    if distance == "euclidean":
        return _euclidean(embeddings.features, columns)
    if distance == "cosine":
        unit = _unit(embeddings.features)
        gallery = unit[columns]
        ones = np.ones(len(columns), np.float32)
        return lambda rows: _products(-1, unit[rows], gallery, ones, 0)
    if distance == "visible":
        return _visible(embeddings, columns)
    raise _unknown(distance)


def distance_blocks(rows: Rows, queries: np.ndarray, block: int) -> Iterator[tuple[int, np.ndarray]]:
    """(position of the first query, distances float32 [b, G]) for blocks of at most `block` queries."""
    for first in range(0, len(queries), block):
        yield first, rows(queries[first : first + block])


def pair_distances(embeddings: Embeddings, a: np.ndarray, b: np.ndarray, distance: Distance) -> np.ndarray:
    """Distances float32 [P] of the rows a to the rows b, int64 [P] each."""
    one, other = embeddings.features[a], embeddings.features[b]
    if distance == "cosine":
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        return 1 - np.einsum("pf,pf->p", one, other) / np.maximum(lengths, np.finfo(np.float32).tiny)
    between = one - other
    if distance == "euclidean":
        return np.einsum("pf,pf->p", between, between)
    squares = between**2
    split, parts = embeddings.global_width, embeddings.parts
    seen = (embeddings.visibility[a].astype(np.float32) + 1e-6) * (embeddings.visibility[b] + 1e-6)
    local = squares[:, split:].reshape(len(squares), parts, -1).sum(2)
    return squares[:, :split].sum(1) + parts * (seen * local).sum(1) / seen.sum(1)


def _euclidean(features: np.ndarray, columns: np.ndarray) -> Rows:
    squares = np.einsum("nf,nf->n", features, features)
    # In order and without gaps, the gallery needs no copy.
    first = int(columns[0]) if len(columns) else 0
    following = (columns == np.arange(first, first + len(columns))).all()
    gallery = features[first : first + len(columns)] if following else features[columns]

    def rows(index: np.ndarray) -> np.ndarray:
        distances = _products(-2, features[index], gallery, squares[columns], squares[index][:, None])
        return np.maximum(distances, 0, out=distances)

    return rows


def _products(
    factor: float, left: np.ndarray, right: np.ndarray, columns: np.ndarray, rows: np.ndarray | float
) -> np.ndarray:
    """factor * left @ right.T + columns [G] + rows [b, 1]: float32 [b, G].

    left, right: float32 [b, F] and [G, F], C order. BLAS adds the product to columns + rows in place, so
    no second matrix of that size is made.
    """
    total = np.empty((len(left), len(right)), np.float32)
    np.add(columns, rows, out=total)
    # BLAS is column-major: the transpose of everything, without a copy.
    return sgemm(factor, right.T, left.T, beta=1.0, c=total.T, trans_a=True, overwrite_c=True).T


def _visible(embeddings: Embeddings, columns: np.ndarray) -> Rows:
    whole, left, right, seen = _visible_sides(embeddings)
    right, common = right[columns], seen[columns].T
    zeros = np.zeros(len(columns), np.float32)
    global_rows = _euclidean(whole, columns) if embeddings.global_width else None

    def rows(index: np.ndarray) -> np.ndarray:
        local = _products(embeddings.parts, left[index], right, zeros, 0)
        local /= seen[index] @ common
        np.maximum(local, 0, out=local)
        if global_rows is not None:
            local += global_rows(index)
        return local

    return rows


def _visible_sides(embeddings: Embeddings) -> tuple[np.ndarray, ...]:
    """Of each row: global feature, factors of a product on its left and right, how visible its parts are.

    sum_k v_q v_g (|q|^2 + |g|^2 - 2 q.g) is three products of matrices.
    """
    if embeddings.visibility is None or not embeddings.parts:
        raise KeyReIDError(
            "distance visible needs part features with their visibility, which these embeddings lack; "
            "use euclidean or cosine, or embed with a network that has a local branch"
        )
    split, parts = embeddings.global_width, embeddings.parts
    whole = np.ascontiguousarray(embeddings.features[:, :split])
    blocks = embeddings.features[:, split:].reshape(len(whole), parts, -1)
    seen = embeddings.visibility.astype(np.float32) + 1e-6  # never 0 / 0
    squares = np.einsum("nkf,nkf->nk", blocks, blocks)
    weighed = (blocks * seen[:, :, None]).reshape(len(whole), -1)
    left = np.concatenate([seen * squares, seen, -2 * weighed], axis=1)
    return whole, left, np.concatenate([seen, seen * squares, weighed], axis=1), seen


def distances_between(one: Embeddings, other: Embeddings, distance: Distance) -> np.ndarray:
    """Distances float32 [Q, R] of each row of one set to each of another. Raises as `distance_rows`."""
    if distance == "euclidean":
        return _squares_between(one.features, other.features)
    if distance == "cosine":
        left, right = (_unit(each.features) for each in (one, other))
        return _products(-1, left, right, np.ones(len(right), np.float32), 0)
    if distance != "visible":
        raise _unknown(distance)
    (whole, left, _, seen), (others, _, right, theirs) = _visible_sides(one), _visible_sides(other)
    local = _products(one.parts, left, right, np.zeros(len(right), np.float32), 0)
    local /= seen @ theirs.T
    np.maximum(local, 0, out=local)
    return local + _squares_between(whole, others) if one.global_width else local


def _squares_between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    one, other = (np.einsum("nf,nf->n", side, side) for side in (left, right))
    distances = _products(-2, left, right, other, one[:, None])
    return np.maximum(distances, 0, out=distances)


def _unit(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def _unknown(distance: str) -> KeyReIDError:
    return KeyReIDError(f"distance {distance!r} is not known; expected euclidean, cosine or visible")


def kth_at_most(rows: np.ndarray, k: int) -> np.ndarray:
    """A number not below the k-th smallest of each row [q, n]: [q], infinite where n is small."""
    pieces = k * _PIECES
    width = rows.shape[1] // pieces
    if width < 4:
        return np.full(len(rows), np.inf, rows.dtype)
    minima = rows[:, : width * pieces].reshape(len(rows), pieces, width).min(2)
    return np.partition(minima, k - 1, axis=1)[:, k - 1]


def smallest(row: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k smallest values, ascending; of equals, the lower position first.

    row: [n] without NaN, not sorted as a whole. Returns int64 [min(k, n)].
    """
    k = min(k, len(row))
    candidates = np.flatnonzero(row <= kth_at_most(row[None], k))
    order = np.argsort(row[candidates], kind="stable")[:k]
    return candidates[order]
