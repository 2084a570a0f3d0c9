"""A made folder of linked tracklets: what keyreid link would have written, without a network."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np

from cache import PoseCache
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import Embeddings, of_tracklets

START = 1_764_144_000.0  # 2025-11-26 09:00 at +01:00
NEAR = 5
COLUMNS = "identity tracklet part camera start end first_frame last_frame confidence".split()


def made_gallery(
    path: Path, root: Path, tracklets: list[Tracklet], dataset: str, poses: PoseCache | None, hours: float = 1
) -> Embeddings:
    """A gallery file of random features around one point per person, filmed at random times."""
    random = np.random.default_rng(0)
    persons = np.array([t.person for t in tracklets])
    features = (
        random.normal(size=(persons.max() + 2, 16))[persons] + random.normal(size=(len(persons), 16)) / 2
    )
    start = START + np.sort(random.uniform(0, 3600 * hours, len(persons))).round(1)
    about = {
        "dataset": dataset,
        "labelled": True,
        "checkpoint": {"path": "model.safetensors", "sha256": "0" * 64},
        "poses": {
            "estimator": "exact",
            "weights_sha256": "1" * 64,
            "path": str(poses.folder) if poses else None,
        },
        "camera": "unknown",
        "distance": "euclidean",
    }
    made = of_tracklets(
        tracklets,
        features,
        dataset,
        root,
        about=about,
        start=start,
        end=start + np.array([len(t.frames) / 8 for t in tracklets]),
        zone=np.full(len(persons), 3600.0),
        first=np.arange(len(persons)) * 10,
        last=np.arange(len(persons)) * 10 + 50,
    )  # fmt: skip
    made.save(path)
    return made


def link_made(folder: Path, path: Path, gallery: Embeddings) -> Path:
    """Write identities.csv and link.json for a gallery file, persons as they are labelled."""
    random = np.random.default_rng(1)
    identities = np.unique(gallery.persons, return_inverse=True)[1] + 1
    order = np.lexsort((gallery.start, identities))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "identities.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in order:
            confidence = f"{random.uniform(0.3, 1):.3f}"
            frames = gallery.first[row], gallery.last[row]
            camera, name = gallery.camera_names[row], gallery.names[row]
            table.writerow((identities[row], name, path, camera, *gallery.when(row), *frames, confidence))
    nearest = []
    for row in order:
        distances = np.linalg.norm(gallery.features[order] - gallery.features[row], axis=1)
        nearest.append([[int(i), float(distances[i])] for i in np.argsort(distances)[1 : NEAR + 1]])
    digest = hashlib.sha256((folder / "identities.csv").read_bytes()).hexdigest()
    record = {
        "schema": 1,
        "galleries": [str(path)],
        "notes": [],
        "identities_sha256": digest,
        "nearest": nearest,
    }
    (folder / "link.json").write_text(json.dumps(record))
    return folder
