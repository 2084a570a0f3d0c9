"""The tracklets of a page: rows of galleries, with all of their frames where the footage is there."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache import PoseCache
from cache.border import reading
from cache.errors import KeyReIDError
from stages.datasets import DATASETS, load_dataset
from stages.datasets.times import time_text
from stages.reid.scoring.embeddings import Embeddings


@dataclass(frozen=True)
class Shown:
    """A tracklet of a page.

    part: the gallery file or part that it is from. start, end: seconds since 1970, or of its video where zone
    (seconds east of UTC) is NaN; NaN unknown. first, last: frames of its video, -1 unknown. frames: under
    root, in time order. poses: the cache with their heat, None where there is none.
    """

    name: str
    part: str
    camera: str
    start: float
    end: float
    zone: float
    first: int
    last: int
    root: Path
    frames: tuple[str, ...]
    poses: PoseCache | None

    @property
    def has_clock(self) -> bool:
        """Whether its times are clock times."""
        return not (math.isnan(self.start) or math.isnan(self.end) or math.isnan(self.zone))

    @property
    def filmed(self) -> str:
        """Time span in words; "" where that is not known."""
        if math.isnan(self.start) or math.isnan(self.end):
            return ""
        return f"{time_text(self.start, self.zone)} to {time_text(self.end, self.zone)}"


@dataclass
class Footage:
    """Where frames and poses of galleries are; each data set and pose cache is read once.

    notes: for the user, what could not be read.
    """

    notes: list[str] = field(default_factory=list)
    _frames: dict[tuple, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    _poses: dict[str, PoseCache | None] = field(default_factory=dict)

    def shown(self, gallery: Embeddings, rows: Iterable[int]) -> list[Shown]:
        """These rows of a gallery. Raises KeyReIDError for frames outside of their data root."""
        return [self._shown(gallery, row) for row in rows]

    def _shown(self, gallery: Embeddings, row: int) -> Shown:
        source, name = gallery.source(row), str(gallery.names[row])
        part = "" if gallery.part is None else str(gallery.part[row])
        root, few = inside(gallery, row)
        every = self._every(source, root).get(name, ())
        return Shown(
            name=name,
            part=part,
            camera=str(gallery.camera_names[row]),
            **{key: _value(getattr(gallery, key), row, math.nan) for key in ("start", "end", "zone")},
            **{key: int(_value(getattr(gallery, key), row, -1)) for key in ("first", "last")},
            root=root,
            frames=every if set(few) <= set(every) else few,
            poses=self._cache(source["poses"].get("path")),
        )

    def _every(self, source: dict[str, Any], root: Path) -> dict[str, tuple[str, ...]]:
        """All frames of each tracklet of a data set, read as it was for the gallery; none where it is not
        there, or not what it was."""
        split, choices = source.get("split"), source.get("reading") or {}
        key = (source["dataset"], root, split, *sorted(choices.items()))
        if key not in self._frames:
            self._frames[key] = {}
            if source["dataset"] in DATASETS and root.is_dir():
                try:
                    dataset = load_dataset(source["dataset"], root, split, check_files=False, **choices)
                    self._frames[key] = {t.name: t.frames for t in dataset.tracklets()}
                except KeyReIDError as error:
                    self.notes.append(f"only some frames of each tracklet are shown: {error}")
        return self._frames[key]

    def _cache(self, folder: str | None) -> PoseCache | None:
        if folder is None:
            return None
        if folder not in self._poses:
            try:
                self._poses[folder] = PoseCache.open(folder)
            except KeyReIDError as error:
                self._poses[folder] = None
                self.notes.append(f"no part maps: {error}")
        return self._poses[folder]


def inside(gallery: Embeddings, row: int) -> tuple[Path, tuple[str, ...]]:
    """The data root of a row and its frames under it. Raises KeyReIDError for frames that are elsewhere."""
    name, again = f"tracklet {gallery.names[row]}", "make the gallery again with keyreid embed"
    with reading(name, "inside its data root", again):
        root, frames = gallery.frames_of(row)
        for frame in frames:
            if ".." in frame.split("/") or "\0" in frame:
                raise ValueError(f"frame {frame!r}")
    return root, frames


def _value(column: np.ndarray | None, row: int, unknown: float) -> float:
    return unknown if column is None else float(column[row])
