"""Batches of clips for training and for testing, read by worker processes.

A batch is a dict: images float32 [B, T, 3, H, W], normalised; part_maps float32 [B, T, K, h, w] in
[0, 1] ([-1, 1] with `guidance: published`), on the patch grid for training, on that of the cache or
larger for testing; persons int64 [B]; cameras int64 [B], -1 unknown; erased float32 [B, T];
keys int64 [B]; for testing also tracklet int64 [B].
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.interrupts import interrupts_later
from stages.pose.sources import refuse_changed
from stages.reid.data.clip_batches import Batch, Clips, TestClips, TrainingClips, camera_index, map_grid
from stages.reid.data.config import ClipConfig, LoaderConfig
from stages.reid.data.part_maps import PartGroups
from stages.reid.data.reader import DiskReader, FrameIndex, FrameReader, MemoryReader
from stages.reid.data.sampler import BatchStream
from stages.reid.model.config import ModelConfig
from stages.reid.model.keyreid import KeyReID

__all__ = [
    "Batches", "check_cache", "disk_reader", "map_grid", "naming_killed_workers", "test_loader",
    "training_loader", "training_reader",
]  # fmt: skip


LOOK = 1.0  # seconds between two looks of a worker whether the main process is there


class Batches:
    """An iterable of finished batches on a device. A worker's report of bad data becomes KeyReIDError."""

    def __init__(self, loader: DataLoader, device: torch.device | str) -> None:
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        context = self.loader.multiprocessing_context
        if context is not None and context.get_start_method() == "forkserver":
            forkserver.ensure_running()  # it outlives these workers: it is not to be without Ctrl-C
        with interrupts_later():  # a worker that is only just there would print a traceback
            batches = iter(self.loader)
        try:
            while (batch := self._next(batches)) is not None:
                if "problem" in batch:
                    raise KeyReIDError(batch["problem"])
                yield self.loader.dataset.finish(batch, self.device)
        finally:
            del batches  # ends the workers now, not when the last traceback is forgotten

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        try:
            return next(batches, None)
        except (OSError, EOFError, UnpicklingError) as error:  # a worker died while handing over a batch
            if not self.loader.num_workers:
                raise
            problem = _ended(error)
        raise problem


def _ended(error: Exception) -> KeyReIDError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return KeyReIDError(
        f"a reading process ended by itself ({reason}); it was killed, or memory ran out: "
        "lower train.loader.workers or eval.workers"
    )


@contextmanager
def naming_killed_workers() -> Iterator[None]:
    """Turns torch's error about a worker that died into KeyReIDError. It may come up anywhere within."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _ended(error) from None


def _whole(batch: Batch) -> Batch:
    return batch


def _start_worker(_: int) -> None:
    """Workers leave Ctrl-C and SIGTERM to the main process, obey its own SIGTERM alone, and end with it.

    A terminal or a batch system signals the whole group of processes, and the main process still needs
    its workers, to finish the step. torch's own workers outlive a main process that was killed where a fork
    server has started them: they wait for the end of the server, and it for theirs.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey, args=(parent_process(),), daemon=True).start()


def _obey(parent: BaseProcess) -> None:
    while parent.is_alive():
        said = signal.sigtimedwait({signal.SIGTERM}, LOOK)
        if said is not None and said.si_pid == parent.pid:
            break
    os._exit(0)


def _batches(
    clips: Clips, batch_sampler: Any, config: LoaderConfig, device: torch.device | str = "cpu"
) -> Batches:
    several = (
        {"prefetch_factor": config.prefetch, "multiprocessing_context": config.start}
        if config.workers
        else {}
    )
    return Batches(
        DataLoader(
            clips,
            batch_sampler=batch_sampler,
            collate_fn=_whole,
            num_workers=config.workers,
            worker_init_fn=_start_worker,
            pin_memory=torch.device(device).type == "cuda",
            generator=torch.Generator(),  # or torch's global one would be advanced
            **several,
        ),
        device,
    )


def training_loader(
    clips: TrainingClips, stream: BatchStream, config: LoaderConfig, device: torch.device | str = "cpu"
) -> Batches:
    """Batches of one process on its device, over all epochs, from the stream's position on."""
    return _batches(clips, stream, config, device)


def disk_reader(root: Path, index: FrameIndex, cache: PoseCache, model: ModelConfig) -> DiskReader:
    """Reads frames and part maps as the network wants them."""
    maps = model.published_maps if model.guidance == "published" else "heat"
    return DiskReader(Path(root), index, cache, PartGroups.of(model.parts), tuple(model.image_size), maps)


def training_reader(disk: DiskReader, config: LoaderConfig) -> FrameReader:
    """The disk, or memory where `memory_mb` allows it for every training process of this machine.

    Raises KeyReIDError where shared memory (/dev/shm) has less room than that.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    needed = MemoryReader.needed_mb(disk)
    if not 0 < needed * processes <= config.memory_mb:
        return disk
    free = shutil.disk_usage("/dev/shm").free / 1e6
    if needed * processes > free:
        raise KeyReIDError(
            f"train.loader.memory_mb = {config.memory_mb}: frames and part maps take {needed:.0f} MB of "
            f"shared memory in each of {processes} process(es), /dev/shm has {free:.0f} MB free; make it "
            "larger (docker run --shm-size), or set train.loader.memory_mb=0"
        )
    return MemoryReader(disk)


def test_loader(
    model: KeyReID,
    clips: ClipConfig,
    root: Path,
    tracklets: Sequence[Tracklet],
    cache: PoseCache,
    cameras: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> Batches:
    """All clips of all tracklets, batched over tracklet borders; `tracklet` says whose each clip is.

    A last clip short of frames repeats its frames and their maps. cameras: the numbers of the cameras that
    the network was trained with, in its order; others are unknown. `persons` are the data set's numbers.
    Raises KeyReIDError for frames that the cache lacks, and for a clip length that the network cannot take.
    """
    trained = model.config.clip_length
    if model.config.guidance == "published" and clips.clip_length not in (None, trained):
        raise KeyReIDError(
            f"eval.clip_length {clips.clip_length}: a network of guidance published takes clips of {trained} "
            "frames alone; leave it out"
        )
    index = FrameIndex([t.frames for t in tracklets])
    check_cache(cache, [f for t in tracklets for f in t.frames], Path(root))
    data = TestClips(
        disk_reader(root, index, cache, model.config),
        index,
        np.array([t.person for t in tracklets], dtype=np.int64),
        camera_index([t.camera for t in tracklets], cameras),
        model.config,
        model.pixel_mean,
        model.pixel_std,
        clips,
    )
    starts = range(0, len(data), clips.batch_size)
    ranges = [list(range(s, min(s + clips.batch_size, len(data)))) for s in starts]
    return _batches(data, ranges, LoaderConfig(workers=clips.workers), device)


test_loader.__test__ = False  # not a test, whatever its name


def check_cache(cache: PoseCache, frames: Sequence[str], root: Path | None = None) -> None:
    """Raises KeyReIDError where the cache lacks some of the frames, or those under `root` are others."""
    missing = cache.missing(frames)
    if missing:
        raise KeyReIDError(
            f"pose cache {cache.folder}: {len(missing)} of {len(frames)} frames are missing, the first is "
            f"{missing[0]}; run keyreid extract-poses for this data set"
        )
    if root is not None and isinstance(cache, PoseCache):  # other sources of heat keep no record of frames
        refuse_changed(cache, root, frames)
