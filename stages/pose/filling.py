"""How a pose cache is filled, whatever makes the poses: lock, check, plan, make what is missing, sign.

Safe to rerun and safe to kill: what is there is checked byte by byte, the rest is made. Each shard is
written aside and renamed when whole; the manifest is written last.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from cache.differences import differences
from cache.errors import KeyReIDError
from cache.files import make_folder, remove_leftovers
from cache.lock import lock_folder
from cache.manifest import MANIFEST, PLAN, Manifest, ShardEntry, fingerprint
from cache.shard import read_rows
from cache.verify import check_shards, settle
from stages.datasets.tracklet import Dataset
from stages.pose import plan as planning
from stages.pose.plan import Recipe
from stages.pose.progress import Bar
from stages.pose.sources import RECORD, Sources, check_frames, load_records, refuse_bad, stale_rows
from stages.pose.workers import cores

SOURCES = "sources.npy"
UNREADABLE = "unreadable-frames.txt"
SAMPLE = 256


@dataclass(frozen=True)
class Work:
    """What is to be made: the shards `todo` of a plan. runs: frames of each shard."""

    folder: Path
    root: Path
    token: str
    plan: Manifest
    runs: list[tuple[str, ...]]
    todo: list[int]
    sources: Sources

    def rows(self, number: int) -> range:
        """Rows of the sources that belong to a shard."""
        return range(self._starts[number], self._starts[number + 1])

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(run) for run in self.runs), initial=0))


Describe = Callable[[Mapping[str, Any]], Recipe]
Make = Callable[[Work], Iterator[tuple[int, ShardEntry]]]


def fill(
    dataset: Dataset,
    folder: Path,
    describe: Describe,
    make: Make,
    *,
    zero_bad: bool = False,
    force: bool = False,
) -> Path:
    """Fill the cache in `folder` with every frame of `dataset`; returns the folder.

    describe(known): how the poses are made; `known` are the settings of a cache that is already there.
    make(work): makes shards and yields (number, entry) of each.
    zero_bad: unreadable frames get zero heat and are recorded. force: throw away a cache made otherwise.
    Raises KeyReIDError: unreadable frames, a cache made otherwise (what differs is named), another run
    at work, a disk that is full or read-only.
    """
    make_folder(folder)
    with lock_folder(folder) as token, Bar() as bar:
        remove_leftovers(folder)
        before = None if force else settle(folder)[0]
        recipe = describe(before.parts.get("settings", {}) if before is not None else {})
        runs = planning.divide(dataset, recipe.settings.get("shard_frames"))
        frames = [frame for part in runs for frame in part]
        sources = _check_sources(dataset.root, frames, before, folder, token, zero_bad, bar)
        parts = planning.make_parts(runs, sources.records["digest"], sources.bad, recipe)
        if before is None and not force:
            _refuse_orphans(folder, fingerprint(parts), recipe)
        plan = _agree(before, parts, sources, folder) or _begin(folder, runs, parts, sources, recipe, force)
        if not plan.created and any(folder.glob("shard-*.h5")):  # before shards are thrown away as unsound
            _refuse_mixture(plan.packages, recipe, folder)
        sound = _keep_sound(folder, plan, bar, len(frames))
        todo = [number for number in range(len(runs)) if number not in sound]
        if not todo and plan.created:  # a manifest, not a plan
            bar.say(f"{folder} is complete: {len(frames)} frames in {len(runs)} shards, nothing to do")
            return folder
        if sound and todo:
            _refuse_mixture(plan.packages, recipe, folder)
        elif todo and dict(plan.packages) != recipe.packages():
            plan = _begin(folder, runs, parts, sources, recipe, force)
        began = time.monotonic()
        work = Work(folder.resolve(), dataset.root.resolve(), token, plan, runs, todo, sources)
        with bar.follow("poses", folder, [len(run) for run in runs], set(sound)) as done:
            for number, entry in make(work):
                sound[number] = entry
                done(number)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        plan.finished([sound[number] for number in range(len(runs))], created).save(folder / MANIFEST)
        seconds, amount = time.monotonic() - began, sum(len(runs[number]) for number in todo)
        bar.say(
            f"{amount} frames in {seconds:.1f} s, {amount / seconds:.1f} frames/s with start-up -> {folder}"
        )
    return folder


def _check_sources(
    root: Path,
    frames: list[str],
    before: Manifest | None,
    folder: Path,
    token: str,
    zero_bad: bool,
    bar: Bar,
) -> Sources:
    """What every frame is now. Frames that an earlier run checked and nobody touched are not read again,
    but for a sample of SAMPLE, another one in each run: content can change under the same size and mtime.
    """
    threads = max(cores(), 2)
    known = before.parts.get("frames") if before is not None else None
    if not isinstance(known, Mapping):  # no cache yet, or one that stage one did not make
        known = {}
    records = None
    if known.get("names") == planning.frames_digest(frames):
        records = load_records(folder / SOURCES, len(frames))
    if records is None or planning.content_digest(records["digest"]) != known["content"]:
        records = np.zeros(len(frames), RECORD)
        rows = np.arange(len(frames))
    else:
        stale = stale_rows(root, frames, records, threads)
        untouched = np.setdiff1d(np.arange(len(frames)), stale)
        sample = np.random.default_rng(int(token, 16)).permutation(untouched)[:SAMPLE]
        rows = np.unique(np.concatenate([stale, sample, known["unreadable"]])).astype(np.int64)
    bad: dict[int, str] = {}
    if len(rows):
        with bar.count("checking frames", len(rows)) as done:
            fresh = check_frames(root, frames, rows.tolist(), threads, done)
        records[rows] = fresh.records[rows]
        bad = fresh.bad
    if not zero_bad:
        refuse_bad(root, frames, bad, folder / UNREADABLE)
    (folder / UNREADABLE).unlink(missing_ok=True)
    return Sources(records, bad)


def _agree(before: Manifest | None, parts: dict, sources: Sources, folder: Path) -> Manifest | None:
    """The plan of the cache that is there, if there is one and it is what is wanted."""
    if before is None:
        return None
    if fingerprint(parts) == before.fingerprint:
        sources.save(folder / SOURCES)  # files may have been touched without being changed
        planning.keep_plan(folder, before.plan())
        return before
    differ = "; ".join(differences(before.parts, parts))
    raise KeyReIDError(
        f"pose cache {folder} was made otherwise ({differ}); "
        "choose another --cache folder, or --force to throw it away and redo it"
    )


def _begin(folder: Path, runs, parts: dict, sources: Sources, recipe: Recipe, force: bool) -> Manifest:
    """Write down what is to be made. With force, what is there goes first, the manifest before all."""
    plan = planning.make_plan(runs, parts, sources.bad, recipe)
    (folder / MANIFEST).unlink(missing_ok=True)
    if force:
        for path in folder.glob("shard-*.h5"):
            path.unlink()
    sources.save(folder / SOURCES)
    plan.save(folder / PLAN)
    return plan


def _keep_sound(folder: Path, plan: Manifest, bar: Bar, frames: int) -> dict[int, ShardEntry]:
    """Shards of this plan that are whole; every other shard file is removed."""
    if not any(folder.glob("shard-*.h5")):
        return {}
    with bar.count("checking shards", frames) as done:
        sound, wrong = check_shards(folder, plan, max(cores(), 2), lambda entry: done(entry.rows))
    for number, reason in sorted(wrong.items()):
        path = folder / plan.shards[number].file
        if path.exists():
            bar.say(f"{path.name} is made again: {reason}")
            path.unlink()
    known = {entry.file for entry in plan.shards}
    for path in folder.glob("shard-*.h5"):
        if path.name not in known:
            path.unlink()
    return sound


def _refuse_orphans(folder: Path, wanted: str, recipe: Recipe) -> None:
    """Shards whose plan and manifest are lost are not thrown away for being made with other packages."""
    for path in sorted(folder.glob("shard-*.h5")):
        try:
            attributes = read_rows(path).attributes
        except ValueError:
            continue
        if attributes.get("fingerprint") == wanted:
            _refuse_mixture(attributes.get("packages") or {}, recipe, folder)
            return


def _refuse_mixture(made_with: Mapping, recipe: Recipe, folder: Path) -> None:
    """Shards made by different versions of the packages do not go into one cache."""
    differ = differences(made_with, recipe.packages())
    if differ:
        way = "install those to finish it"
        if all(phrase.startswith("cpu: ") for phrase in differ):
            way = f"set ATEN_CPU_CAPABILITY={str(made_with['cpu']).lower()} to finish it here"
        raise KeyReIDError(
            f"pose cache {folder} was begun with other packages ({'; '.join(differ)}); "
            f"{way}, or --force to redo it"
        )
