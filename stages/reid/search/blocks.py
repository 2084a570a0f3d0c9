"""The nearest rows of a gallery that is never in memory as a whole: block by block, the nearest so far kept.

Blocks and groups of queries depend on the numbers of rows, queries and columns alone: features in memory
and in files, of one file or many, give the same bits.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stages.reid.scoring.distances import Distance, distances_between, kth_at_most
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.stored_rows import block_rows

_FLOATS = 2**26  # of the features of a group of queries, 256 MB
_LEAST, _MOST = 256, 4096  # queries of a group
_STRIPE = 2**22  # distances looked at together
_LARGEST = np.finfo(np.float32).max


class Nearest:
    """The k nearest rows of each query among the blocks seen so far; of equal distances, the lower row first.

    rows: int64 [Q, k], -1 where there are no more. distances: float32 [Q, k], infinity there.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.rows = np.full((queries, k), -1, np.int64)
        self.distances = np.full((queries, k), np.inf, np.float32)

    def add(self, first: int, block: np.ndarray, start: int = 0) -> None:
        """Look at the distances float32 [q, b] of rows first..first+b-1 to queries start..start+q-1.

        Rows come in order. Infinite distances are left out.
        """
        step = max(1, _STRIPE // (block.shape[1] + self.rows.shape[1]))
        for at in range(0, len(block), step):
            stripe = np.ascontiguousarray(block[at : at + step])
            self._add(first, stripe, slice(start + at, start + at + len(stripe)))

    def _add(self, first: int, block: np.ndarray, queries: slice) -> None:
        rows, distances = self.rows[queries], self.distances[queries]
        k = rows.shape[1]
        limit = np.minimum(distances[:, -1], _LARGEST)
        if (limit == _LARGEST).any():
            limit = np.minimum(limit, kth_at_most(block, k))
        query, place = np.nonzero(block <= limit[:, None])
        counts = np.bincount(query, minlength=len(block))
        changed = np.flatnonzero(counts)
        if not len(changed):
            return
        # The nearest so far, and what may be nearer, side by side: what is equal stays in order of rows.
        line = np.searchsorted(changed, query)
        column = k + np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        values = np.full((len(changed), k + int(counts.max())), np.inf, np.float32)
        found = np.full(values.shape, -1, np.int64)
        values[:, :k], found[:, :k] = distances[changed], rows[changed]
        values[line, column], found[line, column] = block[query, place], first + place
        order = np.argsort(values, axis=1, kind="stable")[:, :k]
        distances[changed] = np.take_along_axis(values, order, 1)
        rows[changed] = np.take_along_axis(found, order, 1)


def groups(query: np.ndarray, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """(position, rows int64 [Q]) of groups of queries that are compared with a gallery together."""
    size = max(_LEAST, min(_MOST, _FLOATS // width))
    for first in range(0, len(query), size):
        yield first, query[first : first + size]


def distance_to_blocks(
    gallery: Embeddings,
    query: np.ndarray,
    distance: Distance,
    closed: np.ndarray | None = None,
    start: int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, distances float32 [Q, b]) of rows `query` to each block of rows of the gallery, in order.

    start: the gallery's first row that is looked at. closed: bool [N], rows of no interest; blocks of nothing
    else are left out. Raises as `distances_between`.
    """
    count, width = gallery.features.shape
    asked, step = replace(gallery, frames=()).taken(query), block_rows(width)
    for first in range(start, count, step):
        own = slice(first, min(first + step, count))
        if closed is None or not closed[own].all():
            seen = None if gallery.visibility is None else gallery.visibility[own]
            block = replace(gallery, features=gallery.features[own], visibility=seen)
            yield first, distances_between(asked, block, distance)
