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
    if config.index != "exact":
        every = np.arange(count)
        made = IndexedRows.of(gallery, every, config.index, distance, config.index_folder)
        block = max(1, _FLOATS // 2**13)
        for first in range(0, count, block):
            asked = every[first : first + block]
            found, far = made.nearest(gallery, asked, min(4 * k, count), False)
            for i, row in enumerate(asked.tolist()):
                good = found[i] >= 0
                good[good] &= ~apart.matrix(np.array([row]), found[i][good])[0]
                kept = np.flatnonzero(good)[:k]
                rows[row, : len(kept)], distances[row, : len(kept)] = found[i][kept], far[i][kept]
            progress(min(first + block, count), count)
        return Neighbours(rows, distances)
    of_rows = distance_rows(gallery, np.arange(count), distance)
    block = max(1, min(256, _FLOATS // count))
    for first, part in distance_blocks(of_rows, np.arange(count), block):
        asked = np.arange(first, first + len(part))
        part[np.arange(len(part)), asked] = np.inf
        part[apart.matrix(asked, np.arange(count))] = np.inf
        for row, line in zip(asked.tolist(), part, strict=True):
            kept = smallest(line, k)
            rows[row], distances[row] = kept, line[kept]
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
