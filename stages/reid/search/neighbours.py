"""The nearest few of every tracklet of a gallery, in blocks: no N x N matrix is ever held."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.stored_rows import StoredRows, blocks
from stages.reid.search.blocks import Nearest, distance_to_blocks, groups
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.indexed import IndexedRows

_SPARE = 24  # more than asked for, as some are beside the tracklet at the same time
_ASKED = 4096  # of an index, rows at a time
_MIXED = 256  # rows mixed at a time
_PRIOR = 10  # tracklets: a camera with fewer is moved by less than half


@dataclass(frozen=True)
class Neighbours:
    """rows: int64 [N, k], nearest first, -1 where there are no more. distances: float32 [N, k]."""

    rows: np.ndarray
    distances: np.ndarray


def nearest_others(
    gallery: Embeddings,
    config: LinkConfig,
    apart: Apart,
    distance: Distance,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Neighbours:
    """The nearest `config.shown` others of each row that could be the same person.

    Of equal distances, the lower row comes first. With an index other than exact, some of the nearest are
    missed; distances are exact all the same.
    """
    count = len(gallery)
    k = min(max(config.shown, config.neighbours), count - 1)
    rows = np.full((count, k), -1, np.int64)
    distances = np.full((count, k), np.inf, np.float32)
    every = np.arange(count)
    if config.index != "exact":
        made = IndexedRows.of(gallery, every, config.index, distance, config.index_folder)
        for first in range(0, count, _ASKED):
            asked = every[first : first + _ASKED]
            near, far = made.nearest(gallery, asked, min(k + _SPARE, count), False)
            for i, row in enumerate(asked.tolist()):
                good = np.flatnonzero(near[i] >= 0)
                good = good[~apart.pairs(row, near[i][good])][:k]
                rows[row, : len(good)], distances[row, : len(good)] = near[i][good], far[i][good]
            progress(min(first + _ASKED, count), count)
        return Neighbours(rows, distances)
    near = Nearest(count, k + _SPARE)
    for at, asked in groups(every, gallery.features.shape[1]):
        stop = at + len(asked)
        for first, part in distance_to_blocks(gallery, asked, distance, start=at):
            both = np.arange(first, min(stop, first + part.shape[1]))
            part[both - at, both - first] = np.inf  # itself
            near.add(first, part, at)
            later = max(stop - first, 0)  # pairs with rows of later groups are theirs, too
            near.add(at, part[:, later:].T, first + later)
        found = near.rows[asked]
        good = (found >= 0) & ~apart.pairs(asked[:, None], found)
        order = np.argsort(~good, axis=1, kind="stable")[:, :k]
        good = np.take_along_axis(good, order, 1)
        rows[asked] = np.where(good, np.take_along_axis(found, order, 1), -1)
        distances[asked] = np.where(good, np.take_along_axis(near.distances[asked], order, 1), np.inf)
        few = asked[~good.all(1)]  # many at once
        if len(few) and count - 1 > k + _SPARE:
            more = _nearest_possible(gallery, few, k, distance, apart)
            rows[few], distances[few] = more.rows, more.distances
        progress(round(count * (1 - (1 - stop / count) ** 2)), count)  # the first have most pairs
    return Neighbours(rows, distances)


def _nearest_possible(
    gallery: Embeddings, asked: np.ndarray, k: int, distance: Distance, apart: Apart
) -> Nearest:
    """The k nearest others of some rows, of those that could be the same person."""
    near = Nearest(len(asked), k)
    for first, part in distance_to_blocks(gallery, asked, distance):
        block = np.arange(first, first + part.shape[1])
        for line, row in zip(part, asked.tolist(), strict=True):
            line[apart.pairs(row, block) | (block == row)] = np.inf
        near.add(first, part)
    return near


class WithoutCamera:
    """float32 [N, F] with a shift for each camera taken off, where rows are read."""

    def __init__(self, features: np.ndarray | StoredRows, cameras: np.ndarray, shifts: np.ndarray) -> None:
        """cameras: int64 [N], places in shifts float32 [C, F]."""
        self._features, self._cameras, self._shifts = features, cameras, shifts
        self.shape = features.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._features[rows] - self._shifts[self._cameras[rows]]


class Mixed:
    """float32 [N, F], each row a mixture of rows, made where rows are read."""

    def __init__(self, features: np.ndarray | StoredRows | WithoutCamera, weights: sparse.csr_array) -> None:
        """weights: float32 [N, N]."""
        self._features, self._weights = features, weights
        self.shape = features.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        made = np.empty((len(wanted), self.shape[1]), np.float32)
        for first in range(0, len(wanted), _MIXED):
            some = self._weights[wanted[first : first + _MIXED]]
            columns, places = np.unique(some.indices, return_inverse=True)
            some = sparse.csr_array((some.data, places, some.indptr), shape=(some.shape[0], len(columns)))
            made[first : first + _MIXED] = some @ self._features[columns]
        return made


def without_camera(gallery: Embeddings) -> Embeddings:
    """The gallery with what the tracklets of a camera have in common taken out of its features.

    From each camera's features, their mean is subtracted and that of all added; the less, the fewer tracklets
    the camera has. Unknown cameras stay.
    """
    numbers = gallery.camera_numbers
    known = np.unique(numbers[numbers >= 0])
    places = np.where(numbers >= 0, 1 + np.searchsorted(known, numbers), 0)
    counts = np.bincount(places, minlength=1 + len(known))
    sums = np.zeros((len(counts), gallery.features.shape[1]))
    for first, features in blocks(gallery.features):
        here = places[first : first + len(features)]
        for place in np.unique(here):
            sums[place] += features[here == place].sum(0, dtype=np.float64)
    means = sums[1:] / np.maximum(counts[1:, None], 1) - sums.sum(0) / len(gallery)
    shifts = np.zeros(sums.shape, np.float32)  # none where the camera is not known
    shifts[1:] = means * (counts[1:, None] / (counts[1:, None] + _PRIOR))
    return replace(gallery, features=WithoutCamera(gallery.features, places, shifts))
