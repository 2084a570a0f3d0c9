"""Identities as files: `identities.csv`, a row per tracklet, and `link.json`, how they were found.

identities.csv  identity (from 1, by first appearance), tracklet, part, camera, start, end, first_frame,
                last_frame (empty where unknown), confidence in [0, 1]; by identity, then in time
link.json       galleries, model, threshold, settings, constraints, counts, scores (where labelled), notes;
                nearest: for each row of identities.csv, its nearest others as [row, distance], rows from 0
"""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from cache.files import write_whole
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.constraints import Apart
from stages.reid.search.neighbours import Neighbours

IDENTITIES, RECORD = "identities.csv", "link.json"
COLUMNS = (
    "identity", "tracklet", "part", "camera", "start", "end", "first_frame", "last_frame", "confidence",
)  # fmt: skip
SCHEMA = 1


def numbered(labels: np.ndarray, apart: Apart) -> np.ndarray:
    """Identities int64 [N] from 1, by first appearance; of unknown times last, in the order of rows."""
    start = np.where(np.isfinite(apart.start), apart.start, np.inf)
    order = np.lexsort((np.arange(len(labels)), start, apart.clock))
    _, first, inverse = np.unique(labels[order], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(1, len(first) + 1)
    identities = np.empty(len(labels), np.int64)
    identities[order] = place[inverse]
    return identities


def confidences(similarity: sparse.csr_array, identities: np.ndarray, least: float) -> np.ndarray:
    """How clearly each tracklet belongs to its identity: float64 [N] in [0, 1].

    own / (own + other), with the mean similarity to the identity's others and to the nearest other identity.
    A tracklet that is alone: how far that nearest one is from `least`, the similarity that would join them.
    """
    count = len(identities)
    member = sparse.csr_array((np.ones(count), (np.arange(count), identities - 1)))
    sizes = np.bincount(identities - 1)
    sums = (similarity @ member).tocoo()
    mine = sums.col == identities[sums.row] - 1
    own, other = np.zeros((2, count))
    own[sums.row[mine]] = sums.data[mine] / np.maximum(sizes[sums.col[mine]] - 1, 1)
    np.maximum.at(other, sums.row[~mine], sums.data[~mine] / sizes[sums.col[~mine]])
    alone = sizes[identities - 1] == 1
    together = own / np.maximum(own + other, np.finfo(float).tiny)
    return np.clip(np.where(alone, 1 - other / max(least, 1e-9), together), 0, 1)


def write_people(
    folder: Path,
    gallery: Embeddings,
    identities: np.ndarray,
    confidence: np.ndarray,
    neighbours: Neighbours,
    shown: int,
    record: dict[str, Any],
) -> Path:
    """Write both files, each whole; `link.json` last. Returns the folder."""
    start = np.full(len(gallery), np.nan) if gallery.start is None else gallery.start
    order = np.lexsort((np.arange(len(gallery)), start, identities))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in order.tolist():
        table.writerow(
            (
                identities[row],
                gallery.names[row],
                gallery.part[row],
                gallery.camera_names[row],
                *gallery.when(row),
                _known(gallery.first, row),
                _known(gallery.last, row),
                f"{confidence[row]:.3f}",
            )
        )
    content = text.getvalue().encode("utf-8", "surrogateescape")
    nearest = [
        [
            [int(place[other]), round(float(distance), 5)]
            for other, distance in zip(
                neighbours.rows[row, :shown], neighbours.distances[row, :shown], strict=True
            )
            if other >= 0
        ]
        for row in order
    ]
    record = {"schema": SCHEMA, **record, "identities_sha256": hashlib.sha256(content).hexdigest()}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
    lines.append(' "nearest": [\n' + ",\n".join(f"  {json.dumps(line)}" for line in nearest) + "\n ]")
    write_whole(folder / IDENTITIES, content)
    write_whole(folder / RECORD, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return folder


def _known(values: np.ndarray | None, row: int) -> int | str:
    return "" if values is None or values[row] < 0 else int(values[row])
