"""A FAISS index over rows of a gallery: made once, then asked for many queries at a time."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.stored_rows import StoredRows, block_rows
from stages.reid.search.faiss_index import KINDS, build_index, drop, kept_index, search_index

_ANSWERS = 2**22  # held at a time, 50 MB
_MORE = 10  # times as many answers are asked of a compressing index: their order there is not the exact one


@dataclass(frozen=True)
class IndexedRows:
    """index: of the features of `rows`, in their order. repeats: int64 [P], how often each place is in it.

    compressed: the index holds less than the features.
    """

    rows: np.ndarray
    distance: Distance
    index: Any
    repeats: np.ndarray
    compressed: bool

    @classmethod
    def of(
        cls, gallery: Embeddings, rows: np.ndarray, kind: str, distance: Distance, folder: Path | None
    ) -> "IndexedRows":
        """The index of some rows of a gallery, and of all others of their parts, so that it can be kept.

        The gallery keeps the last one for the next search. distance: euclidean or cosine. Errors as
        `kept_index`.
        """
        base = _base(gallery, rows)
        key = (kind, distance, folder)
        kept = gallery.indexed.get(key)
        if kept is None or not np.array_equal(kept.rows, base):
            gallery.indexed.clear()  # one is as large as the features
            features = _Features(gallery, base, distance)
            repeats = np.bincount(gallery.places[base], minlength=gallery.places.max() + 1)
            if folder is None:
                index = build_index(features, kind)
            else:
                index = kept_index(features, kind, folder, _parts(gallery, base), distance)
            kept = gallery.indexed[key] = cls(base, distance, index, repeats, kind not in KINDS)
        return kept

    def nearest(
        self,
        gallery: Embeddings,
        query: np.ndarray,
        k: int,
        other_cameras: bool,
        rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [Q, k'] and distances float32 [Q, k'] of the nearest, k' at most k and at least 1.

        Distances are exact, and so is the order, whatever the index holds. Where a query has no more: -1 and
        infinity. A query's own tracklet is left out, and with
        other_cameras the tracklets of its camera. rows: those that may be found, None for all of the index.
        FAISS is called once, or once per camera.
        """
        matches = np.full((len(query), min(k, len(self.rows))), -1, np.int64)
        distances = np.full(matches.shape, np.inf, np.float32)
        own, cameras = gallery.places[query], gallery.camera_numbers
        shut = None if rows is None else ~np.isin(self.rows, rows)
        asked = cameras[query] if other_cameras else np.full(len(query), -1)
        for camera in np.unique(asked):
            closed = cameras[self.rows] == camera if camera >= 0 else shut
            closed = closed | shut if camera >= 0 and shut is not None else closed
            group = np.flatnonzero(asked == camera)
            # A query's own tracklet is dropped from its answers: ask for as many more as it is there.
            spare = int(self.repeats[own[group]].max())
            wanted = (_MORE * k if self.compressed else k) + spare
            block = max(1, _ANSWERS // wanted)
            for start in range(0, len(group), block):
                part = group[start : start + block]
                features = _features(gallery, query[part], self.distance)
                squares, places = search_index(self.index, features, wanted, closed)
                wrong = gallery.places[self.rows[places]] == own[part, None]
                _, places = drop(squares, places, wrong, min(wanted - spare, len(self.rows)))
                answers = np.where(places < 0, -1, self.rows[places])
                exact = _exact(gallery, query[part], answers, self.distance)
                order = np.argsort(exact, axis=1, kind="stable")[:, : matches.shape[1]]
                matches[part, : order.shape[1]] = np.take_along_axis(answers, order, 1)
                distances[part, : order.shape[1]] = np.take_along_axis(exact, order, 1)
        width = max(1, int((matches >= 0).sum(1).max()))
        return matches[:, :width], distances[:, :width]


class _Features:
    """float32 [N, F] of some rows as an index takes them, read where they are asked for."""

    def __init__(self, gallery: Embeddings, rows: np.ndarray, distance: Distance) -> None:
        self._gallery, self._rows, self._distance = gallery, rows, distance
        self.shape = (len(rows), gallery.features.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: slice | np.ndarray) -> np.ndarray:
        return _features(self._gallery, self._rows[places], self._distance)


def _base(gallery: Embeddings, rows: np.ndarray) -> np.ndarray:
    """All rows of the parts that `rows` are from, int64; `rows` where a gallery has no parts.

    A part is a run of rows with one name: the query's file may be one of the gallery's.
    """
    if gallery.part is None:
        return rows.copy()
    runs = np.cumsum(np.r_[0, gallery.part[1:] != gallery.part[:-1]])
    return np.flatnonzero(np.isin(runs, runs[rows]))


def _parts(gallery: Embeddings, rows: np.ndarray) -> list[tuple[str, int]]:
    """What stands for the content of each part of `rows`, and how many rows it has."""
    if gallery.part is None:
        starts = [0]
    else:
        names = gallery.part[rows]
        starts = [0, *(1 + np.flatnonzero(names[1:] != names[:-1])).tolist()]
    parts = []
    for start, stop in pairwise([*starts, len(rows)]):
        # The name of a gallery folder's part stands for its features as they are stored, and for no others.
        content = gallery.source(int(rows[start])).get("content")
        if content is None or not isinstance(gallery.features, StoredRows):
            digest = hashlib.sha256()
            step = block_rows(gallery.features.shape[1])
            for first in range(start, stop, step):
                some = gallery.features[rows[first : min(first + step, stop)]]
                digest.update(np.ascontiguousarray(some).data)
            content = digest.hexdigest()
        parts.append((content, stop - start))
    return parts


def _exact(gallery: Embeddings, query: np.ndarray, matches: np.ndarray, distance: Distance) -> np.ndarray:
    """Distances float32 [Q, k] of the answers; those of a compressing index are of its own space."""
    distances = np.full(matches.shape, np.inf, np.float32)
    for row, answers, line in zip(query, matches, distances, strict=True):
        kept = answers[answers >= 0]
        difference = _features(gallery, kept, distance) - _features(gallery, np.array([row]), distance)
        # |a - b|^2 = 2 (1 - cos) for unit vectors
        line[answers >= 0] = np.einsum("kf,kf->k", difference, difference) / (
            2 if distance == "cosine" else 1
        )
    return distances


def _features(gallery: Embeddings, rows: np.ndarray, distance: Distance) -> np.ndarray:
    """Features of some rows; of length 1 for cosine."""
    features = gallery.features[rows]
    if distance != "cosine":
        return features
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)
