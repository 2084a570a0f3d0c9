"""Embeddings of tracklets with their names: what is scored, searched, linked and drawn.

One class and one file (`embeddings_file`). `TestSet` adds which rows are queries and which are ranked.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet

log = logging.getLogger(__name__)
SHOWN_FRAMES = 8
UNKNOWN = "?"  # name of a camera


@dataclass(frozen=True, eq=False, kw_only=True)
class Embeddings:
    """One row per tracklet.

    features:     float32 [N, F]; the first `global_width` columns are the global feature, the rest `parts`
                  blocks of equal width. normalised: every block has length 1.
    names:        text [N]. persons: int64 [N]. cameras: int64 [N], numbers in the data set, -1 unknown.
    camera_names: text [N], what to call the camera, "?" unknown.
    visibility:   float32 [N, parts] in [0, 1], mean over frames of a part's highest heat, or None.
    start, end:   float64 [N], clock time of the first and the last frame in seconds, or None.
    frames:       up to 8 frames of each tracklet, paths under `root`; () where there are none.
    about:        dataset, split, labelled, checkpoint {path, sha256}, poses, camera, distance and whatever
                  else made them; plain JSON values.
    """

    features: np.ndarray
    names: np.ndarray
    persons: np.ndarray
    cameras: np.ndarray
    camera_names: np.ndarray | None = None
    visibility: np.ndarray | None = None
    start: np.ndarray | None = None
    end: np.ndarray | None = None
    frames: tuple[tuple[str, ...], ...] = ()
    root: Path = Path()
    parts: int = 0
    global_width: int = 0
    normalised: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def part_width(self) -> int:
        """Columns of one part's block."""
        return (self.features.shape[1] - self.global_width) // self.parts if self.parts else 0

    @property
    def checkpoint(self) -> str:
        """SHA-256 of the weights that made the features."""
        return self.about["checkpoint"]["sha256"]

    @cached_property
    def places(self) -> np.ndarray:
        """A number for each first frame, which tells a tracklet from all others: int64 [N]."""
        return _numbered(frames[0] for frames in self.frames)

    @cached_property
    def camera_numbers(self) -> np.ndarray:
        """A number for each name of a camera, -1 unknown: int64 [N]."""
        return np.where(self.camera_names == UNKNOWN, -1, _numbered(self.camera_names.tolist()))

    @cached_property
    def indexed(self) -> dict[tuple, Any]:
        """FAISS indexes made of these rows in this process; see stages.reid.search.indexed."""
        return {}

    def check(self, where: str = "embeddings") -> None:
        """Raises KeyReIDError where shapes disagree, numbers are not finite or rows do not exist."""
        count = len(self.features)
        if self.features.ndim != 2 or not self.features.size:
            raise KeyReIDError(f"{where}: features have shape {self.features.shape}; expected [N, width]")
        for name in ("names", "persons", "cameras", "camera_names", "start", "end"):
            values = getattr(self, name)
            if values is not None and values.shape != (count,):
                raise KeyReIDError(f"{where}: {name} has shape {values.shape}; expected ({count},)")
        if self.frames and not (len(self.frames) == count and all(self.frames)):
            raise KeyReIDError(f"{where}: frames of {len(self.frames)} tracklets; expected some of {count}")
        if self.visibility is not None and self.visibility.shape != (count, self.parts):
            shape = self.visibility.shape
            raise KeyReIDError(f"{where}: visibility has shape {shape}; expected {count, self.parts}")
        columns = self.features.shape[1]
        if not 0 <= self.global_width <= columns or (columns - self.global_width) % max(self.parts, 1):
            raise KeyReIDError(
                f"{where}: {columns} columns; expected {self.global_width} and {self.parts} equal parts"
            )
        for name in ("features", "visibility", "start", "end"):
            self._check_finite(name, where)
        if self.visibility is not None and not ((self.visibility >= 0) & (self.visibility <= 1)).all():
            raise KeyReIDError(f"{where}: visibility is outside 0..1; make it again")

    def _check_finite(self, name: str, where: str) -> None:
        values = getattr(self, name)
        if values is None:
            return
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if bad.any():
            first = self.names[int(np.argmax(bad))]
            raise KeyReIDError(
                f"{where}: {name} of {int(bad.sum())} tracklets is not finite, first {first}; check "
                "the checkpoint"
            )

    def save(self, path: Path, half: bool = False) -> Path:
        """Write the file whole or not at all; returns its path. half: features as float16, half the size.

        Raises KeyReIDError where it cannot be written, for values that are not finite, and for features
        beyond half precision.
        """
        from stages.reid.scoring.embeddings_file import write

        self.check(str(path))
        return write(self, path, half)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read and check a file that `save` wrote. Raises KeyReIDError for anything else."""
        from stages.reid.scoring.embeddings_file import read

        loaded = read(cls, Path(path))
        loaded.check(str(path))
        return loaded


@dataclass(frozen=True, eq=False, kw_only=True)
class TestSet(Embeddings):
    """Two sets in one: the queries and what they are ranked against, which may share rows.

    query, gallery: int64, rows.
    """

    __test__ = False  # not a test, whatever its name
    query: np.ndarray
    gallery: np.ndarray

    def check(self, where: str = "embeddings") -> None:
        """As of Embeddings; and every query and gallery row exists."""
        super().check(where)
        for name in ("query", "gallery"):
            rows = getattr(self, name)
            if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= len(self):
                raise KeyReIDError(f"{where}: {name} does not name rows of the {len(self)} embeddings")

    @classmethod
    def of(cls, dataset: Dataset, embeddings: Embeddings) -> "TestSet":
        """embeddings: of `dataset.test_tracklets()`, in that order."""
        row = {t.name: i for i, t in enumerate(dataset.test_tracklets())}
        columns = {f.name: getattr(embeddings, f.name) for f in fields(Embeddings)}
        query, gallery = (
            np.array([row[t.name] for t in group], np.int64) for group in (dataset.query, dataset.gallery)
        )
        return cls(**columns, query=query, gallery=gallery)


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
        frames=tuple(map(shown_frames, tracklets)),
        root=Path() if root is None else root.resolve(),
        **more,
    )
    made.check()
    return made


def join(sets: Sequence[tuple[str, Embeddings]]) -> Embeddings:
    """One set of several, rows in order. sets: (name of the file, embeddings).

    Frames become absolute paths; persons count as labelled only where all are of one labelled data set.
    Raises KeyReIDError where they were made by different networks.
    """
    (first_name, first), *others = sets
    for name, other in others:
        if other.checkpoint != first.checkpoint:
            raise KeyReIDError(
                f"{name}: made by checkpoint {other.checkpoint[:12]} ({other.about['checkpoint']['path']}), "
                f"{first_name} by {first.checkpoint[:12]} ({first.about['checkpoint']['path']}): distances "
                "between them mean nothing; embed one of them again with the other's checkpoint"
            )
    if not others:
        return first
    every = [one for _, one in sets]
    columns = {}
    for name in ("features", "names", "persons", "cameras", "camera_names", "visibility", "start", "end"):
        values = [getattr(one, name) for one in every]
        columns[name] = None if any(v is None for v in values) else np.concatenate(values)
    # Persons and cameras of different data sets have nothing to do with each other.
    places = {(one.about.get("dataset"), str(one.root)) for one in every}
    labelled = len(places) == 1 and all(one.about.get("labelled") for one in every)
    modes = {one.about.get("camera") for one in every}
    about = first.about | {"labelled": labelled, "camera": modes.pop() if len(modes) == 1 else "mixed"}
    frames = tuple(tuple(str(one.root / f) for f in frames) for one in every for frames in one.frames)
    joined = replace(first, **columns, frames=frames, root=Path("/"), about=about)
    joined.check(" and ".join(name for name, _ in sets))
    return joined


def camera_names(tracklets: Sequence[Tracklet], dataset: str) -> np.ndarray:
    """What a user calls the camera of each tracklet: its folder in the `folder` layout, else its number."""
    names = []
    for tracklet in tracklets:
        folders = tracklet.frames[0].split("/")
        if tracklet.camera is None:
            names.append(UNKNOWN)
        elif dataset == "folder" and len(folders) >= 4:
            names.append(folders[-3])
        else:
            names.append(str(tracklet.camera))
    return np.array(names)


def shown_frames(tracklet: Tracklet) -> tuple[str, ...]:
    """Up to 8 frames, evenly spaced."""
    count = len(tracklet.frames)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN_FRAMES, count)).round().astype(int))
    return tuple(tracklet.frames[i] for i in places)


def _numbered(texts: Iterable[str]) -> np.ndarray:
    """Equal texts get equal numbers, from 0 in the order in which they first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int64)
