"""Embedding part by part: fixed runs of tracklets, each a file that is made whole, by whoever has time.

What a part holds depends on its tracklets, their frames and poses, the network and the kind of device, and
not on who makes it or when: its key says all of that, and stands in its header. A run that was killed finds
its parts by their keys.
"""

import functools
import hashlib
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cache import PoseCache
from cache.differences import differences
from cache.errors import KeyReIDError
from cache.files import sha256_of, write_whole
from cache.lock import check_token
from stages.datasets.tracklet import Dataset, Tracklet
from stages.device import find_device
from stages.pose.config import PoseConfig, load_spec
from stages.pose.weights import find_weights
from stages.precision import name_of
from stages.reid.embed_config import EmbedConfig
from stages.reid.embed_inputs import poses_of
from stages.reid.embedder import Embedder
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import CLIP_FIELDS, Checkpoint, Progress, embed_set, pose_record, silent
from stages.reid.scoring.embeddings_file import packed, read_about
from stages.reid.scoring.named_rows import camera_names
from stages.reid.search.gallery_index import is_part_file, part_file
from stages.reid.search.identity import stamp_of
from stages.versions import kind_of, versions_of
from stages.workers import run_tasks

_WHO = {"workers", "scheduler", "force"}  # of a pose config: who makes it
FRAMES, EACH = 2**15, 32  # of a part, from which it is full; more where so many for each tracklet are more
PACKAGES = ("torch", "timm", "numpy", "opencv-python-headless", "h5py", "keyreid")


@dataclass(frozen=True)
class PartTask:
    """Everything a worker needs; small, since it travels.

    data: its tracklets are those of the part. poses: folder of a pose cache; pose: what fills it first, None
    where it is ready. recipe: what the bytes depend on besides tracklets and frames. columns: others to keep.
    """

    folder: Path
    number: int
    token: str
    data: Dataset
    poses: Path
    pose: PoseConfig | None
    redo_poses: bool
    checkpoint: Path
    config: EvalConfig
    half: bool
    recipe: dict[str, Any]
    key: str
    columns: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What the parts of one run have in common. poses: of all tracklets, None: each part makes its own."""

    embedder: Embedder
    dataset: Dataset
    folder: Path
    token: str
    config: EmbedConfig
    poses: PoseCache | None
    settings: EvalConfig
    recipe: dict[str, Any]

    @classmethod
    def of(
        cls,
        embedder: Embedder,
        dataset: Dataset,
        folder: Path,
        token: str,
        config: EmbedConfig,
        poses: PoseCache | None,
    ) -> "Work":
        """folder, token: where parts are written, and of its lock. Raises as `Embedder.camera_mode`, and
        KeyReIDError where there are no weights for poses that are still to be made."""
        camera = embedder.camera_mode(config.camera, dataset, poses)
        changes = {"camera": camera} | ({} if config.workers is None else {"workers": config.workers})
        if config.processes > 1 or config.scheduler is not None:
            changes["workers"] = 0  # a part's own process reads
        changes |= {"precision": name_of(embedder.model), "device": embedder.device}
        settings = embedder.config.model_copy(update=changes)
        if poses is None:  # what they depend on besides the frames
            weights = find_weights(load_spec(embedder.pose.estimator), embedder.pose.weights)[1]
            pose = embedder.pose.model_dump(mode="json", exclude=_WHO) | {"weights_sha256": weights}
        recipe = {
            name: getattr(settings, name) for name in (*CLIP_FIELDS, "distance", "batch_size", "precision")
        }
        recipe |= {
            "camera": camera,
            "checkpoint": embedder.checkpoint.sha256,
            "half": config.half,
            "poses": pose if poses is None else poses.info.fingerprint,
            "threads": _threads(config),
            "made_with": made_with(embedder.device),
        }
        return cls(embedder, dataset, folder.resolve(), token, config, poses, settings, recipe)

    def task(
        self, number: int, some: Sequence[Tracklet], poses: Path | None = None, **columns: np.ndarray
    ) -> PartTask:
        """The task of a part. poses: of its own, where there are none of all. Raises FrameError."""
        data = replace(self.dataset, train=(), query=(), gallery=tuple(some), notes={})
        pose = None
        if self.poses is None:
            pose = self.embedder.pose
            if self.config.processes > 1 or self.config.scheduler is not None:
                pose = pose.model_copy(update={"workers": 1, "scheduler": None})
        return PartTask(
            folder=self.folder,
            number=number,
            token=self.token,
            data=data,
            poses=(poses if self.poses is None else self.poses.folder).resolve(),
            pose=pose,
            redo_poses=self.config.redo_poses,
            checkpoint=self.embedder.checkpoint.path.resolve(),
            config=self.settings,
            half=self.config.half,
            recipe=self.recipe,
            key=_key(self.recipe, data),
            columns=columns,
        )


def cut(tracklets: Iterable[Tracklet], size: int) -> Iterator[list[Tracklet]]:
    """Runs of tracklets, each of `size`, or fewer of many frames; the last has what is left.

    Many are FRAMES or more, and EACH or more for each of `size`. A run ends by what is in it: without whole
    runs, the others stay as they are.
    """
    some: list[Tracklet] = []
    frames, many = 0, max(FRAMES, EACH * size)
    for tracklet in tracklets:
        some.append(tracklet)
        frames += len(tracklet.frames)
        if len(some) == size or frames >= many:
            yield some
            some, frames = [], 0
    if some:
        yield some


def made_with(device: str) -> dict[str, str]:
    """Versions and the kind of device of this process, which a gallery's features can depend on."""
    return versions_of(PACKAGES) | kind_of(device)


