"""Travel times between cameras as evidence that two tracklets are of one person.

Where a `greatest` time is given from one camera to another, whoever leaves the first is one of the few who
come to the second in time. Each tracklet's candidates compete by their distances, "none of them" among them,
as one at twice the usual distance; a pair is as alike as the geometric mean of both sides' shares:
    e / sqrt(z_left z_right), e = exp(-distance / (0.15 usual)), z = sum of e over candidates + exp(-2 / 0.15)
"""

import numpy as np
from scipy import sparse

from stages.reid.scoring.distances import Distance, pair_distances
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.constraints import Apart

_SHARPNESS, _NOBODY = 0.15, 2.0  # of the usual distance; chosen on walkers
_PAIRS = 2**20  # numbers of pairs of features held at a time: they stay in the processor's cache


def ties(gallery: Embeddings, apart: Apart, distance: Distance, usual: float) -> sparse.csr_array:
    """Symmetric float64 [N, N] in [0, 1], above 0 where two tracklets are within the times of a way.

    usual: distance of neighbours in this gallery.
    """
    count, values = len(gallery), []
    for a, b in np.argwhere(np.isfinite(apart.greatest)):
        one, other = _within(apart, a, b)
        weight = np.exp(-distances(gallery, one, other, distance) / (_SHARPNESS * usual))
        nobody = np.exp(-_NOBODY / _SHARPNESS)
        left = np.bincount(one, weight, count) + nobody
        right = np.bincount(other, weight, count) + nobody
        values.append((np.round(weight / np.sqrt(left[one] * right[other]), 6), one, other))
    share, one, other = (np.concatenate([part[i] for part in values] or [[]]) for i in range(3))
    made = sparse.coo_array((share, (one.astype(int), other.astype(int))), shape=(count, count)).tocsr()
    made.eliminate_zeros()
    return made.maximum(made.T).tocsr()


def _within(apart: Apart, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a row of camera a and a later one of camera b, within the least and greatest time."""
    known = np.isfinite(apart.start)
    ones, others = [], []
    for clock in np.unique(apart.clock):
        own = known & (apart.clock == clock)
        leaving, coming = (np.flatnonzero(own & (apart.cameras == camera)) for camera in (a, b))
        coming = coming[np.argsort(apart.start[coming], kind="stable")]
        times, gone = apart.start[coming], apart.end[leaving]
        first = np.searchsorted(times, gone + apart.least[a, b], "left")
        stop = np.searchsorted(times, gone + apart.greatest[a, b], "right")
        number = np.maximum(stop - first, 0)
        places = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        ones.append(np.repeat(leaving, number))
        others.append(coming[np.repeat(first, number) + places])
    return np.concatenate(ones), np.concatenate(others)


def distances(gallery: Embeddings, a: np.ndarray, b: np.ndarray, distance: Distance) -> np.ndarray:
    """Distances float64 [P] of the rows a to the rows b, in blocks."""
    distances = np.empty(len(a))
    block = max(1, _PAIRS // gallery.features.shape[1])
    for first in range(0, len(a), block):
        part = slice(first, first + block)
        distances[part] = pair_distances(gallery, a[part], b[part], distance)
    return distances
