"""What a tracklet is, and what a data set is made of."""

from dataclasses import dataclass, field
from pathlib import Path

JUNK = -1
DISTRACTOR = 0


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person followed by one camera.

    frames: POSIX paths relative to the data root, in time order.
    person: identity as the data set numbers it; 0 a distractor, -1 junk.
    camera: as the data set numbers it, or None where it is not known.
    name:   unique within the data set, stable between runs.
    """

    frames: tuple[str, ...]
    person: int
    camera: int | None
    name: str


@dataclass(frozen=True)
class Dataset:
    """A data set with its official division.

    gallery: every test tracklet that may be ranked, the queries among them where the data set's
    protocol keeps them (MARS: all 12,180). `stages.reid.protocols` forms each protocol from it.
    """

    name: str
    root: Path
    train: tuple[Tracklet, ...]
    query: tuple[Tracklet, ...]
    gallery: tuple[Tracklet, ...]
    split: int | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def tracklets(self) -> tuple[Tracklet, ...]:
        """All tracklets, each once, in dataset order: train, then query, then gallery."""
        return tuple({t.name: t for t in (*self.train, *self.query, *self.gallery)}.values())

    def frames(self) -> tuple[str, ...]:
        """All frames, each once, in dataset order."""
        return tuple(dict.fromkeys(f for t in self.tracklets() for f in t.frames))
