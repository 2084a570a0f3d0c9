"""Ranking scores of re-identification: CMC, mAP and mINP, exact, without sorting the gallery.

A query's scores depend only on the ranks of its right answers, and the rank of one is 1 + the number of
gallery items in front of it. So those are counted; only where they are few they are sorted.

Formulas: CMC and mAP as in Zheng et al., "Scalable Person Re-identification", ICCV 2015; AP by the
trapezoid rule as in the authors' evaluation code of MARS; mINP from Ye et al., "Deep Learning for Person
Re-identification: A Survey and Outlook", TPAMI 2021.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cache.errors import KeyReIDError

JUNK = -1
AveragePrecision = Literal["rectangular", "trapezoid"]
MIN_RANKS = 20
_SORT_BELOW = 100  # items in front, per right answer, up to which sorting them is quicker than counting


class RankingInputError(KeyReIDError, ValueError):
    """Arrays that cannot be scored."""


@dataclass(frozen=True)
class RankingScores:
    """Scores of a ranking. Means are over the `num_valid` queries that have a right answer.

    cmc:       float64 [R]; cmc[r - 1] is the share of queries with a right answer among the first r.
    mean_ap:   mean average precision, 0..1.
    mean_inp:  mean inverse negative penalty, 0..1: right answers / rank of the last of them.
    num_valid: queries that have a right answer; the others are left out of every mean.
    num_queries: all queries.
    valid:     int64 [num_valid], the rows of the valid queries.
    average_precision, inverse_penalty: float64 [num_valid]. first_rank: int64 [num_valid], 1-based.
    persons: int64 [num_valid], whose query each valid one is.
    Without a valid query the means are NaN.
    """

    cmc: np.ndarray
    mean_ap: float
    mean_inp: float
    num_valid: int
    num_queries: int
    valid: np.ndarray
    average_precision: np.ndarray
    inverse_penalty: np.ndarray
    first_rank: np.ndarray
    persons: np.ndarray


class Labels:
    """Persons and cameras of queries and gallery, checked, with the gallery grouped by person.

    Cameras: any label below 0, or None, is unknown; an unknown camera never counts as the same camera.
    kept: int64 [G'], the gallery rows that are not junk. All indices below are positions in `kept`.
    """

    def __init__(self, query_persons, gallery_persons, query_cameras, gallery_cameras):
        self.query_persons = _labels(query_persons, "query_persons")
        self.query_cameras = _cameras(query_cameras, "query_cameras")
        persons = _labels(gallery_persons, "gallery_persons")
        cameras = _cameras(gallery_cameras, "gallery_cameras")
        _same_length("query_persons", self.query_persons, "query_cameras", self.query_cameras)
        _same_length("gallery_persons", persons, "gallery_cameras", cameras)
        if not len(persons):
            raise RankingInputError("the gallery is empty: nothing can be ranked; expected at least one item")
        self.num_gallery = len(persons)
        self.kept = np.flatnonzero(persons != JUNK)
        self.all_kept = len(self.kept) == len(persons)
        self._cameras = cameras[self.kept]
        persons = persons[self.kept]
        self._order = np.argsort(persons, kind="stable")  # by person, then by gallery index
        self._sorted = persons[self._order]
        self._start = np.searchsorted(self._sorted, self.query_persons, "left")
        self._stop = np.searchsorted(self._sorted, self.query_persons, "right")

    def __len__(self) -> int:
        return len(self.query_persons)

    def split(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Right answers of a query, and gallery items ignored for it (same person, same camera)."""
        group = self._order[self._start[query] : self._stop[query]]
        camera = self.query_cameras[query]
        if camera < 0:
            return group, group[:0]
        same = self._cameras[group] == camera
        return group[~same], group[same]


def ranks_of(row: np.ndarray, right: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Ranks of the right answers in one row of distances, ascending, 1-based.

    row: [G]. right, ignored: positions in it. The closer item comes first; of equals, the lower position.
    """
    distances = row[right]
    near = row <= distances.max()  # nothing behind the last right answer matters
    if np.count_nonzero(near) <= _SORT_BELOW * len(right):
        in_order = np.sort(row[near])
        ranks = np.searchsorted(in_order, distances, "left") + 1
        ties = np.searchsorted(in_order, distances, "right") - ranks
        for k in np.flatnonzero(ties):
            ranks[k] += np.count_nonzero(row[: right[k]] == distances[k])
    else:
        ranks = np.empty(len(right), np.int64)
        for k, (position, distance) in enumerate(zip(right.tolist(), distances, strict=True)):
            before = np.count_nonzero(row[:position] <= distance)
            ranks[k] = before + np.count_nonzero(row[position + 1 :] < distance) + 1
    if len(ignored):
        far, near = distances[:, None], row[ignored][None]
        ranks -= ((near < far) | ((near == far) & (ignored[None] < right[:, None]))).sum(1)
    ranks.sort()
    return ranks


def score_ranking(
    distances: np.ndarray,
    query_persons: Sequence[int],
    gallery_persons: Sequence[int],
    query_cameras: Sequence[int | None],
    gallery_cameras: Sequence[int | None],
    average_precision: AveragePrecision = "rectangular",
    ranks: int = 50,
) -> RankingScores:
    """Score a matrix of distances; smaller is closer, ties go to the lower gallery index.

    distances: [Q, G] numbers, infinity allowed. persons, cameras: [Q] and [G] whole numbers.
    In the gallery, person -1 is junk and ignored; person 0, a distractor, stays as a wrong answer; the
    query's person from the query's camera is ignored. A camera of None or below 0 is unknown: nothing
    is ignored on its account. ranks: length of `cmc`, at least 20.
    Raises RankingInputError for unequal lengths, NaN distances, an empty gallery, an unknown rule.
    """
    distances = np.asarray(distances)
    if distances.ndim != 2 or distances.dtype.kind not in "fiub":
        raise RankingInputError(
            f"distances have shape {distances.shape} and type {distances.dtype}; expected numbers [Q, G]"
        )
    labels = Labels(query_persons, gallery_persons, query_cameras, gallery_cameras)
    if distances.shape != (len(labels), labels.num_gallery):
        raise RankingInputError(
            f"distances have shape {distances.shape}, but there are {len(labels)} queries and "
            f"{labels.num_gallery} gallery items; expected [queries, gallery items]"
        )
    if distances.dtype not in (np.float32, np.float64):
        distances = distances.astype(np.float64)
    counter = RankCounter(labels)
    counter.add(0, distances)
    return counter.scores(average_precision, ranks)


class RankCounter:
    """Collects ranks from blocks of queries, so that the whole matrix need never exist."""

    def __init__(self, labels: Labels):
        self.labels = labels
        self._rows: list[int] = []
        self._ranks: list[np.ndarray] = []

    def add(self, first: int, distances: np.ndarray) -> None:
        """distances: float [b, G] of the queries first..first+b-1."""
        if distances.size and np.isnan(distances.min()):
            row, column = np.argwhere(np.isnan(distances))[0]
            raise RankingInputError(
                f"the distance of query {first + row} to gallery item {column} is NaN; "
                "expected numbers: look for NaN in the embeddings or the checkpoint"
            )
        for row, values in enumerate(distances, start=first):
            right, ignored = self.labels.split(row)
            if len(right):
                kept = values if self.labels.all_kept else values[self.labels.kept]
                self._rows.append(row)
                self._ranks.append(ranks_of(np.ascontiguousarray(kept), right, ignored))

    def scores(self, average_precision: AveragePrecision = "rectangular", ranks: int = 50) -> RankingScores:
        """The scores of all queries added so far."""
        if average_precision not in ("rectangular", "trapezoid"):
            raise RankingInputError(
                f"average_precision={average_precision!r} is unknown; expected 'rectangular' or 'trapezoid'"
            )
        valid = np.array(self._rows, np.int64)
        length = max(ranks, MIN_RANKS)
        if not len(valid):
            empty = np.empty(0)
            nan = float("nan")
            cmc = np.full(length, nan)
            return RankingScores(cmc, nan, nan, 0, len(self.labels), valid, empty, empty, valid, valid)
        counts = np.array([len(r) for r in self._ranks])
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        rank = np.concatenate(self._ranks)
        number = np.arange(1, len(rank) + 1) - np.repeat(starts, counts)  # 1, 2, ... within a query
        precision = number / rank
        if average_precision == "trapezoid":
            # Precision just before a right answer; 1 at the top of the list.
            before = np.where(rank > 1, (number - 1) / np.maximum(rank - 1, 1), 1.0)
            precision = (precision + before) / 2
        ap = np.add.reduceat(precision, starts) / counts
        first, last = rank[starts], rank[starts + counts - 1]
        inp = counts / last
        cmc = np.cumsum(np.bincount(np.minimum(first, length + 1), minlength=length + 2))[1 : length + 1]
        return RankingScores(
            cmc=cmc / len(valid),
            mean_ap=float(ap.mean()),
            mean_inp=float(inp.mean()),
            num_valid=len(valid),
            num_queries=len(self.labels),
            valid=valid,
            average_precision=ap,
            inverse_penalty=inp,
            first_rank=first,
            persons=self.labels.query_persons[valid],
        )


def _labels(values, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise RankingInputError(f"{name} has shape {array.shape}; expected one label per item")
    if not array.size:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise RankingInputError(f"{name} holds {array.dtype} values; expected whole numbers")
    return array.astype(np.int64)


def _cameras(values, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object and array.ndim == 1:
        array = np.array([-1 if v is None else v for v in array.tolist()])
    return _labels(array, name)


def _same_length(name: str, values: np.ndarray, other: str, others: np.ndarray) -> None:
    if len(values) != len(others):
        raise RankingInputError(f"{name} has {len(values)} entries, {other} {len(others)}; expected as many")
