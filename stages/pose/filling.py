"""How a pose cache is filled, whatever makes the poses: open, verify, write, finish.

Safe to rerun and safe to kill: what is there is checked byte by byte, the rest is made. Each shard is
written aside and renamed when whole; the manifest is written last.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from cache.differences import differences
from cache.errors import KeyReIDError
from cache.files import make_folder
from cache.folder import SOURCES, UNREADABLE, refuse_foreign, remove_leftovers, shard_files
from cache.lock import lock_folder
from cache.manifest import MANIFEST, PLAN, Manifest, ShardEntry, fingerprint
from cache.shard import attributes_of
from cache.verify import check_shards, settle
from stages.datasets.tracklet import Dataset
from stages.pose import plan as planning
from stages.pose.plan import Recipe
from stages.pose.progress import Bar
from stages.pose.sources import Sources, check_frames, known_records, refuse_bad, stale_rows
from stages.workers import cores

log = logging.getLogger(__name__)
SAMPLE = 256


@dataclass(frozen=True)
class OpenFolder:
    """A cache folder locked by this run. before: its plan or manifest; problems: why these cannot be read."""

    folder: Path
    token: str
    bar: Bar
    force: bool
    before: Manifest | None
    problems: tuple[str, ...]

    @property
    def settings(self) -> Mapping[str, object]:
        """Settings of the existing cache; none where there is no cache."""
        return planning.known_settings(self.before)


@dataclass(frozen=True)
class Work:
    """The work to do: the shards `todo` of a plan. runs: frames of each shard; sound: shards in place."""

    opened: OpenFolder
    root: Path
    plan: Manifest
    runs: list[tuple[str, ...]]
    sources: Sources
    sound: dict[int, ShardEntry]

    @property
    def folder(self) -> Path:
        return self.opened.folder.resolve()

    @property
    def todo(self) -> list[int]:
        return [number for number in range(len(self.runs)) if number not in self.sound]

    def rows(self, number: int) -> range:
        """Rows of the sources that belong to a shard."""
        return range(self._starts[number], self._starts[number + 1])

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(run) for run in self.runs), initial=0))


@contextlib.contextmanager
def open_folder(folder: Path, force: bool) -> Iterator[OpenFolder]:
    """Lock a cache folder and read its plan or manifest. force: existing content will be replaced.

    Raises KeyReIDError: a folder that is not ours, another run in progress, a cache of another version, a
    disk that is full or read-only.
    """
    refuse_foreign(folder)
    make_folder(folder)
    with lock_folder(folder) as token, Bar() as bar:
        remove_leftovers(folder)
        before, problems = (None, []) if force else settle(folder)
        yield OpenFolder(folder, token, bar, force, before, tuple(problems))


def verify(
    opened: OpenFolder,
    dataset: Dataset,
    recipe: Recipe,
    zero_bad: bool,
    runs: list[tuple[str, ...]],
    part: dict[str, object] | None = None,
) -> Work:
    """Check every frame and every existing shard, and write the plan.

    zero_bad: unreadable frames get zero heat and are recorded. runs: frames of each shard. part: which part
    of the data set they are, if not all of it. Raises KeyReIDError: unreadable frames, a cache that was made
    with different settings (what differs is named) or whose settings cannot be read.
    """
    folder = opened.folder
    frames = [frame for part in runs for frame in part]
    sources = _check_sources(opened, dataset.root, frames)
    if not zero_bad:
        refuse_bad(dataset.root, frames, sources.bad, folder / UNREADABLE)
    (folder / UNREADABLE).unlink(missing_ok=True)
    return settle_work(opened, dataset.root, runs, sources, recipe, part)


def settle_work(
    opened: OpenFolder,
    root: Path,
    runs: list[tuple[str, ...]],
    sources: Sources,
    recipe: Recipe,
    part: dict[str, object] | None = None,
) -> Work:
    """What is to be made once frames are known, written down; sound shards of the same plan are kept."""
    folder = opened.folder
    parts = planning.make_parts(runs, sources.records["digest"], sources.bad, recipe)
    parts |= {} if part is None else {"part": part}
    other = opened.before is not None and fingerprint(parts) != opened.before.fingerprint
    made = (folder / MANIFEST).exists() or shard_files(folder)  # else its run stopped before the first shard
    if opened.before is None or (other and not made):
        if not opened.force:
            recipe = _recipe_of_shards(opened, fingerprint(parts), recipe)
        plan = _start(opened, runs, parts, sources, recipe)
    else:
        if other:
            differ = "; ".join(differences(opened.before.parts, parts))
            raise KeyReIDError(
                f"pose cache {opened.folder} was made with different settings ({differ}); "
                "choose another --cache folder, or --force to throw it away and redo it"
            )
        plan = opened.before
        sources.save(folder / SOURCES)  # files may have been touched without being changed
        planning.keep_plan(folder, plan.plan())
    if not plan.created and shard_files(folder):  # before shards are thrown away as unsound
        _refuse_mixture(plan.packages, recipe, folder)
    sound = _keep_sound(opened, plan)
    if len(sound) < len(runs) and planning.other_packages(plan.packages, recipe.packages()):
        if sound:
            _refuse_mixture(plan.packages, recipe, folder)
        plan = _start(opened, runs, parts, sources, recipe)
    return Work(opened, root.resolve(), plan, runs, sources, sound)


def split_frames(dataset: Dataset, target: int | None) -> list[tuple[str, ...]]:
    """Frames of each shard: runs of whole tracklets in dataset order, of at least `target` frames.

    A frame that several tracklets share belongs to the first. target None: a 32nd of all frames,
    but 64 to 2048.
    """
    seen: set[str] = set()
    own = []
    for tracklet in dataset.tracklets():
        fresh = [frame for frame in tracklet.frames if frame not in seen]
        seen.update(fresh)
        own.append(fresh)
    target = target or min(max(len(seen) // 32, 64), 2048)
    runs, current = [], []
    for frames in own:
        current.extend(frames)
        if len(current) >= target:
            runs.append(tuple(current))
            current = []
    return [*runs, tuple(current)] if current else runs


def finish(work: Work, made: Iterable[tuple[int, ShardEntry]]) -> Path:
    """Take in the shards as they are `made` (number, entry), then write the manifest; returns the folder.

    Where nothing is to do, nothing is taken from `made`.
    """
    bar, folder, todo = work.opened.bar, work.opened.folder, work.todo
    if not todo and work.plan.created:  # a manifest, not a plan
        bar.say(f"{folder} is complete: {work.plan.frames} frames in {len(work.runs)} shards, nothing to do")
        return folder
    start, entries = time.monotonic(), dict(work.sound)
    if todo:
        with bar.follow("poses", folder, [len(run) for run in work.runs], set(entries)) as done:
            for number, entry in made:
                entries[number] = entry
                done.add(number)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    work.plan.finished([entries[n] for n in range(len(work.runs))], created).save(folder / MANIFEST)
    seconds, amount = time.monotonic() - start, sum(len(work.runs[number]) for number in todo)
    bar.say(f"{amount} frames in {seconds:.1f} s, {amount / seconds:.1f} frames/s with start-up -> {folder}")
    return folder


def _check_sources(opened: OpenFolder, root: Path, frames: list[str]) -> Sources:
    """What every frame is now. Frames that an earlier run checked and nobody touched are not read again,
    but for a sample of SAMPLE, another one in each run: content can change under the same size and mtime.
    """
    threads = max(cores(), 2)
    records, unreadable = known_records(opened.folder / SOURCES, opened.before, frames)
    if records is None:
        records, rows = Sources.empty(len(frames)), np.arange(len(frames))
    else:
        stale = stale_rows(root, frames, records, threads)
        untouched = np.setdiff1d(np.arange(len(frames)), stale)
        sample = np.random.default_rng(int(opened.token, 16)).permutation(untouched)[:SAMPLE]
        rows = np.unique(np.concatenate([stale, sample, unreadable])).astype(np.int64)
    sources = Sources(records, {})
    with opened.bar.count("checking frames", len(rows)) as advance:
        for part in check_frames(root, frames, rows.tolist(), threads):
            for row, size, mtime, digest, reason, warning in part:
                records[row] = size, mtime, digest
                if reason:
                    sources.bad[row] = reason
                if warning:
                    sources.warned[row] = warning
            advance(len(part))
    if sources.warned:
        first = min(sources.warned)
        log.warning(
            "the decoder reports damage in %d of %d frames, first %s: %s; keyreid doctor lists them",
            len(sources.warned), len(rows), root / frames[first], sources.warned[first],
        )  # fmt: skip
    return sources


def _start(opened: OpenFolder, runs, parts: dict, sources: Sources, recipe: Recipe) -> Manifest:
    """Write the plan. With force, existing files are removed first, beginning with the manifest."""
    folder = opened.folder
    plan = planning.make_plan(runs, parts, sources.bad, recipe)
    (folder / MANIFEST).unlink(missing_ok=True)
    if opened.force:
        for path in shard_files(folder):
            path.unlink()
    sources.save(folder / SOURCES)
    plan.save(folder / PLAN)
    return plan


def _keep_sound(opened: OpenFolder, plan: Manifest) -> dict[int, ShardEntry]:
    """Shards of this plan that are whole; every other shard file is removed."""
    folder, sound = opened.folder, {}
    if not shard_files(folder):
        return sound
    with opened.bar.count("checking shards", plan.frames) as advance:
        for number, entry, wrong in check_shards(folder, plan, max(cores(), 2)):
            path = folder / plan.shards[number].file
            if entry is not None:
                sound[number] = entry
            elif path.exists():
                opened.bar.say(f"{path.name} is rewritten: {wrong}")
                path.unlink()
            advance(plan.shards[number].rows)
    known = {entry.file for entry in plan.shards}
    for path in shard_files(folder):
        if path.name not in known:
            path.unlink()
    return sound


def _recipe_of_shards(opened: OpenFolder, wanted: str, recipe: Recipe) -> Recipe:
    """The recipe, with the packages that shards without a readable plan or manifest were made with.

    Raises KeyReIDError where they do not say that they belong here.
    """
    paths, own, foreign = shard_files(opened.folder), [], []
    for path in paths:
        attributes = attributes_of(path)
        if attributes.get("fingerprint") == wanted and isinstance(attributes.get("packages"), dict):
            own.append(attributes)
        elif attributes:
            foreign.append(path.name)
    if foreign or len(paths) > 0 == len(own):
        why = (
            f"{foreign[0]} was made with different settings"
            if foreign
            else "its shards cannot be read either"
        )
        raise KeyReIDError(
            f"pose cache {opened.folder}: {'; '.join(opened.problems)}; and {why}. Nothing was touched: "
            "choose another --cache folder, restore its manifest.json, or --force to throw it away"
        )
    if not own:
        return recipe
    made_with = own[0]["packages"]
    _refuse_mixture(made_with, recipe, opened.folder)
    return replace(recipe, packages=lambda: made_with)


def _refuse_mixture(made_with: Mapping, recipe: Recipe, folder: Path) -> None:
    """Shards made by different versions of the packages do not go into one cache."""
    differ = planning.other_packages(made_with, recipe.packages())
    if differ:
        way = "install those to finish it"
        if "cpu" in made_with and all(phrase.startswith("cpu: ") for phrase in differ):
            way = f"set ATEN_CPU_CAPABILITY={str(made_with['cpu']).lower()} to finish it here"
        raise KeyReIDError(
            f"pose cache {folder} was started with other packages ({'; '.join(differ)}); "
            f"{way}, or --force to redo it"
        )
