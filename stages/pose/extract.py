"""Stage one: the pose network over every frame of a data set, into a pose cache."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest import ShardEntry
from stages.datasets.tracklet import Dataset
from stages.device import find_device
from stages.pose import plan as planning
from stages.pose.config import PoseConfig, load_spec
from stages.pose.filling import Work, fill
from stages.pose.shard_task import ShardTask
from stages.pose.weights import find_weights
from stages.pose.workers import default_workers, run_tasks


def run(dataset: Dataset, config: PoseConfig, folder: Path) -> Path:
    """Fill the pose cache in `folder` with every frame of `dataset`; returns the folder.

    Raises KeyReIDError, before the network runs where that is possible: no weights, unreadable frames,
    a cache made otherwise (what differs is named), another run at work, a disk that is full or read-only.
    """
    spec = load_spec(config.estimator)
    weights, sha256 = find_weights(spec, config.weights)
    device = config.device
    if (
        not config.scheduler or device == "auto"
    ):  # a cluster's own devices can only be named, not tried from here
        device = find_device(device)

    def describe(known: Mapping[str, Any]) -> planning.Recipe:
        chosen = planning.settings(config, spec, device, known)
        return planning.network_recipe(spec, sha256, chosen)

    def make(work: Work) -> Iterator[tuple[int, ShardEntry]]:
        settings = work.plan.parts["settings"]
        threads = settings["threads"]
        frames = sum(len(work.runs[number]) for number in work.todo)
        workers = config.workers or default_workers(threads, len(work.todo), frames, device)
        template = ShardTask(
            folder=work.folder,
            number=0,
            root=work.root,
            frames=(),
            digests=np.empty(0, "<u8"),
            bad=frozenset(),
            plan=replace(work.plan, shards=()),
            spec=spec,
            weights=weights.resolve(),
            settings=settings,
            device=device,
            token=work.token,
        )
        return run_tasks(
            _tasks(template, work), min(workers, max(len(work.todo), 1)), threads, config.scheduler
        )

    zero_bad = config.on_bad_frame == "zero"
    return fill(dataset, Path(folder), describe, make, zero_bad=zero_bad, force=config.force)


def _tasks(template: ShardTask, work: Work) -> Iterable[ShardTask]:
    """The tasks one by one, so that only those under way are in memory."""
    for number in work.todo:
        rows = work.rows(number)
        yield replace(
            template,
            number=number,
            frames=work.runs[number],
            digests=work.sources.records["digest"][rows.start : rows.stop].copy(),
            bad=frozenset(row - rows.start for row in work.sources.bad if row in rows),
        )
