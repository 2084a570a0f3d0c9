"""Which tracklets cannot be one person, by when and where they were filmed.

- Overlapping in time in one camera are different people.
- `least` seconds from one camera to another: nobody is at the second sooner.
- `greatest`: who is seen at the first camera and next at the second is there by then, or is somebody else;
  but who is not seen for `away` seconds has left, and may come back anywhere.
The first two hold for every pair of tracklets of an identity. The last is of an identity's whole way: of two
tracklets that follow each other in it.
"""

from dataclasses import dataclass

import numpy as np

from stages.reid.scoring.embeddings import Embeddings

CLOCK = 0  # of times of day; other clocks are those of data roots whose videos have none
_NONE = -1


@dataclass(frozen=True)
class Travel:
    """Seconds from leaving a camera to being at another, both ways. cameras: their names."""

    cameras: tuple[str, str]
    least: float = 0.0
    greatest: float = np.inf
    away: float = np.inf


@dataclass(frozen=True, eq=False)
class Apart:
    """Times and places of N tracklets, and what they rule out.

    start, end: float64 [N], NaN unknown. clock: int64 [N]; times of two tracklets compare where it is equal.
    CLOCK: times of day. cameras: int64 [N], -1 unknown.
    least, greatest, away: float64 [C, C], seconds between cameras.
    """

    start: np.ndarray
    end: np.ndarray
    clock: np.ndarray
    cameras: np.ndarray
    least: np.ndarray
    greatest: np.ndarray
    away: np.ndarray

    @classmethod
    def of(cls, gallery: Embeddings, travel: tuple[Travel, ...] = ()) -> "Apart":
        """Constraints of a gallery. Times of a video without a clock compare within one data root only."""
        count = len(gallery)
        unknown = np.full(count, np.nan)
        start = unknown if gallery.start is None else gallery.start
        end = unknown if gallery.end is None else gallery.end
        zone = unknown if gallery.zone is None else gallery.zone
        roots: dict[str, int] = {}
        clock = np.array(
            [
                CLOCK
                if np.isfinite(zone[row])
                else roots.setdefault(gallery.source(row)["root"], len(roots) + 1)
                for row in range(count)
            ],
            np.int64,
        )
        cameras = gallery.camera_numbers
        kinds = int(cameras.max(initial=_NONE)) + 1
        least = np.zeros((kinds, kinds))
        greatest, away = np.full((2, kinds, kinds), np.inf)
        number = dict(zip(gallery.camera_names.tolist(), cameras.tolist(), strict=True))
        for way in travel:
            a, b = (number.get(name, _NONE) for name in way.cameras)
            if a >= 0 and b >= 0:
                least[a, b] = least[b, a] = way.least
                greatest[a, b] = greatest[b, a] = way.greatest
                away[a, b] = away[b, a] = way.away
        return cls(start, end, clock, cameras, least, greatest, away)

    @property
    def timed(self) -> int:
        """How many tracklets have a camera and a time."""
        return int((np.isfinite(self.start) & (self.cameras >= 0)).sum())

    def pairs(self, a: np.ndarray | int, b: np.ndarray) -> np.ndarray:
        """Whether tracklets a and b, int64 of shapes that broadcast, cannot be one person: bool."""
        one, other = self.cameras[a], self.cameras[b]
        gap = np.maximum(self.start[a] - self.end[b], self.start[b] - self.end[a])  # <= 0: they overlap
        known = (one >= 0) & (other >= 0) & (self.clock[a] == self.clock[b])
        wrong = (one == other) & (gap <= 0)  # NaN compares as false
        if self.least.any():
            least = self.least[one, other]
            wrong |= (least > 0) & (gap < least)  # of cameras without a way, people may overlap
        return wrong & known & (a != b)

    def matrix(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """`pairs` of all with all: bool [A, B]."""
        return self.pairs(a[:, None], b[None])

    def late(self, rows: np.ndarray) -> bool:
        """Whether one person with all of these tracklets would have been on the way for too long."""
        if not np.isfinite(self.greatest).any():
            return False
        rows = rows[(self.cameras[rows] >= 0) & np.isfinite(self.start[rows])]
        order = rows[np.lexsort((self.start[rows], self.clock[rows]))]
        a, b = order[:-1], order[1:]
        gap = self.start[b] - self.end[a]
        way = self.cameras[a], self.cameras[b]
        late = (gap > self.greatest[way]) & (gap < self.away[way])
        return bool((late & (self.clock[a] == self.clock[b])).any())
