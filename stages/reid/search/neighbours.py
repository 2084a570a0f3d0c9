"""The nearest few of every tracklet of a gallery, in blocks: no N x N matrix is ever held."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stages.reid.scoring.distances import Distance, distance_blocks, distance_rows, smallest
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.indexed import IndexedRows

_FLOATS = 2**25  # distances held at a time, 128 MB
_SPARE = 24  # more than asked for, as some are beside the tracklet at the same time
_ASKED = 4096  # of an index, rows at a time
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
            found, far = made.nearest(gallery, asked, min(k + _SPARE, count), False)
            for i, row in enumerate(asked.tolist()):
                good = np.flatnonzero(found[i] >= 0)
                good = good[~apart.pairs(row, found[i][good])][:k]
                rows[row, : len(good)], distances[row, : len(good)] = found[i][good], far[i][good]
            progress(min(first + _ASKED, count), count)
        return Neighbours(rows, distances)
    of_rows = distance_rows(gallery, every, distance)
    block = max(1, min(256, _FLOATS // count))
    for first, part in distance_blocks(of_rows, every, block):
        for row, line in enumerate(part, start=first):
            line[row] = np.inf
            near = smallest(line, k + _SPARE)
            near = near[~apart.pairs(row, near)][:k]
            if len(near) < k:  # many at once
                line[apart.pairs(row, every)] = np.inf
                near = smallest(line, k)
            rows[row], distances[row] = near, line[near]
        progress(first + len(part), count)
    rows[~np.isfinite(distances)] = -1
    return Neighbours(rows, distances)


def without_camera(gallery: Embeddings) -> Embeddings:
    """The gallery with what the tracklets of a camera have in common taken out of its features.

    From each camera's features, their mean is subtracted and that of all added; the less, the fewer tracklets
    the camera has. Unknown cameras stay.
    """
    features, cameras = gallery.features.copy(), gallery.camera_numbers
    whole = gallery.features.mean(0)
    for camera in np.unique(cameras[cameras >= 0]):
        own = np.flatnonzero(cameras == camera)
        features[own] -= (gallery.features[own].mean(0) - whole) * np.float32(len(own) / (len(own) + _PRIOR))
    return replace(gallery, features=features)
