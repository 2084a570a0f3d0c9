"""A FAISS index over rows of a gallery: made once, then asked for many queries at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.faiss_index import drop, kept_index, search_index

_ANSWERS = 2**22  # held at a time, 50 MB


@dataclass(frozen=True)
class IndexedRows:
    """index: of the features of `rows`, in their order. repeats: int64 [P], how often each place is in it."""

    rows: np.ndarray
    distance: Distance
    index: Any
    repeats: np.ndarray

    @classmethod
    def of(
        cls, gallery: Embeddings, rows: np.ndarray, kind: str, distance: Distance, folder: Path | None
    ) -> "IndexedRows":
        """The index of some rows of a gallery. The gallery keeps the last one for the next search.

        distance: euclidean or cosine. Errors as `kept_index`.
        """
        key = (kind, distance, folder)
        kept = gallery.indexed.get(key)
        if kept is None or not np.array_equal(kept.rows, rows):
            gallery.indexed.clear()  # one is as large as the features
            whole = np.array_equal(rows, np.arange(len(gallery)))
            features = _features(gallery, slice(None) if whole else rows, distance)
            repeats = np.bincount(gallery.places[rows], minlength=gallery.places.max() + 1)
            index = kept_index(features, kind, folder)
            kept = gallery.indexed[key] = cls(rows.copy(), distance, index, repeats)
        return kept

    def nearest(
        self, gallery: Embeddings, query: np.ndarray, k: int, other_cameras: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [Q, k'] and distances float32 [Q, k'] of the nearest, k' at most k and at least 1.

        Where a query has no more: -1 and infinity. A query's own tracklet is left out, and with
        other_cameras the tracklets of its camera. FAISS is called once, or once per camera.
        """
        matches = np.full((len(query), min(k, len(self.rows))), -1, np.int64)
        distances = np.full(matches.shape, np.inf, np.float32)
        own, cameras = gallery.places[query], gallery.camera_numbers
        asked = cameras[query] if other_cameras else np.full(len(query), -1)
        for camera in np.unique(asked):
            closed = cameras[self.rows] == camera if camera >= 0 else None
            group = np.flatnonzero(asked == camera)
            # A query's own tracklet is dropped from its answers: ask for as many more as it is there.
            wanted = k + int(self.repeats[own[group]].max())
            block = max(1, _ANSWERS // wanted)
            for start in range(0, len(group), block):
                part = group[start : start + block]
                features = _features(gallery, query[part], self.distance)
                squares, found = search_index(self.index, features, wanted, closed)
                wrong = gallery.places[self.rows[found]] == own[part, None]
                _, found = drop(squares, found, wrong, matches.shape[1])
                matches[part] = np.where(found < 0, -1, self.rows[found])
                exact = _exact(gallery, query[part], matches[part], self.distance)
                order = np.argsort(exact, axis=1, kind="stable")
                matches[part] = np.take_along_axis(matches[part], order, 1)
                distances[part] = np.take_along_axis(exact, order, 1)
        width = max(1, int((matches >= 0).sum(1).max()))
        return matches[:, :width], distances[:, :width]


def _exact(gallery: Embeddings, query: np.ndarray, matches: np.ndarray, distance: Distance) -> np.ndarray:
    """Distances float32 [Q, k] of the answers; those of a compressing index are of its own space."""
    result = np.full(matches.shape, np.inf, np.float32)
    for row, found, line in zip(query, matches, result, strict=True):
        kept = found[found >= 0]
        difference = _features(gallery, kept, distance) - _features(gallery, np.array([row]), distance)
        # |a - b|^2 = 2 (1 - cos) for unit vectors
        line[found >= 0] = np.einsum("kf,kf->k", difference, difference) / (2 if distance == "cosine" else 1)
    return result


def _features(gallery: Embeddings, rows: np.ndarray | slice, distance: Distance) -> np.ndarray:
    """Features of some rows; of length 1 for cosine."""
    features = gallery.features[rows]
    if distance != "cosine":
        return features
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)
