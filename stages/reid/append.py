"""Tracklets into a gallery that grows: only those not there yet, part by part, stage one included."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.manifest import MANIFEST
from stages.datasets.times import moment
from stages.datasets.tracklet import Dataset, Tracklet
from stages.extras import CLUSTER
from stages.pose.parts import Share
from stages.pose.sources import changed_frames
from stages.reid.embed_config import EmbedConfig
from stages.reid.embed_inputs import chosen_of, no_poses
from stages.reid.embed_parts import PartTask, Work, cut, embed_parts, sound_parts
from stages.reid.embedder import Embedder
from stages.reid.scoring.embed_set import Progress, silent
from stages.reid.search.gallery_folder import Writer, leftovers, refuse_other, writing
from stages.reid.search.gallery_index import Part, ShareOf, device_note
from stages.reid.search.identity import Known, Seen, columns, seen


@dataclass
class Added:
    """What was appended. parts: those written. known: tracklets that were there already.

    retimed: those of them whose times in the gallery are other ones. notes: for the user.
    """

    parts: list[Part] = field(default_factory=list)
    known: int = 0
    retimed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def tracklets(self) -> int:
        """How many were added."""
        return sum(part.tracklets for part in self.parts)

    def summary(self, gallery: Path) -> str:
        """In a line."""
        names = ", ".join(part.name for part in self.parts[:4]) + ", ..." * (len(self.parts) > 4)
        return (
            f"{gallery}: {self.tracklets} tracklets added{f' ({names})' if names else ''}, "
            f"{self.known} were there already"
        )


def run(
    embedder: Embedder,
    dataset: Dataset,
    subset: str,
    cache: Path,
    gallery: Path,
    config: EmbedConfig | None = None,
    share: Share | None = None,
    *,
    progress: Progress = silent,
) -> Added:
    """Add the tracklets of a subset to a gallery folder, which is made where there is none.

    A tracklet is known by its camera and the content of its frames, whatever its name. Parts are written one
    by one, each whole: a run that is killed has lost those it was at; the same call goes on.
    cache: a pose cache of all of the data set is used where it is there; else each part gets one of its own,
    `CACHE@...`. share: this part of the tracklets alone, into a gallery of its own beside `gallery`;
    `stages.reid.search.gallery_merge` puts all together. Where two tracklets have the same frames, parts are
    cut elsewhere than without `share`.
    Raises KeyReIDError, before any network runs where that is possible, for a gallery of another network or
    that another process writes to, for frames that cannot be read, and as `embed.run`.
    """
    config = config or EmbedConfig()
    if config.scheduler is not None:
        CLUSTER.check()
    chosen, added, mark = chosen_of(dataset, subset), Added(), None
    if share is not None:
        parts = list(cut(chosen, config.part_size))
        own = share.rows(len(parts))
        if not own:
            raise KeyReIDError(f"--part {share.number}/{share.of}: nothing is left for it; use fewer parts")
        mark = ShareOf(number=share.number, of=share.of, whole=_whole(chosen, config.part_size))
        chosen, gallery = [t for number in own for t in parts[number]], share.path(gallery)
    with writing(gallery, keep_parts=True) as writer:
        if writer.index is not None:
            camera = None if config.camera == "auto" else config.camera
            refuse_other(gallery, writer.index, embedder.checkpoint.sha256, camera)
        known = Known.of(gallery, writer.index)

        def count(done: int, total: int) -> None:
            progress("compare", done, total)

        looked = seen(dataset.root, chosen, dataset.name, known.stamps, count)
        fresh = {one.tracklet.name: one for one in _fresh(looked, known, added)}
        if fresh:
            tasks = _tasks(embedder, dataset, cache, writer, config, fresh)
            added.parts += _taken(writer, tasks, embedder, config, progress)
            added.notes += device_note(part.device for part in writer.index.parts)
        if mark is not None:
            writer.mark(mark)
    if added.retimed:
        added.notes.append(
            f"{added.retimed} of them have other times in the gallery; to change those, remove their "
            "part (keyreid gallery remove) and append them again"
        )
    return added


def _tasks(
    embedder: Embedder,
    dataset: Dataset,
    cache: Path,
    writer: Writer,
    config: EmbedConfig,
    fresh: dict[str, Seen],
) -> list[PartTask]:
    """The parts to make. fresh: tracklets by their names."""
    tracklets = [one.tracklet for one in fresh.values()]
    ready = None if config.redo_poses else _ready(cache, embedder, dataset, tracklets)
    if ready is None and embedder.pose is None:
        raise no_poses(cache)
    work = Work.of(embedder, dataset, writer.folder, writer.token, config, ready)
    if writer.index is not None:
        refuse_other(writer.folder, writer.index, embedder.checkpoint.sha256, work.settings.camera)
    tasks = []
    for number, some in enumerate(cut(tracklets, config.part_size)):
        few = [fresh[tracklet.name] for tracklet in some]
        digest = hashlib.sha256(b"".join(one.stamp for one in few)).hexdigest()[:12]
        tasks.append(work.task(number, some, cache.with_name(f"{cache.name}@{digest}"), **columns(few)))
    return tasks


def _taken(
    writer: Writer, tasks: Sequence[PartTask], embedder: Embedder, config: EmbedConfig, progress: Progress
) -> Iterator[Part]:
    """Make the parts that are not there, and name each in the index once all before it are."""
    sound = sound_parts(leftovers(writer.folder, writer.index))
    there = {task.number: sound[task.key] for task in tasks if task.key in sound}
    todo = [task for task in tasks if task.number not in there]
    made = embed_parts(todo, embedder, config, progress)
    for following in range(len(tasks)):
        while following not in there:
            number, path = next(made)
            there[number] = path
        yield writer.take(there.pop(following))
    for _ in made:  # its last words
        pass


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


def _whole(tracklets: Sequence[Tracklet], size: int) -> str:
    """What all jobs over these tracklets have in common: who is in which part."""
    digest = hashlib.sha256(b"%d" % size)
    for tracklet in tracklets:
        digest.update(repr((tracklet.name, tracklet.frames)).encode())
    return digest.hexdigest()


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
