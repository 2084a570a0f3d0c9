"""Tracklets into a gallery that grows: only those not there yet, part by part, stage one included."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cache import PoseCache
from cache.manifest import MANIFEST
from stages.datasets.times import moment
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose.sources import changed_frames
from stages.reid.embed import chosen_of, poses_of
from stages.reid.embedder import Embedder
from stages.reid.scoring.embed_set import Progress, silent
from stages.reid.search.gallery_folder import Part, refuse_other, writing
from stages.reid.search.identity import Known, Seen, columns, seen

TRACKLETS, FRAMES = 1024, 2**15  # of a part: what a killed run loses, at most


@dataclass
class Added:
    """What came of it. parts: those written. known: tracklets that were there already.

    retimed: those of them that were filmed at another time, as the gallery has it.
    """

    parts: list[Part] = field(default_factory=list)
    known: int = 0
    retimed: int = 0

    @property
    def tracklets(self) -> int:
        """How many were added."""
        return sum(part.tracklets for part in self.parts)


def run(
    embedder: Embedder,
    dataset: Dataset,
    subset: str,
    cache: Path,
    gallery: Path,
    *,
    redo_poses: bool = False,
    camera: str = "auto",
    half: bool = False,
    workers: int | None = None,
    tracklets: int = TRACKLETS,
    progress: Progress = silent,
) -> Added:
    """Add the tracklets of a subset to a gallery folder, which is made where there is none.

    A tracklet is known by its camera and the content of its frames, whatever its name. Parts have at most
    `tracklets` tracklets and are written one by one: a run that is killed has lost the last; the same call
    goes on.
    cache: a pose cache of all of the data set is used where it is there; else each part gets one of its own,
    `CACHE@...`. Other arguments as of `stages.reid.embed.run`.
    Raises KeyReIDError, before any network runs where that is possible, for a gallery of another network or
    that another process writes to, for frames that cannot be read, and as `embed.run`.
    """
    chosen, added = chosen_of(dataset, subset), Added()
    with writing(gallery) as writer:
        if writer.index is not None:
            refuse_other(
                gallery, writer.index, embedder.checkpoint.sha256, None if camera == "auto" else camera
            )
        known = Known.of(gallery, writer.index)

        def count(done: int, total: int) -> None:
            progress("compare", done, total)

        tracklets_seen = seen(dataset.root, chosen, dataset.name, known.stamps, count)
        fresh = list(_fresh(tracklets_seen, known, added))
        ready = None if redo_poses else _ready(cache, embedder, dataset, [one.tracklet for one in fresh])
        for some in _parts(fresh, tracklets):
            few = replace(dataset, train=(), query=(), gallery=tuple(one.tracklet for one in some))
            own = cache.with_name(f"{cache.name}@{_digest(some)}")
            poses = ready or poses_of(embedder.pose, few, own, own=True, redo=redo_poses)
            mode = embedder.camera_mode(camera, dataset, poses)
            if writer.index is not None:
                refuse_other(gallery, writer.index, embedder.checkpoint.sha256, mode)
            made = embedder.gallery(few, few.gallery, poses, mode, workers, progress)
            added.parts.append(writer.add(made, half, **columns(some)))
    return added


def _fresh(tracklets_seen: Iterator[Seen], known: Known, added: Added) -> Iterator[Seen]:
    """Those that are not known, each once; counts the others."""
    for one in tracklets_seen:
        span = one.tracklet.span
        start = moment(span.start)[1] if span else math.nan
        if one.content not in known.contents:
            known.add(one.content, one.stamp, start)
            yield one
            continue
        added.known += 1
        before = known.contents[one.content]
        added.retimed += not (before == start or (math.isnan(before) and math.isnan(start)))


def _parts(fresh: Sequence[Seen], tracklets: int) -> Iterator[list[Seen]]:
    some: list[Seen] = []
    frames = 0
    for one in fresh:
        frames += len(one.tracklet.frames)
        if some and (len(some) == tracklets or frames > FRAMES):
            yield some
            some, frames = [], len(one.tracklet.frames)
        some.append(one)
    if some:
        yield some


def _digest(some: Sequence[Seen]) -> str:
    return hashlib.sha256(b"".join(one.stamp for one in some)).hexdigest()[:12]


def _ready(cache: Path, embedder: Embedder, dataset: Dataset, fresh: Sequence[Tracklet]) -> PoseCache | None:
    """A pose cache that has all frames of these tracklets as they are, where there is one."""
    if not (cache / MANIFEST).is_file():
        return None
    poses = PoseCache.open(cache)
    frames = [frame for tracklet in fresh for frame in tracklet.frames]
    if poses.missing(frames) or changed_frames(poses, dataset.root, frames):
        return None
    if embedder.pose_network not in (None, poses.info.estimator):
        return None
    return poses
