"""How long people take from one camera to another, learned from the gallery that is linked: without labels.

Of two cameras, tracklets that look alike lie any time apart, but for those of one person on the way: they
pile up at some times. For each pair of cameras the window of times is sought in which tracklets are the most
alike against all of these cameras, a scan statistic (Kulldorff, "A spatial scan statistic", 1997):
    z = (sum of w - n mean of w) / (deviation of w * sqrt(n)),  n pairs in the window
    w = s / sqrt(s_left s_right),  s_left: all that the left tracklet is alike to any of the right's camera
A window counts from z = 4 on, which the best of all windows hardly reaches at random times, and where no more
than 50 tracklets on average come within it: among more, that somebody came in time tells little.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.reid.search.constraints import Apart

_TIMES = np.geomspace(2, 3600, 90)  # seconds, where windows begin and end: 8.8 % from one to the next
_NARROW, _WIDE = 4, 20  # steps of a window: 1.4 to 5.4 times its least
_FEW = 5  # pairs in a window
_SURE, _MANY = 4.0, 50


@dataclass(frozen=True)
class Way:
    """Seconds within which people come from one camera to another, both ways. cameras: their numbers.

    sure: z of the window.
    """

    cameras: tuple[int, int]
    least: float
    greatest: float
    sure: float


def learn_ways(similarity: sparse.csr_array, apart: Apart) -> tuple[Way, ...]:
    """Ways between the cameras of a gallery that stand out. similarity: [N, N], see `compare`."""
    known = np.flatnonzero(np.isfinite(apart.start) & (apart.cameras >= 0))
    kinds = int(apart.cameras.max(initial=-1)) + 1
    if not len(known) or kinds < 2:
        return ()
    member = sparse.csr_array(
        (np.ones(len(known)), (known, apart.cameras[known])), shape=(similarity.shape[0], kinds)
    )
    sums = (similarity @ member).toarray()
    upper = sparse.triu(similarity, 1).tocoo()
    one, other = upper.row, upper.col
    cameras = np.sort(np.stack([apart.cameras[one], apart.cameras[other]]), axis=0)
    gap = np.maximum(apart.start[one] - apart.end[other], apart.start[other] - apart.end[one])
    kept = (cameras[0] >= 0) & (cameras[0] != cameras[1]) & (apart.clock[one] == apart.clock[other])
    kept &= gap > 0  # NaN compares as false
    one, other, gap, cameras = one[kept], other[kept], gap[kept], cameras[:, kept]
    share = upper.data[kept] / np.sqrt(sums[one, apart.cameras[other]] * sums[other, apart.cameras[one]])
    ways = []
    for a in range(kinds):
        for b in range(a + 1, kinds):
            own = (cameras[0] == a) & (cameras[1] == b)
            fewer = min(np.count_nonzero(apart.cameras[known] == camera) for camera in (a, b))
            ways.append(_best_window((a, b), gap[own], share[own], _counts(apart, a, b), fewer))
    return tuple(way for way in ways if way is not None and way.sure >= _SURE)


def on_ways(apart: Apart, ways: tuple[Way, ...]) -> Apart:
    """The constraints with least and greatest times of learned ways, of which none is too late."""
    least, greatest, away = apart.least.copy(), apart.greatest.copy(), apart.away.copy()
    for way in ways:
        for place in (way.cameras, way.cameras[::-1]):
            least[place], greatest[place], away[place] = way.least, way.greatest, way.greatest
    return Apart(apart.start, apart.end, apart.clock, apart.cameras, least, greatest, away)


def _counts(apart: Apart, a: int, b: int) -> np.ndarray:
    """Pairs of tracklets of two cameras that are up to each of _TIMES apart, and in all: float64 [T + 1]."""
    counts = np.zeros(len(_TIMES) + 1)
    known = np.isfinite(apart.start)
    for clock in np.unique(apart.clock[known]):
        own = known & (apart.clock == clock)
        for left, right in ((a, b), (b, a)):
            gone = apart.end[own & (apart.cameras == left)]
            come = np.sort(apart.start[own & (apart.cameras == right)])
            until = gone + np.append(_TIMES, np.inf)[:, None]
            before = np.searchsorted(come, gone, "right").sum()
            counts += np.searchsorted(come, until, "right").sum(1) - before
    return counts


def _best_window(
    cameras: tuple[int, int], gap: np.ndarray, share: np.ndarray, counts: np.ndarray, tracklets: int
) -> Way | None:
    """gap, share: float64 [P], of the pairs that are alike at all. counts: of all pairs, see `_counts`.

    tracklets: of the camera that has fewer.
    """
    every = counts[-1]
    if not every or not len(gap):
        return None
    mean = share.sum() / every
    deviation = np.sqrt(max((share**2).sum() / every - mean**2, 1e-12))
    place = np.searchsorted(_TIMES, gap)
    sums = np.cumsum(np.bincount(place, share, len(_TIMES) + 1))[: len(_TIMES)]
    first, steps = np.meshgrid(np.arange(len(_TIMES)), np.arange(_NARROW, _WIDE + 1), indexing="ij")
    inside = first + steps < len(_TIMES)
    first, last = first[inside], (first + steps)[inside]
    number = counts[last] - counts[first]
    allowed = (number >= _FEW) & (number <= _MANY * tracklets)
    excess = sums[last] - sums[first] - number * mean
    sure = np.where(allowed, excess / (deviation * np.sqrt(np.maximum(number, 1))), 0)
    best = int(np.argmax(sure))
    return Way(cameras, float(_TIMES[first[best]]), float(_TIMES[last[best]]), float(sure[best]))
