"""The first k of a long row, exactly, with ties by position, without sorting the row."""

import numpy as np

from stages.reid.scoring.metrics import Labels

_PIECES = 8  # pieces per wanted item when bounding the k-th smallest


def smallest(row: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k smallest values, ascending; of equals, the lower position first.

    row: [n] without NaN. Returns int64 [min(k, n)].
    """
    k = min(k, len(row))
    pieces = k * _PIECES
    if len(row) >= 4 * pieces:
        # The k-th smallest of the pieces' minima is no smaller than the k-th smallest value.
        width = len(row) // pieces
        minima = row[: width * pieces].reshape(pieces, width).min(1)
        candidates = np.flatnonzero(row <= np.partition(minima, k - 1)[k - 1])
    else:
        candidates = np.arange(len(row))
    order = np.argsort(row[candidates], kind="stable")[:k]
    return candidates[order]


def nearest(row: np.ndarray, labels: Labels, query: int, k: int) -> np.ndarray:
    """The first k answers to a query: gallery positions int64 [k], -1 where there are no more.

    row: distances [G]. Junk and the query's person from the query's camera are left out.
    """
    kept = row if labels.all_kept else row[labels.kept]
    _, ignored = labels.split(query)
    found = smallest(kept, k + len(ignored))
    if len(ignored):
        found = found[~np.isin(found, ignored)]
    found = labels.kept[found[:k]]
    return np.pad(found, (0, k - len(found)), constant_values=-1)
