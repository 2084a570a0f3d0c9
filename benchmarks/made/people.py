"""A made folder of linked tracklets: what keyreid link writes, without a trained network."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from cache import PoseCache
from stages.datasets.times import Span, written
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.named_rows import of_tracklets
from stages.reid.search.gallery import read_gallery
from stages.reid.search.neighbours import Neighbours
from stages.reid.search.people import write_people

START = datetime.fromisoformat("2026-11-26T09:00:00+01:00")
NEAR = 5


def timed(tracklets: Sequence[Tracklet], hours: float = 1) -> list[Tracklet]:
    """The tracklets, filmed at random times on one day, 8 frames a second."""
    seconds = np.random.default_rng(0).uniform(0, 3600 * hours, len(tracklets)).round(1).tolist()
    return [
        replace(
            t, span=Span(written(START, s), written(START, s + len(t.frames) / 8), at, at + len(t.frames))
        )
        for at, (t, s) in enumerate(zip(tracklets, seconds, strict=True))
    ]


def made_gallery(
    path: Path, root: Path, tracklets: Sequence[Tracklet], dataset: str, poses: PoseCache | None = None
) -> Embeddings:
    """A gallery file of random features around one point per person, as it is read back."""
    random = np.random.default_rng(0)
    persons = np.array([t.person for t in tracklets])
    features = random.normal(size=(persons.max() + 2, 16))[persons]
    about = {
        "dataset": dataset,
        "labelled": True,
        "checkpoint": {"path": "model.safetensors", "sha256": "0" * 64},
        "poses": {"weights_sha256": "1" * 64, "path": str(poses.folder) if poses else None},
        "camera": "unknown",
        "distance": "euclidean",
    }
    noisy = features + random.normal(size=features.shape) / 2
    of_tracklets(tracklets, noisy, dataset, root, about=about).save(path)
    return read_gallery(path)


def link_made(folder: Path, path: Path, gallery: Embeddings) -> Path:
    """Write identities.csv and link.json for a gallery file, persons as they are labelled."""
    random = np.random.default_rng(1)
    count = min(NEAR, len(gallery) - 1)
    near = np.zeros((len(gallery), count), np.int64)
    far = np.zeros((len(gallery), count), np.float32)
    for row, feature in enumerate(gallery.features):
        distances = np.linalg.norm(gallery.features - feature, axis=1)
        near[row] = np.argsort(distances)[1 : count + 1]
        far[row] = distances[near[row]]
    folder.mkdir(parents=True, exist_ok=True)
    return write_people(
        folder,
        gallery,
        np.unique(gallery.persons, return_inverse=True)[1] + 1,
        random.uniform(0.3, 1, len(gallery)),
        Neighbours(near, far),
        count,
        {"galleries": [str(path)], "notes": []},
    )
