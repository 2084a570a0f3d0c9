"""How long people take from one camera to another, learned from the gallery that is linked: without labels.

Of two cameras, tracklets that look alike lie any time apart, but for those of one person on the way: they
pile up at some times. For each pair of cameras the window of times is sought in which tracklets are the most
alike against all of these cameras, a scan statistic (Kulldorff, "A spatial scan statistic", 1997):
    z = (sum of w - n mean of w) / (deviation of w * sqrt(n)),  n pairs in the window
    w = s / sqrt(s_left s_right),  s_left: all that the left tracklet is alike to any of the right's camera
A window counts from z = 4 on, more the more pairs of cameras are tested, and where it has as much more alike
than usual as 4 pairs that are alike to nobody else: z alone takes few pairs that met by chance for a way
where few are expected. And no more than 50 tracklets on average come within it: among more, that somebody
came in time tells little.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from stages.reid.search.constraints import CLOCK, Apart

_TIMES = np.geomspace(2, 3600, 90)  # seconds, where windows begin and end: 8.8 % from one to the next
_NARROW, _WIDE = 4, 20  # steps of a window: 1.4 to 5.4 times its least
_FEW = 5  # pairs in a window
_ALIKE = 4.0  # sum of w in a window above what is usual
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
    apart = _by_the_clock(apart)
    known = np.flatnonzero(np.isfinite(apart.start) & (apart.cameras >= 0))
    kinds = int(apart.cameras.max(initial=-1)) + 1
    if not len(known) or kinds < 2:
        return ()
    upper = sparse.triu(similarity, 1).tocoo()
    one, other = upper.row.astype(np.int64), upper.col.astype(np.int64)
    gap = np.maximum(apart.start[one] - apart.end[other], apart.start[other] - apart.end[one])
    left, right = apart.cameras[one], apart.cameras[other]
    kept = (left >= 0) & (right >= 0) & (left != right) & (gap > 0)  # NaN compares as false
    one, other, gap, left, right = (values[kept] for values in (one, other, gap, left, right))
    sums = _sums(similarity, known, apart.cameras, kinds)
    share = upper.data[kept] / np.sqrt(sums(one, right) * sums(other, left))
    between = np.minimum(left, right) * kinds + np.maximum(left, right)
    order = np.argsort(between, kind="stable")
    tested, starts = np.unique(between[order], return_index=True)
    seen = _seen(apart, known, kinds)
    ways = [
        _best_window(divmod(int(code), kinds), gap[own], share[own], seen)
        for code, own in zip(tested, np.split(order, starts[1:]), strict=True)
    ]
    sure = np.sqrt(_SURE**2 + 2 * np.log(max(len(tested), 1)))  # as rare among all of them as _SURE in one
    return tuple(way for way in ways if way.sure >= sure)


def on_ways(apart: Apart, ways: tuple[Way, ...]) -> Apart:
    """The constraints with the times of learned ways, for `stages.reid.search.ways.ties` alone.

    As rules they would be wrong: cameras may overlap in view, and not everybody goes straight on.
    """
    apart = _by_the_clock(apart)
    least, greatest, away = apart.least.copy(), apart.greatest.copy(), apart.away.copy()
    for way in ways:
        for place in (way.cameras, way.cameras[::-1]):
            least[place] = max(least[place], way.least)  # one that a user gave stays a rule
            greatest[place] = away[place] = way.greatest
    return replace(apart, least=least, greatest=greatest, away=away)


def _by_the_clock(apart: Apart) -> Apart:
    """Without times that are none of a clock: videos of one folder may all begin at 0."""
    return replace(apart, start=np.where(apart.clock == CLOCK, apart.start, np.nan))


def _sums(
    similarity: sparse.csr_array, known: np.ndarray, cameras: np.ndarray, kinds: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """From tracklets and cameras, int64 [P], to all that one is alike to any of the other: float64 [P]."""
    shape = (similarity.shape[0], kinds)
    sums = similarity @ sparse.csr_array((np.ones(len(known)), (known, cameras[known])), shape=shape)
    sums.sort_indices()
    keys = np.repeat(np.arange(shape[0]), np.diff(sums.indptr)) * kinds + sums.indices
    return lambda rows, places: sums.data[np.searchsorted(keys, rows * kinds + places)]


def _seen(apart: Apart, known: np.ndarray, kinds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each camera, when tracklets came, in order, and when they had gone."""
    rows = known[np.argsort(apart.cameras[known], kind="stable")]
    own = np.split(rows, np.searchsorted(apart.cameras[rows], np.arange(1, kinds)))
    return [(np.sort(apart.start[some]), apart.end[some]) for some in own]


def _counts(seen: list[tuple[np.ndarray, np.ndarray]], a: int, b: int) -> np.ndarray:
    """Pairs of tracklets of two cameras that are up to each of _TIMES apart, and in all: float64 [T + 1]."""
    counts = np.zeros(len(_TIMES) + 1)
    for left, right in ((a, b), (b, a)):
        gone, come = seen[left][1], seen[right][0]
        until = gone + np.append(_TIMES, np.inf)[:, None]
        counts += np.searchsorted(come, until, "right").sum(1) - np.searchsorted(come, gone, "right").sum()
    return counts


def _best_window(
    cameras: tuple[int, int], gap: np.ndarray, share: np.ndarray, seen: list[tuple[np.ndarray, np.ndarray]]
) -> Way:
    """gap, share: float64 [P], P > 0, of the pairs that are alike at all. seen: see `_seen`."""
    counts = _counts(seen, *cameras)
    tracklets = min(len(seen[camera][0]) for camera in cameras)
    every = counts[-1]
    mean = share.sum() / every
    deviation = np.sqrt(max((share**2).sum() / every - mean**2, 1e-12))
    place = np.searchsorted(_TIMES, gap)
    sums = np.cumsum(np.bincount(place, share, len(_TIMES) + 1))[: len(_TIMES)]
    first, steps = np.meshgrid(np.arange(len(_TIMES)), np.arange(_NARROW, _WIDE + 1), indexing="ij")
    inside = first + steps < len(_TIMES)
    first, last = first[inside], (first + steps)[inside]
    number = counts[last] - counts[first]
    excess = sums[last] - sums[first] - number * mean
    allowed = (number >= _FEW) & (number <= _MANY * tracklets) & (excess >= _ALIKE)
    sure = np.where(allowed, excess / (deviation * np.sqrt(np.maximum(number, 1))), 0)
    best = int(np.argmax(sure))
    return Way(cameras, float(_TIMES[first[best]]), float(_TIMES[last[best]]), float(sure[best]))
