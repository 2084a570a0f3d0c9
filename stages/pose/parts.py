"""A pose cache made in parts, by jobs that do not talk to each other, and put together again.

Part I of N has the I-th run of the data set's shards, in a cache of its own beside the whole, such as
`poses.part-1-of-8`. Its fingerprint says of which data set it is a part. Putting together copies: no frame is
read again, and the whole is byte for byte what one job would have made.
"""

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cache.border import reading
from cache.differences import differences
from cache.errors import KeyReIDError
from cache.folder import SOURCES
from cache.lock import check_token
from cache.manifest import MANIFEST, Manifest, ShardEntry, load_manifest
from cache.shard import frames_digest, read_rows, read_small
from cache.verify import check_shards
from cache.writer import write_shard
from stages.config import Record
from stages.pose.filling import Work, finish, open_folder, settle_work
from stages.pose.plan import Recipe, other_packages
from stages.pose.sources import Sources, load_records
from stages.workers import cores

_NAME = re.compile(r"\.part-(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class Share:
    """Part `number`, from 1, of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Of text such as 3/8. Raises KeyReIDError."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise KeyReIDError(f"--part {text}: expected I/N with I from 1 to N, such as 3/8")
        return cls(int(match[1]), int(match[2]))

    def path(self, whole: Path) -> Path:
        """Where this part of the folder `whole` is: poses -> poses.part-3-of-8."""
        return whole.with_name(f"{whole.name}.part-{self.number}-of-{self.of}")

    def rows(self, count: int) -> range:
        """Which of `count` things are this part's: all parts together have each once."""
        return range((self.number - 1) * count // self.of, self.number * count // self.of)

    def record(self, names: Sequence[str]) -> dict[str, object]:
        """What a part says about itself. names: of everything that all parts together hold, in order."""
        return {"number": self.number, "of": self.of, "whole": frames_digest(names)}


class _Unreadable(Record):
    unreadable: list[int]


class _Whole(Record):
    whole: str


class _PartOf(Record):
    """What the manifest of a part needs for the whole to be made of it."""

    network: str
    settings: dict[str, Any]
    frames: _Unreadable
    part: _Whole


def parts_of(whole: Path) -> list[Path]:
    """The parts beside `whole`, in order. Raises KeyReIDError where there are none, or some are missing."""
    paths = {}
    for path in whole.parent.glob(f"{glob.escape(whole.name)}.part-*-of-*"):
        match = _NAME.search(path.name)
        if match and path.name[: match.start()] == whole.name:
            paths[int(match[1]), int(match[2])] = path
    counts = sorted({of for _, of in paths})
    if not paths:
        raise KeyReIDError(f"{whole}: no parts beside it, such as {Share(1, 8).path(whole).name}; see --part")
    if len(counts) > 1:
        raise KeyReIDError(
            f"{whole}: parts of several splits beside it, in {' and in '.join(map(str, counts))}; remove "
            "those that do not belong together"
        )
    missing = [n for n in range(1, counts[0] + 1) if (n, counts[0]) not in paths]
    if missing:
        raise KeyReIDError(
            f"{whole}: part {', '.join(map(str, missing))} of {counts[0]} is missing; run the job "
            f"with --part {missing[0]}/{counts[0]}"
        )
    return [paths[n, counts[0]] for n in range(1, counts[0] + 1)]


def merge(folder: Path, force: bool = False) -> Path:
    """Put the parts beside `folder` together into the pose cache `folder`; returns it. Safe to rerun.

    Raises KeyReIDError where parts are missing, not finished, damaged, or not of one data set and one recipe.
    """
    paths = parts_of(folder)
    plans = [_plan_of(path) for path in paths]
    first = plans[0]
    for path, plan in zip(paths[1:], plans[1:], strict=True):
        _check_alike(paths[0], first, path, plan)
    shards = [(path, entry) for path, plan in zip(paths, plans, strict=True) for entry in plan.shards]
    rows = (read_rows(path / entry.file) for path, entry in shards)
    runs = [tuple(name.decode() for name in row.frames.tolist()) for row in rows]
    names = [name for run in runs for name in run]
    if frames_digest(names) != first.parts["part"]["whole"]:
        raise KeyReIDError(f"{folder}: its parts do not hold the frames of the data set; make them again")
    recipe = Recipe(
        first.estimator,
        first.weights_sha256,
        first.parts["network"],
        first.parts["settings"],
        lambda: first.input_size,
        lambda: dict(first.packages),
    )
    with open_folder(folder, force) as opened:
        work = settle_work(opened, Path(), runs, _sources(paths, plans), recipe)
        return finish(work, _copied(work, shards))


def _plan_of(path: Path) -> Manifest:
    if not (path / MANIFEST).is_file():
        raise KeyReIDError(f"{path}: not finished; run its job again")
    plan = load_manifest(path / MANIFEST)
    if "part" not in plan.parts:
        raise KeyReIDError(f"{path}: a whole pose cache, not a part of one; make it with --part")
    with reading(path / MANIFEST, remedy="run its job again"):
        _PartOf.model_validate(plan.parts)
        if max(plan.parts["frames"]["unreadable"], default=0) >= plan.frames:
            raise ValueError("frames.unreadable: beyond the last frame")
    for _, entry, wrong in check_shards(path, plan, max(cores(), 2)):
        if entry is None:
            raise KeyReIDError(f"{path}: {wrong}; run its job again")
    return plan


def _check_alike(one: Path, first: Manifest, other: Path, plan: Manifest) -> None:
    def about(manifest: Manifest) -> dict[str, object]:
        own = {"frames", "part"}
        parts = {key: value for key, value in manifest.parts.items() if key not in own}
        return parts | {"data set": manifest.parts["part"]["whole"]}

    packages = (f"packages.{phrase}" for phrase in other_packages(first.packages, plan.packages))
    differ = [*differences(about(first), about(plan)), *packages]
    if differ:
        raise KeyReIDError(
            f"{other}: not a part of the same cache as {one} ({'; '.join(differ)}); make it again with "
            "the same data set, settings and packages"
        )


def _sources(paths: Sequence[Path], plans: Sequence[Manifest]) -> Sources:
    """What every frame was when its part was made."""
    records, bad, start = [], {}, 0
    for path, plan in zip(paths, plans, strict=True):
        known = load_records(path / SOURCES, plan.frames)
        if known is None:
            raise KeyReIDError(f"{path / SOURCES}: missing or damaged; run the job of this part again")
        records.append(known)
        bad |= {start + row: "unreadable" for row in plan.parts["frames"]["unreadable"]}
        start += plan.frames
    return Sources(np.concatenate(records), bad)


def _copied(work: Work, shards: Sequence[tuple[Path, ShardEntry]]) -> Iterator[tuple[int, ShardEntry]]:
    """Shards of parts, written again as shards of the whole: (number, entry) of those that are to be made."""
    check = partial(check_token, work.folder, work.opened.token)
    plan = work.plan.without_shards()
    for number in work.todo:
        path = shards[number][0] / shards[number][1].file
        rows, data = read_rows(path), path.read_bytes()
        chunks = [data[at : at + size] for at, size in zip(rows.offsets, rows.sizes, strict=True)]
        keypoints, sizes = read_small(path)
        frames = work.runs[number]
        yield number, write_shard(work.folder, number, frames, chunks, keypoints, sizes, plan, check)
