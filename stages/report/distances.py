"""Statistics of the distances of an evaluation: right and wrong matches, scores by camera pair."""

from dataclasses import dataclass

import numpy as np

from stages.datasets.tracklet import JUNK
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.distances import Rows, distance_blocks, distance_rows
from stages.reid.scoring.embeddings import Embeddings, TestSet
from stages.reid.scoring.metrics import Labels, RankCounter
from stages.reid.scoring.protocols import Protocol, gallery_of

BINS = 2048


class Histogram:
    """Counts of non-negative numbers in equal bins from 0, in rows; the range doubles when needed."""

    def __init__(self, rows: int) -> None:
        self.counts = np.zeros((rows, BINS), np.int64)
        self.top = 0.0

    def add(self, row: int, values: np.ndarray) -> None:
        """Count values; what is not finite is left out, what is below 0 counts as 0."""
        values = np.maximum(values[np.isfinite(values)], 0)
        if not values.size:
            return
        highest = float(values.max())
        self.top = self.top or highest or 1.0
        while highest > self.top:
            folded = self.counts.reshape(len(self.counts), BINS // 2, 2).sum(2)
            self.counts = np.concatenate([folded, np.zeros_like(folded)], axis=1)
            self.top *= 2
        place = np.minimum((values * (BINS / self.top)).astype(np.int64), BINS - 1)
        self.counts[row] += np.bincount(place.ravel(), minlength=BINS)

    def coarse(self, bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Edges [b + 1] and counts [rows, b] over the occupied range, with b near to bins."""
        used = int(np.flatnonzero(self.counts.any(0))[-1]) + 1 if self.counts.any() else 1
        step = max(1, -(-used // bins))
        number = -(-used // step)
        padded = np.pad(self.counts, ((0, 0), (0, step)))[:, : number * step]
        edges = np.arange(number + 1) * step * self.top / BINS
        return edges, padded.reshape(len(padded), number, step).sum(2)


@dataclass(frozen=True)
class PairScores:
    """Queries of one camera, ranked among the tracklets of one other camera alone."""

    query_camera: int
    gallery_camera: int
    queries: int
    rank1: float
    mean_ap: float


@dataclass(frozen=True)
class Distances:
    """histogram: row 0 right matches, row 1 wrong ones, of the pairs that the protocol ranks.

    nearer: share of (right, wrong) pairs of distances in which the right one is smaller, equal ones half.
    """

    histogram: Histogram
    nearer: float
    pairs: list[PairScores]


def analyse(embeddings: TestSet, protocol: Protocol, config: EvalConfig) -> Distances:
    """Go through all distances once, `config.block` queries at a time."""
    persons, cameras, query = embeddings.persons, embeddings.cameras, embeddings.query
    gallery = gallery_of(protocol, query, embeddings.gallery, persons)
    columns = {int(c): np.flatnonzero(cameras[gallery] == c) for c in np.unique(cameras[gallery])}
    counters = {
        camera: RankCounter(
            Labels(persons[query], persons[gallery[at]], cameras[query], cameras[gallery[at]])
        )
        for camera, at in columns.items()
    }
    histogram = Histogram(2)
    for first, block in distance_blocks(_rows(embeddings, query, gallery, config), query, config.block):
        rows = query[first : first + len(block)]
        same = persons[rows][:, None] == persons[gallery][None]
        camera = cameras[rows][:, None] == cameras[gallery][None]
        known = (cameras[rows] >= 0)[:, None]
        kept = (persons[gallery] != JUNK)[None] & ~(same & camera & known)
        histogram.add(0, block[same & kept])
        histogram.add(1, block[~same & kept])
        for gallery_camera, at in columns.items():
            counters[gallery_camera].add(first, block[:, at])
    return Distances(histogram, _nearer(histogram.counts), _pairs(counters, cameras[query]))


def _rows(embeddings: Embeddings, query: np.ndarray, gallery: np.ndarray, config: EvalConfig) -> Rows:
    if not config.rerank.enabled:
        return distance_rows(embeddings, gallery, config.distance)
    from stages.reid.scoring.rerank import reranked_rows

    s = config.rerank
    return reranked_rows(embeddings, query, gallery, config.distance, s.k1, s.k2, s.weight, config.block)


def _nearer(counts: np.ndarray) -> float:
    """Area under the ROC curve of "right" by distance, from the two rows of counts."""
    right, wrong = counts.astype(np.float64)
    if not right.sum() or not wrong.sum():
        return float("nan")
    beyond = wrong.sum() - np.cumsum(wrong)
    return float((right * (beyond + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def _pairs(counters: dict[int, RankCounter], query_cameras: np.ndarray) -> list[PairScores]:
    pairs = []
    for gallery_camera, counter in counters.items():
        scores = counter.scores()
        of = query_cameras[scores.valid]
        for camera in np.unique(of):
            at = of == camera
            first, ap = scores.first_rank[at], scores.average_precision[at]
            pairs.append(
                PairScores(
                    int(camera), gallery_camera, int(at.sum()), float((first == 1).mean()), float(ap.mean())
                )
            )
    return sorted(pairs, key=lambda p: (p.query_camera, p.gallery_camera))
