"""The nearest rows of a gallery that is never in memory as a whole: block by block, the nearest so far kept.

Blocks and groups of queries depend on the numbers of rows, queries and columns alone: features in memory
and in files, of one file or many, give the same bits.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stages.reid.scoring.distances import Distance, distances_between, smallest
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.stored_rows import block_rows

_FLOATS = 2**26  # of the features of a group of queries, 256 MB
_LEAST, _MOST = 256, 4096  # queries of a group


class Nearest:
    """The k nearest rows of each query among the blocks seen so far; of equal distances, the lower row first.

    rows: int64 [Q, k], -1 where there are no more. distances: float32 [Q, k], infinity there.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.rows = np.full((queries, k), -1, np.int64)
        self.distances = np.full((queries, k), np.inf, np.float32)

    def add(self, first: int, block: np.ndarray) -> None:
        """Look at the distances float32 [Q, b] of rows first..first+b-1, infinite ones left out; in order."""
        k = self.rows.shape[1]
        nearer = (block < self.distances[:, -1:]).any(1)
        for query in np.flatnonzero(nearer):
            places = smallest(block[query], k)
            values = np.concatenate([self.distances[query], block[query, places]])
            order = np.argsort(values, kind="stable")[:k]
            self.rows[query] = np.concatenate([self.rows[query], first + places])[order]
            self.distances[query] = values[order]
        self.rows[np.isinf(self.distances)] = -1


def groups(query: np.ndarray, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """(position, rows int64 [Q]) of groups of queries that are compared with a gallery together."""
    size = max(_LEAST, min(_MOST, _FLOATS // width))
    for first in range(0, len(query), size):
        yield first, query[first : first + size]


def distance_to_blocks(
    gallery: Embeddings, query: np.ndarray, distance: Distance, closed: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, distances float32 [Q, b]) of rows `query` to each block of rows of the gallery, in order.

    closed: bool [N], rows of no interest; blocks of nothing else are left out. Raises as `distances_between`.
    """
    count, width = gallery.features.shape
    asked, step = gallery.taken(query), block_rows(width)
    for first in range(0, count, step):
        own = slice(first, min(first + step, count))
        if closed is None or not closed[own].all():
            seen = None if gallery.visibility is None else gallery.visibility[own]
            block = replace(gallery, features=gallery.features[own], visibility=seen)
            yield first, distances_between(asked, block, distance)
