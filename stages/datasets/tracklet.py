"""What a tracklet is, and what a data set is made of."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stages.datasets.times import Span

JUNK = -1
DISTRACTOR = 0


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person followed by one camera.

    frames: POSIX paths relative to the data root, in time order.
    person: identity as the data set numbers it; 0 a distractor, -1 junk.
    camera: as the data set numbers it, or None where it is not known.
    name:   unique within the data set, stable between runs.
    span:   when it was filmed, None where that is not known.
    """

    frames: tuple[str, ...]
    person: int
    camera: int | None
    name: str
    span: Span | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set with its official split.

    gallery: every test tracklet that may be ranked, the queries among them where the data set's
             protocol keeps them (MARS: all 12,180). `stages.reid.scoring.protocols` forms each protocol.
    split:   0-based number of the random split for data sets that have several, else None.
    splits:  how many such splits there are (1 where there is only one).
    frame_size: (width, height) that every frame should have, None where sizes differ.
    variant: which reading of its files this is, for data sets that have several, else "".
    files:   SHA-256 over paths and labels of the files, where they can be read in several ways, else "".
    reading: what chose this reading of its files, as keywords of `load_dataset`; none where nothing did.
    labelled: whether persons are identities, not a tracker's ids.
    notes:   things that are not errors but that a user should know; `keyreid doctor` prints them.
    """

    name: str
    root: Path
    train: tuple[Tracklet, ...]
    query: tuple[Tracklet, ...]
    gallery: tuple[Tracklet, ...]
    split: int | None = None
    splits: int = 1
    frame_size: tuple[int, int] | None = None
    variant: str = ""
    files: str = ""
    reading: dict[str, str] = field(default_factory=dict)
    labelled: bool = True
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """SHA-256 over names, labels and frames' paths of all tracklets: the same for every split of a set.

        The same for every reading of the same files, too. A name such as `folder` or `walkers` is that of
        many data sets.
        """
        if self.files:
            return self.files
        digest = hashlib.sha256(self.variant.encode())
        for tracklet in sorted(self.tracklets(), key=lambda t: t.name):
            digest.update(repr((tracklet.name, tracklet.person, tracklet.camera, tracklet.frames)).encode())
        return digest.hexdigest()

    def tracklets(self) -> tuple[Tracklet, ...]:
        """All tracklets, each once, in dataset order: train, then query, then gallery."""
        return tuple({t.name: t for t in (*self.train, *self.query, *self.gallery)}.values())

    def test_tracklets(self) -> tuple[Tracklet, ...]:
        """Query and gallery tracklets, each once: what evaluation has to embed."""
        return tuple({t.name: t for t in (*self.query, *self.gallery)}.values())

    def frames(self) -> tuple[str, ...]:
        """All frames, each once, in dataset order."""
        return tuple(dict.fromkeys(f for t in self.tracklets() for f in t.frames))

    def cameras(self) -> tuple[int, ...]:
        """The known cameras of all tracklets, sorted; the index of a camera here is its 0-based number."""
        groups = (self.train, self.query, self.gallery)
        return tuple(sorted({t.camera for group in groups for t in group if t.camera is not None}))
