"""Stage one: the pose network over every frame of a data set, into a pose cache.

Safe to rerun and safe to kill: what is there is checked byte by byte, the rest is made. Each shard is
written aside and renamed when whole; the manifest is written last.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, remove_leftovers
from cache.lock import lock_folder
from cache.manifest import MANIFEST, PLAN, Manifest
from cache.verify import check_shards
from stages.datasets.tracklet import Dataset
from stages.pose import plan as planning
from stages.pose.config import EstimatorSpec, PoseConfig, load_spec
from stages.pose.frames import RECORD, Sources, check_frames, load_records, refuse_bad, stale_rows
from stages.pose.progress import Bar
from stages.pose.shard_task import PROGRESS, ShardTask
from stages.pose.weights import find_weights
from stages.pose.workers import cores, default_workers, run_tasks, shared

SOURCES = "sources.npy"
UNREADABLE = "unreadable-frames.txt"


def run(dataset: Dataset, config: PoseConfig, folder: Path) -> Path:
    """Fill the pose cache in `folder` with every frame of `dataset`; returns the folder.

    Raises KeyReIDError, before the network runs where that is possible: no weights, unreadable frames,
    a cache made otherwise (what differs is named), another run at work, a disk that is full or read-only.
    """
    folder = Path(folder)
    spec = load_spec(config.estimator)
    weights, sha256 = find_weights(spec, config.weights)
    make_folder(folder)
    with lock_folder(folder) as token:
        remove_leftovers(folder)
        before = None if config.force else planning.earlier(folder)
        device = _device(config.device)
        known = before.parts.get("settings", {}) if before is not None else {}
        chosen = planning.settings(config, spec, device, known)
        runs = planning.divide(dataset, chosen["shard_frames"])
        frames = [frame for part in runs for frame in part]
        with Bar() as bar:
            sources = _check_sources(dataset.root, frames, before, folder, config, bar)
            parts = planning.make_parts(runs, sources.records["digest"], sources.bad, spec, sha256, chosen)
            plan = _agree(before, parts, sources, folder) or _begin(
                folder, runs, parts, sources, spec, config.force
            )
            sound = _keep_sound(folder, plan, bar, len(frames))
            if before is plan and len(sound) == len(runs) and (folder / MANIFEST).exists():
                bar.say(f"{folder} is complete: {len(frames)} frames in {len(runs)} shards, nothing to do")
                return folder
            _refuse_mixture(plan, sound, folder)
            template = ShardTask(
                folder=shared(folder),
                number=0,
                root=shared(dataset.root),
                frames=(),
                digests=np.empty(0, "<u8"),
                bad=frozenset(),
                plan=replace(plan, shards=()),
                spec=spec,
                weights=shared(weights),
                settings=chosen,
                device=device,
                token=token,
            )
            todo = [number for number in range(len(runs)) if number not in sound]
            workers = config.workers or default_workers(chosen["threads"], len(todo), device)
            workers = min(workers, max(len(todo), 1))
            tasks = _tasks(template, runs, sources, todo)
            began = time.monotonic()
            amount = sum(len(runs[number]) for number in todo)
            with bar.follow("poses", folder / PROGRESS, [len(run) for run in runs], set(sound)) as done:
                for number, entry in run_tasks(tasks, workers, chosen["threads"], config.scheduler):
                    sound[number] = entry
                    done(number)
            entries = [sound[number] for number in range(len(runs))]
            created = datetime.now(UTC).isoformat(timespec="seconds")
            plan.finished(entries, created).save(folder / MANIFEST)
            (folder / PROGRESS).unlink(missing_ok=True)
            seconds = time.monotonic() - began
            bar.say(
                f"{amount} frames in {seconds:.1f} s ({amount / seconds:.1f} frames/s, "
                f"{workers} x {chosen['threads']} threads, start-up included) -> {folder}"
            )
    return folder


def _tasks(template: ShardTask, runs, sources: Sources, todo: list[int]) -> Iterable[ShardTask]:
    """The tasks one by one, so that only those under way are in memory."""
    starts = np.cumsum([0, *(len(run) for run in runs)])
    for number in todo:
        rows = range(starts[number], starts[number + 1])
        yield replace(
            template,
            number=number,
            frames=runs[number],
            digests=sources.records["digest"][rows.start : rows.stop].copy(),
            bad=frozenset(row - rows.start for row in sources.bad if row in rows),
        )


def _device(wanted: str) -> str:
    if wanted == "cpu":
        return wanted
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise KeyReIDError(f"device {wanted}: {str(error).splitlines()[0]}; use cpu or auto") from error
    return wanted


def _check_sources(
    root: Path, frames: list[str], before: Manifest | None, folder: Path, config: PoseConfig, bar: Bar
) -> Sources:
    """What every frame is now. Frames that an earlier run checked and nobody touched are not read again."""
    threads = max(cores(), 2)
    names = planning.frames_digest(frames)
    records, bad = None, {}
    if before is not None and before.parts.get("frames", {}).get("names") == names:
        records = load_records(folder / SOURCES, len(frames))
        if (
            records is not None
            and planning.content_digest(records["digest"]) != before.parts["frames"]["content"]
        ):
            records = None
    if records is None:
        rows = np.arange(len(frames))
        records = np.zeros(len(frames), RECORD)
    else:
        rows = stale_rows(root, frames, records, threads)
        was_bad = set(before.parts["frames"]["unreadable"])
        rows = np.union1d(rows, sorted(was_bad)).astype(np.int64)
    if len(rows):
        with bar.count("checking frames", len(rows)) as done:
            fresh = check_frames(root, frames, rows.tolist(), threads, done)
        records[rows] = fresh.records[rows]
        bad = fresh.bad
    sources = Sources(records, bad)
    if config.on_bad_frame == "stop":
        refuse_bad(root, frames, bad, folder / UNREADABLE)
    (folder / UNREADABLE).unlink(missing_ok=True)
    return sources


def _agree(before: Manifest | None, parts: dict, sources: Sources, folder: Path) -> Manifest | None:
    """The plan of the cache that is there, if there is one and it is what is wanted."""
    if before is None:
        return None
    if planning.fingerprint(parts) == before.fingerprint:
        sources.save(folder / SOURCES)  # files may have been touched without being changed
        return before
    differ = "; ".join(planning.differences(before.parts, parts))
    raise KeyReIDError(
        f"pose cache {folder} was made otherwise ({differ}); "
        "choose another --cache folder, or --force to throw it away and redo it"
    )


def _begin(folder: Path, runs, parts: dict, sources: Sources, spec: EstimatorSpec, force: bool) -> Manifest:
    """Write down what is to be made. With force, what is there goes first, the manifest before all."""
    from stages.pose.estimator import input_size

    plan = planning.make_plan(runs, parts, sources.bad, input_size(spec))
    (folder / MANIFEST).unlink(missing_ok=True)
    if force:
        for path in folder.glob("shard-*.h5"):
            path.unlink()
    sources.save(folder / SOURCES)
    plan.save(folder / PLAN)
    return plan


def _keep_sound(folder: Path, plan: Manifest, bar: Bar, frames: int) -> dict:
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


def _refuse_mixture(plan: Manifest, sound: dict, folder: Path) -> None:
    """Shards made by different versions of the packages do not go into one cache."""
    now = planning.packages()
    if sound and dict(plan.packages) != now:
        differ = "; ".join(planning.differences(plan.packages, now))
        raise KeyReIDError(
            f"pose cache {folder} was begun with other packages ({differ}); install those to finish it, "
            "or --force to redo it"
        )