def sound_parts(files: Iterable[Path]) -> dict[str, Path]:
    """Part files by their keys, those whose content has the SHA-256 that their names say."""
    sound = {}
    for path in files:
        if is_part_file(path) and path.name == part_file(sha256_of(path)):
            sound[str(read_about(path).get("key"))] = path
    return sound


def embed_parts(
    tasks: Sequence[PartTask], embedder: Embedder, config: EmbedConfig, progress: Progress = silent
) -> Iterator[tuple[int, Path]]:
    """Make parts here, in processes or on Dask; yields (number, file) as each is there, in any order."""
    if not tasks:
        return
    sizes = {task.number: len(task.data.gallery) for task in tasks}
    total, done = sum(sizes.values()), 0
    if config.processes == 1 and config.scheduler is None:

        def within(what: str, batches: int, of: int) -> None:
            progress("embed", done + batches * sizes[task.number] // of, total)

        for task in tasks:
            made = _made(task, embedder.checkpoint, within)
            done += sizes[task.number]
            yield made
        return
    threads = _threads(config)
    processes = min(config.processes, len(tasks))
    for number, path in run_tasks(run_part, tasks, processes, threads, config.scheduler):
        done += sizes[number]
        progress("embed", done, total)
        yield number, path


def run_part(task: PartTask) -> tuple[int, Path]:
    """Make a part in a worker: its number and its file. Raises KeyReIDError where bytes would be others."""
    device = task.config.device
    differ = differences(task.recipe["made_with"], made_with(find_device(device)))
    if differ:
        raise KeyReIDError(
            f"the worker on {socket.gethostname()} would not make the same bytes ({'; '.join(differ)}): "
            "its value is the second one; give all machines the same packages and kind of device, and where "
            "their CPUs differ the same ATEN_CPU_CAPABILITY"
        )
    checkpoint = _checkpoint(task.checkpoint, task.recipe["checkpoint"], device, task.recipe["precision"])
    return _made(task, checkpoint)


def _made(task: PartTask, checkpoint: Checkpoint, progress: Progress = silent) -> tuple[int, Path]:
    import torch

    if task.pose is None:
        poses = _opened(task.poses, task.recipe["poses"])
    else:
        poses = poses_of(task.pose, task.data, task.poses, own=True, redo=task.redo_poses)
    about = {"labelled": task.data.labelled, "poses": pose_record(poses), "checkpoint": checkpoint.about()}
    about |= {"split": task.data.split, "reading": task.data.reading}
    about |= {name: task.recipe[name] for name in ("batch_size", "threads", "made_with")} | {"key": task.key}
    cameras = checkpoint.extra.get("cameras") or ()
    before = torch.get_num_threads()
    torch.set_num_threads(task.recipe["threads"])
    try:
        made = embed_set(
            checkpoint.model, task.config, task.data.root, task.data.gallery, poses, cameras, task.data.name,
            about, progress,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    data = packed(made, task.half, **task.columns)
    path = task.folder / part_file(hashlib.sha256(data).hexdigest())
    write_whole(path, data, partial(check_token, task.folder, task.token))
    return task.number, path


def _threads(config: EmbedConfig) -> int:
    import torch

    several = config.processes > 1 or config.scheduler is not None
    return config.threads or (1 if several else torch.get_num_threads())


def _key(recipe: dict[str, Any], data: Dataset) -> str:
    """SHA-256 over what the bytes of a part depend on; frames by path, size and time of change."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    root = str(data.root.resolve())
    digest.update(repr((data.name, data.labelled, root)).encode())
    cameras = camera_names(data.gallery, data.name).tolist()
    for tracklet, camera in zip(data.gallery, cameras, strict=True):
        digest.update(repr((tracklet.name, tracklet.person, tracklet.camera, tracklet.span)).encode())
        digest.update(stamp_of(root, tracklet.frames, camera))
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)
def _opened(poses: Path, fingerprint: str) -> PoseCache:
    """The poses, kept for the next part in this process: a large cache takes long to open."""
    return PoseCache.open(poses)


@functools.lru_cache(maxsize=1)
def _checkpoint(path: Path, sha256: str, device: str, precision: str) -> Checkpoint:
    """The network, kept for the next part in this process."""
    loaded = Checkpoint.load(path, device, precision)
    if loaded.sha256 != sha256:
        raise KeyReIDError(f"{path}: has changed since the run started; run the command again")
    return loaded
