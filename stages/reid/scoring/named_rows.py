"""Tracklets as rows of embeddings: what to call them, when they were filmed, which frames are shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.times import moment, zone_of
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import COLUMNS, UNKNOWN, Embeddings

SHOWN_FRAMES = 8


def of_tracklets(
    tracklets: Sequence[Tracklet], features: np.ndarray, dataset: str, root: Path | None, **more: Any
) -> Embeddings:
    """Embeddings of tracklets, checked. dataset, root: where their frames are. more: other fields.

    Raises KeyReIDError where numbers disagree or are not finite.
    """
    if len(features) != len(tracklets):
        raise KeyReIDError(f"{len(features)} embeddings for {len(tracklets)} tracklets; expected as many")
    made = Embeddings(
        features=np.ascontiguousarray(features, np.float32),
        names=np.array([t.name for t in tracklets]),
        persons=np.array([t.person for t in tracklets], np.int64),
        cameras=np.array([-1 if t.camera is None else t.camera for t in tracklets], np.int64),
        camera_names=camera_names(tracklets, dataset),
        person_names=person_names(tracklets, dataset),
        **times_of(tracklets),
        frames=tuple(map(shown_frames, tracklets)),
        root=Path() if root is None else root.resolve(),
        **more,
    )
    made.check()
    return made


def times_of(tracklets: Sequence[Tracklet]) -> dict[str, np.ndarray]:
    """Columns start, end, zone, first and last of tracklets."""
    count = len(tracklets)
    columns = {name: np.full(count, COLUMNS[name]) for name in ("start", "end", "zone", "first", "last")}
    for row, span in enumerate(t.span for t in tracklets):
        if span is not None:
            columns["start"][row], columns["end"][row] = moment(span.start)[1], moment(span.end)[1]
            columns["zone"][row] = zone_of(span.start)
            columns["first"][row], columns["last"][row] = span.first, span.last
    return columns


def camera_names(tracklets: Sequence[Tracklet], dataset: str) -> np.ndarray:
    """What a user calls the camera of each tracklet: its folder in the `folder` layout, else its number."""
    numbers = [UNKNOWN if t.camera is None else str(t.camera) for t in tracklets]
    folders = [_folder(t, dataset, -3) if t.camera is not None else "" for t in tracklets]
    return np.array([folder or number for folder, number in zip(folders, numbers, strict=True)])


def person_names(tracklets: Sequence[Tracklet], dataset: str) -> np.ndarray:
    """What a user calls the person of each tracklet: its folder in the `folder` layout, else its number."""
    return np.array([_folder(t, dataset, -4) or str(t.person) for t in tracklets])


def _folder(tracklet: Tracklet, dataset: str, place: int) -> str:
    """A folder of a tracklet's first frame in person/camera/tracklet/; "" in other layouts."""
    folders = tracklet.frames[0].split("/")
    return folders[place] if dataset == "folder" and len(folders) >= 4 else ""


def shown_frames(tracklet: Tracklet) -> tuple[str, ...]:
    """Up to 8 frames, evenly spaced."""
    count = len(tracklet.frames)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN_FRAMES, count)).round().astype(int))
    return tuple(tracklet.frames[i] for i in places)
