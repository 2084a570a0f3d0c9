"""One shard, from frames on disk to a file: the unit of work, in this process or another."""

import contextlib
import functools
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.chunks import CHUNK_SHAPE, encode
from cache.errors import KeyReIDError
from cache.files import sha256_of
from cache.lock import check_token
from cache.manifest import Manifest, ShardEntry
from cache.writer import write_shard
from stages.pose.config import EstimatorSpec
from stages.pose.plan import other_packages, packages, precision_of
from stages.pose.progress import note_progress
from stages.pose.sources import read_frame

# The network sees whole multiples of this many frames, the last ones blank where a shard or `batch_size` has
# fewer: smaller batches would take other routines, whose last bits depend on the machine and its threads.
STEP = 16
AHEAD = 3  # batches read before the network asks for them, at least, and batches waiting to be compressed


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs; small, since it travels. plan comes without its list of shards."""

    folder: Path
    number: int
    root: Path
    frames: tuple[str, ...]
    digests: np.ndarray  # uint64 [F] of the frames' content; checked again when read
    bad: frozenset[int]  # rows that get zero heat
    plan: Manifest
    spec: EstimatorSpec
    weights: Path
    settings: dict[str, Any]
    device: str
    token: str


def run_shard(task: ShardTask) -> ShardEntry:
    """Make one shard and write it. Raises KeyReIDError; nothing is left behind then."""
    return write_poses(task, make_poses(task))


def run_numbered(task: ShardTask) -> tuple[int, ShardEntry]:
    """`run_shard`, and which shard it was."""
    return task.number, run_shard(task)


def run_here(tasks: Iterable[ShardTask]) -> Iterator[tuple[int, ShardEntry]]:
    """`run_numbered` of each; one is packed to its end and written while the network is at the next."""
    with ThreadPoolExecutor(1) as writer:
        writing: dict[int, Future] = {}  # none or one
        for task in tasks:
            batches = make_poses(task)
            yield from ((number, entry.result()) for number, entry in writing.items())
            writing = {task.number: writer.submit(write_poses, task, batches)}
        yield from ((number, entry.result()) for number, entry in writing.items())


def make_poses(task: ShardTask) -> list[Future]:
    """Run the network over a shard; returns its batches, of which the last may still be packed."""
    import cv2
    import torch

    refuse_other_packages(task.plan)
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(task.settings["threads"])
    cv2.setNumThreads(1)
    try:
        estimator = load_estimator(
            task.spec.model_dump_json(),
            task.weights,
            task.plan.weights_sha256,
            tuple(sorted(task.settings.items())),
            task.device,
        )
        size = task.settings["batch_size"]
        batches = [
            range(start, min(start + size, len(task.frames))) for start in range(0, len(task.frames), size)
        ]
        parts: list[Future] = []  # reading, network and packing run side by side, some batches apart
        helpers = 2 if task.device == "cpu" else 8
        ahead = max(AHEAD, helpers + 1)  # every reader holds a batch, and one is ready
        packers = ThreadPoolExecutor(helpers)
        with contextlib.ExitStack() as on_error, ThreadPoolExecutor(helpers) as readers:
            on_error.callback(packers.shutdown, cancel_futures=True)
            for batch in _ahead(readers, batches, lambda rows: _read(task, estimator, rows), ahead):
                images, affines, sizes = batch
                maps = estimator.forward(estimator.prepare(images))[: len(sizes)]
                heat = estimator.heat(maps, affines, sizes)
                if len(parts) >= ahead:
                    parts[-ahead].result()
                    note_progress(task.folder, task.number, (len(parts) - ahead + 1) * size)
                rows = range(len(parts) * size, len(parts) * size + len(sizes))
                parts.append(
                    packers.submit(_pack, task, rows, estimator, heat, maps.cpu().numpy(), affines, sizes)
                )
            on_error.pop_all()
        packers.shutdown(wait=False)  # it still processes what it was given
        return parts
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def write_poses(task: ShardTask, batches: list[Future]) -> ShardEntry:
    """Write the shard that `make_poses` made, in any thread."""
    parts = [batch.result() for batch in batches]
    chunks = [chunk for part in parts for chunk in part[0]]
    keypoints, sizes = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    for row in task.bad:  # bad frames are zero
        chunks[row], keypoints[row], sizes[row] = encode(np.zeros(CHUNK_SHAPE, np.uint8)), 0, 0
    check = functools.partial(check_token, task.folder, task.token)
    return write_shard(task.folder, task.number, task.frames, chunks, keypoints, sizes, task.plan, check)


def refuse_other_packages(plan: Manifest) -> None:
    """Raise KeyReIDError where the package versions of this process differ from the plan's."""
    differ = other_packages(plan.packages, packages(plan.parts["settings"]["device"]))
    if differ:
        raise KeyReIDError(
            f"the worker on {socket.gethostname()} would not make the same bytes ({'; '.join(differ)}): "
            "its value is the second one; give all machines the same packages, and where their CPUs differ "
            "the same ATEN_CPU_CAPABILITY"
        )


def _read(task: ShardTask, estimator, rows: range) -> tuple[np.ndarray, list[np.ndarray], list]:
    """Frames drawn into the network's input: uint8 [N,h,w,3], frame -> input affines, (width, height).

    Blank images follow, up to a multiple of STEP.
    """
    import torch

    from stages.pose import geometry

    width, height = estimator.input_size
    shape, pinned = (-(-len(rows) // STEP) * STEP, height, width, 3), estimator.device.type == "cuda"
    images = torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned).numpy()
    affines, sizes = [], []
    for i, row in enumerate(rows):
        if row in task.bad:
            sizes.append((width, height))
            affines.append(estimator.affine((width, height)))
            continue
        frame = read_frame(task.root / task.frames[row], int(task.digests[row]))
        sizes.append(frame.shape[1::-1])
        affines.append(estimator.affine(sizes[-1]))
        images[i] = geometry.warp_frame(frame, affines[-1], (width, height))
    estimator.grid(affines, sizes)  # takes long for frames of many sizes; the network need not wait for it
    return images, affines, sizes


def _pack(task, rows, estimator, heat, maps, affines, sizes) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Chunks, keypoints [N,17,3] and frame sizes [N,2] (height, width) of the frames at `rows`."""
    wrong = np.flatnonzero(~np.isfinite(maps).all((1, 2, 3)))
    if len(wrong):
        raise KeyReIDError(
            f"{task.frames[rows[wrong[0]]]}: the heat of {task.plan.estimator} is not finite "
            f"(weights {task.weights}); give other weights, or --set pose.precision=fp32"
        )
    chunks = [encode(frame) for frame in heat]
    return chunks, estimator.keypoints(maps, affines), np.array(sizes, np.int32)[:, ::-1]


def _ahead(pool: ThreadPoolExecutor, items: list, work, ahead: int) -> Iterator:
    """work(item) of each item, in order, up to `ahead` of them under way."""
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@functools.lru_cache(maxsize=1)
def load_estimator(spec: str, weights: Path, sha256: str, settings: tuple, device: str):
    """The network, kept for the next shard in this process."""
    from stages.pose.estimator import HRNetEstimator

    if sha256_of(weights) != sha256:
        raise KeyReIDError(f"weights {weights} have changed since the run started; run the command again")
    chosen = dict(settings)
    return HRNetEstimator(
        EstimatorSpec.model_validate_json(spec),
        weights,
        padding=chosen["padding"],
        flip_test=chosen["flip_test"],
        device=device,
        precision=precision_of(chosen),
        channels_last=chosen["layout"] == "channels_last",
    )
