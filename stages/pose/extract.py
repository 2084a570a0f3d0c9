"""Stage one: the pose network over every frame of a data set, into a pose cache."""

from collections.abc import Iterator
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset
from stages.device import find_device
from stages.extras import CLUSTER
from stages.pose import plan as planning
from stages.pose.config import EstimatorSpec, PoseConfig, load_spec
from stages.pose.filling import Work, finish, open_folder, split_frames, verify
from stages.pose.parts import Share
from stages.pose.shard_task import ShardTask, run_here, run_numbered
from stages.pose.weights import find_weights
from stages.workers import default_workers, run_tasks


def run(dataset: Dataset, config: PoseConfig, folder: Path, share: Share | None = None) -> Path:
    """Fill the pose cache in `folder` with every frame of `dataset`; returns the folder.

    share: make this part alone, in a cache of its own beside `folder`, which is returned;
    `stages.pose.parts.merge` puts all parts together.
    Raises KeyReIDError, before the network runs where that is possible: no weights, unreadable frames, a
    folder that is not a cache, a cache made with different settings (what differs is named), another run in
    progress, a disk that is full or read-only.
    """
    if config.scheduler is not None:
        CLUSTER.check()
    spec = load_spec(config.estimator)
    weights, sha256 = find_weights(spec, config.weights)
    device = config.device
    if not config.scheduler or device == "auto":  # a cluster's own devices cannot be tried from here
        device = find_device(device)
    target = Path(folder) if share is None else share.path(Path(folder))
    with open_folder(target, config.force) as opened:
        settings = planning.settings(config, spec, device, opened.settings)
        recipe = planning.network_recipe(spec, sha256, settings)
        runs, part = split_frames(dataset, settings["shard_frames"]), None
        if share is not None:
            part = share.record([frame for run in runs for frame in run])
            runs = [runs[number] for number in share.rows(len(runs))]
            if not runs:
                raise KeyReIDError(
                    f"--part {share.number}/{share.of}: nothing is left for it; use fewer parts"
                )
        work = verify(opened, dataset, recipe, config.on_bad_frame == "zero", runs, part)
        frames = sum(len(work.runs[number]) for number in work.todo)
        workers = config.workers or default_workers(settings["threads"], len(work.todo), frames, device)
        workers = min(workers, max(len(work.todo), 1))
        tasks = _tasks(work, spec, weights.resolve(), device)
        if config.scheduler is None and workers == 1:
            return finish(work, run_here(tasks))
        return finish(work, run_tasks(run_numbered, tasks, workers, settings["threads"], config.scheduler))


def _tasks(work: Work, spec: EstimatorSpec, weights: Path, device: str) -> Iterator[ShardTask]:
    """The tasks one by one, so that only those under way are in memory."""
    for number in work.todo:
        rows = work.rows(number)
        yield ShardTask(
            folder=work.folder,
            number=number,
            root=work.root,
            frames=work.runs[number],
            digests=work.sources.records["digest"][rows.start : rows.stop].copy(),
            bad=frozenset(row - rows.start for row in work.sources.bad if row in rows),
            plan=work.plan.without_shards(),
            spec=spec,
            weights=weights,
            settings=work.plan.parts["settings"],
            device=device,
            token=work.opened.token,
        )
