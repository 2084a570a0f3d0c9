"""Embeddings of tracklets with their names: what is scored, searched, linked and drawn.

One class and one file (`embeddings_file`). `TestSet` adds which rows are queries and which are ranked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.times import span_text, time_text
from stages.datasets.tracklet import Dataset
from stages.reid.scoring.stored_frames import FileFrames, StoredFrames, first_frames
from stages.reid.scoring.stored_rows import StoredRows

UNKNOWN = "?"  # name of a camera
# Of a row beside its features, name and frames; a row where a set has none gets what stands for unknown.
COLUMNS = {
    "persons": -1,
    "cameras": -1,
    "camera_names": UNKNOWN,
    "person_names": "",
    "start": np.nan,
    "end": np.nan,
    "zone": np.nan,
    "first": -1,
    "last": -1,
    "part": "",
}
_DAY = 86_400  # seconds
_CENTURIES = 400 * 365 * _DAY  # beyond, a time cannot be shown as a date


@dataclass(frozen=True, eq=False, kw_only=True)
class Embeddings:
    """One row per tracklet.

    features:     float32 [N, F]; the first `global_width` columns are the global feature, the rest `parts`
                  blocks of equal width. normalised: blocks have length 1, parts hardly seen less.
    names:        text [N]. persons: int64 [N]. cameras: int64 [N], numbers in the data set, -1 unknown.
    camera_names: text [N], what to call the camera, "?" unknown.
    person_names: text [N], what to call the person: its folder in the `folder` layout, else its number.
    visibility:   float32 [N, parts] in [0, 1], mean over frames of a part's highest heat, or None.
    start, end:   float64 [N], when the first and the last frame were filmed: seconds since 1970, or of the
                  video where `zone` is NaN; NaN unknown. None: unknown for all.
    zone:         float64 [N], seconds east of UTC where start and end are clock times, else NaN.
    first, last:  int64 [N], numbers of these frames in their video, -1 unknown.
    frames:       up to 8 frames of each tracklet, paths under `root`; () where there are none.
    about:        dataset, split, labelled, checkpoint {path, sha256}, poses {estimator, weights_sha256,
                  fingerprint, path of the cache}, camera, distance and whatever else made them; plain JSON
                  values.
    part:         text [N], the file or the part of a gallery that a row is from, which tells equal names
                  apart. None: not read from one.
    sources:      of each part, its `about` and `root` (text).
    """

    features: np.ndarray | StoredRows
    names: np.ndarray
    persons: np.ndarray
    cameras: np.ndarray
    camera_names: np.ndarray | None = None
    visibility: np.ndarray | None = None
    person_names: np.ndarray | None = None
    start: np.ndarray | None = None
    end: np.ndarray | None = None
    zone: np.ndarray | None = None
    first: np.ndarray | None = None
    last: np.ndarray | None = None
    frames: Sequence[tuple[str, ...]] = ()
    root: Path = Path()
    parts: int = 0
    global_width: int = 0
    normalised: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    part: np.ndarray | None = None
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)

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
        return numbered(first_frames(self.frames), len(self))

    @cached_property
    def camera_numbers(self) -> np.ndarray:
        """A number for each name of a camera, -1 unknown: int64 [N]."""
        return np.where(self.camera_names == UNKNOWN, -1, numbered(self.camera_names))

    @cached_property
    def indexed(self) -> dict[tuple, Any]:
        """FAISS indexes made of these rows in this process; see stages.reid.search.indexed."""
        return {}

    def when(self, row: int) -> tuple[str, str]:
        """Start and end in words, as `stages.datasets.times.time_text`; "" where they are not known."""
        if self.start is None or self.end is None:
            return "", ""
        zone = np.nan if self.zone is None else float(self.zone[row])
        return time_text(float(self.start[row]), zone), time_text(float(self.end[row]), zone)

    def filmed(self, row: int) -> str:
        """Time span, short, as `stages.datasets.times.span_text`."""
        columns = (self.start, self.end, self.zone)
        return span_text(*(np.nan if column is None else float(column[row]) for column in columns))

    def times(self, row: int) -> dict[str, str | float | None]:
        """start and end as JSON values: ISO 8601, seconds of the video, or None where they are not known."""
        values: dict[str, str | float | None] = {}
        for name, text in zip(("start", "end"), self.when(row), strict=True):
            seconds = text.endswith(" s")
            values[name] = round(float(getattr(self, name)[row]), 3) if seconds else text or None
        return values

    def source(self, row: int) -> dict[str, Any]:
        """The `about` and the `root` of what a row was read from; see `frames_of`."""
        own = self.about | {"root": str(self.root)}
        return own if self.part is None else self.sources.get(str(self.part[row]), own)

    def frames_of(self, row: int) -> tuple[Path, tuple[str, ...]]:
        """The data root of a row, and its frames relative to it: the names that the pose cache has."""
        root = Path(self.source(row)["root"])
        return root, tuple(Path(self.root / f).relative_to(root).as_posix() for f in self.frames[row])

    def taken(self, rows: np.ndarray) -> "Embeddings":
        """Some rows, int64 [M], in that order."""
        values = {name: getattr(self, name) for name in ("features", "names", "visibility", *COLUMNS)}
        some = {name: None if value is None else value[rows] for name, value in values.items()}
        own = {name: getattr(self, name) for name in ("root", "parts", "global_width", "normalised", "about")}
        frames = tuple(self.frames[row] for row in rows) if self.frames else ()
        return Embeddings(**some, **own, frames=frames, sources=self.sources)

    def without_features(self, rows: np.ndarray) -> "Embeddings":
        """As `taken`, but features are [M, 0], and there are no frames: what rows are, not how they look."""
        bare = replace(self, features=np.empty((len(self), 0), np.float32), frames=())
        return bare.taken(rows)

    def check(self, where: str = "embeddings") -> None:
        """Raises KeyReIDError where shapes disagree, numbers are not finite or rows do not exist."""
        count = len(self.features)
        if self.features.ndim != 2 or not self.features.size:
            raise KeyReIDError(f"{where}: features have shape {self.features.shape}; expected [N, width]")
        for name in ("names", *COLUMNS):
            values = getattr(self, name)
            if values is not None and values.shape != (count,):
                raise KeyReIDError(f"{where}: {name} has shape {values.shape}; expected ({count},)")
        stored = isinstance(self.frames, FileFrames | StoredFrames)  # looked at when they were found
        if self.frames and not (len(self.frames) == count and (stored or all(self.frames))):
            raise KeyReIDError(f"{where}: frames of {len(self.frames)} tracklets; expected some of {count}")
        if self.visibility is not None and self.visibility.shape != (count, self.parts):
            shape = self.visibility.shape
            raise KeyReIDError(f"{where}: visibility has shape {shape}; expected {count, self.parts}")
        columns = self.features.shape[1]
        if not 0 <= self.global_width <= columns or (columns - self.global_width) % max(self.parts, 1):
            raise KeyReIDError(
                f"{where}: {columns} columns; expected {self.global_width} and {self.parts} equal parts"
            )
        for name in ("features", "visibility"):
            values = getattr(self, name)
            if values is None or isinstance(values, StoredRows):  # whose rows are checked when they are read
                continue
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
            if bad.any():
                raise KeyReIDError(
                    f"{where}: {name} of {int(bad.sum())} tracklets is not finite, first "
                    f"{self.names[int(np.argmax(bad))]}; check the checkpoint, and that its numbers fit into "
                    "the precision: give precision fp32"
                )
        for name in ("start", "end", "zone"):
            if getattr(self, name) is not None and np.isinf(getattr(self, name)).any():
                raise KeyReIDError(f"{where}: {name} is infinite; make it again")
        if self.zone is not None:
            if (np.abs(self.zone) >= _DAY).any():
                raise KeyReIDError(f"{where}: zone is a day or more; make it again")
            for values in (self.start, self.end):
                if values is not None and not (np.abs(values[~np.isnan(self.zone)]) < _CENTURIES).all():
                    raise KeyReIDError(f"{where}: a clock time is centuries away; make it again")
        if self.visibility is not None and not ((self.visibility >= 0) & (self.visibility <= 1)).all():
            raise KeyReIDError(f"{where}: visibility is outside 0..1; make it again")

    def save(self, path: Path, half: bool = False) -> Path:
        """Write the file whole or not at all; returns its path. half: features as float16, half the size.

        Raises KeyReIDError where it cannot be written, for values that are not finite, and for features
        beyond half precision.
        """
        from stages.reid.scoring.embeddings_file import write

        self.check(str(path))
        return write(self, path, half)

    @classmethod
    def load(cls, path: Path | str, stored: bool = False) -> Self:
        """Read and check a file that `save` wrote. Raises KeyReIDError for anything else.

        stored: features stay in the file (`StoredRows`), and are checked when they are read.
        """
        from stages.reid.scoring.embeddings_file import read

        loaded = read(cls, Path(path), stored)
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


def numbered(texts: Iterable[str], count: int = -1) -> np.ndarray:
    """Equal texts get equal numbers, from 0 in the order in which they first come. count: of texts, if known.

    Compared by 64 bits of each, so that a million texts need not be in memory; in one of 10^7 such sets, two
    that differ are taken for one.
    """
    digests = np.fromiter(map(hash, texts), np.int64, count)
    _, first, places = np.unique(digests, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[places]
