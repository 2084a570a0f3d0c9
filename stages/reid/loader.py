"""Batches of clips for training and for testing, read by worker processes.

A batch is a dict: images float32 [B, T, 3, H, W], normalised; part_maps float32 [B, T, K, h, w] in
[0, 1] ([-1, 1] with `guidance: published`), on the patch grid for training, on that of the cache or
larger for testing; persons int64 [B]; cameras int64 [B], -1 unknown; erased float32 [B, T];
keys int64 [B]; for testing also tracklet int64 [B].
"""

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid.data import augment
from stages.reid.data.clips import consecutive_clips, training_clips
from stages.reid.data.keyed import uniform
from stages.reid.data.reader import MAP_SIZE, DiskReader, FrameIndex, FrameReader, MemoryReader
from stages.reid.data.sampler import BatchStream
from stages.reid.model.config import ModelConfig
from stages.reid.part_maps import PartGroups
from stages.reid.train_config import AugmentConfig, LoaderConfig

Batch = dict[str, Any]
_CLIP_SALT = 0


def patch_grid(model: ModelConfig) -> tuple[int, int]:
    """Patches of a frame, down and across."""
    named = re.search(r"patch(\d+)", model.backbone)
    patch = model.backbone_args.get("patch_size", int(named.group(1)) if named else 16)
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    return tuple(max(1, side // p) for side, p in zip(model.image_size, sides, strict=True))


def map_grid(model: ModelConfig) -> tuple[int, int]:
    """Grid on which part maps are moved: at least that of the cache, a multiple of the patch grid."""
    return tuple(g * -(-least // g) for g, least in zip(patch_grid(model), MAP_SIZE, strict=True))


def camera_index(cameras: Sequence[int | None], known: Sequence[int]) -> np.ndarray:
    """Position of each camera in `known`, int64, -1 for one that is not there."""
    place = {camera: i for i, camera in enumerate(known)}
    return np.array([place.get(camera, -1) for camera in cameras], dtype=np.int64)


class _Clips(Dataset):
    """What training and test clips share: reading, geometry, the layout of a batch."""

    def __init__(
        self, reader: FrameReader, model: ModelConfig, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.reader, self.frames = reader, model.clip_length
        self.size, self.grid = tuple(model.image_size), map_grid(model)
        self.groups = PartGroups.of(model.parts)
        self.published = model.guidance == "published"
        self.mean, self.std = tuple(mean), tuple(std)
        self.fill, self.pool = (0.0, 0.0, 0.0), (1, 1)

    def assemble(self, rows: np.ndarray, draws: augment.Draws) -> Batch:
        """pixels, rectangles, part_maps and erased of clips; rows: int [B, T] of the reader's index."""
        frames, maps = self.reader.read(rows.ravel())
        pixels = augment.move_frames(frames, draws)
        heat, shown = augment.move_maps(maps, draws, self.size, self.groups.flip, self.grid, self.pool)
        if self.published:
            heat = augment.published_range(heat, shown)
        erased = (draws.erased[:, 2] > 0).astype(np.float32)
        return {
            "pixels": torch.from_numpy(pixels.reshape(*rows.shape, *pixels.shape[1:])),
            "rectangles": torch.from_numpy(draws.erased.reshape(*rows.shape, 4)),
            "part_maps": torch.from_numpy(heat.reshape(*rows.shape, *heat.shape[1:])),
            "erased": torch.from_numpy(erased.reshape(rows.shape)),
        }

    def finish(self, batch: Batch, device: torch.device | str = "cpu") -> Batch:
        """What is left to do outside of the workers: move to the device, then bytes to normalised images.

        Workers hand on bytes, a quarter of what floats would be.
        """
        rectangles = batch.pop("rectangles").flatten(0, 1).numpy()
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        pixels = batch.pop("pixels")
        return {"images": augment.normalise(pixels, rectangles, self.mean, self.std, self.fill), **batch}

    def batch(self, samples: list) -> Batch:
        raise TypeError("use a subclass")

    def __getitems__(self, samples: list) -> Batch:
        """A whole batch at once. A mistake in the data comes back as {"problem": message}: a worker's
        exception would reach the main process as a page of traceback."""
        try:
            return self.batch(samples)
        except KeyReIDError as error:
            return {"problem": str(error)}


class TrainingClips(_Clips):
    """One random clip of each tracklet asked for, augmented; samples are (tracklet, key)."""

    def __init__(
        self,
        reader: FrameReader,
        index: FrameIndex,
        persons: np.ndarray,
        cameras: np.ndarray,
        model: ModelConfig,
        config: AugmentConfig,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """persons: training labels int64 of each tracklet. cameras: int64, -1 unknown."""
        super().__init__(reader, model, mean, std)
        self.config, self.fill = config, config.erase_fill
        # the network pools to its patch grid; done here, workers have a fraction of the work
        self.pool = tuple(g // p for g, p in zip(self.grid, patch_grid(model), strict=True))
        self.starts, self.lengths = index.starts, index.lengths
        self.persons, self.cameras = persons, cameras

    def batch(self, samples: list[tuple[int, int]]) -> Batch:
        tracklets, keys = np.array(samples, dtype=np.int64).T
        draws = uniform(keys, _CLIP_SALT, self.frames)
        rows = self.starts[tracklets, None] + training_clips(self.lengths[tracklets], draws)
        geometry = augment.draw(keys, self.frames, self.config, self.size)
        return {
            **self.assemble(rows, geometry),
            "persons": torch.from_numpy(self.persons[tracklets]),
            "cameras": torch.from_numpy(self.cameras[tracklets]),
            "keys": torch.from_numpy(keys.copy()),
        }


class TestClips(_Clips):
    """Every clip of every tracklet, as it is; samples are clip numbers."""

    __test__ = False  # not a test case, whatever its name

    def __init__(
        self,
        reader: FrameReader,
        index: FrameIndex,
        persons: np.ndarray,
        cameras: np.ndarray,
        model: ModelConfig,
        mean: Sequence[float],
        std: Sequence[float],
        stride: int | None = None,
        cap: int | None = None,
    ) -> None:
        super().__init__(reader, model, mean, std)
        clips = [consecutive_clips(int(n), model.clip_length, stride, cap) for n in index.lengths]
        counts = [len(c) for c in clips]
        self.tracklets = np.repeat(np.arange(len(clips)), counts)
        self.rows = np.concatenate([start + c for start, c in zip(index.starts, clips, strict=True)])
        self.persons, self.cameras = persons, cameras

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, samples: list[int]) -> Batch:
        rows, tracklets = self.rows[samples], self.tracklets[samples]
        return {
            **self.assemble(rows, augment.identity(rows.size)),
            "persons": torch.from_numpy(self.persons[tracklets]),
            "cameras": torch.from_numpy(self.cameras[tracklets]),
            "keys": torch.zeros(len(rows), dtype=torch.int64),
            "tracklet": torch.from_numpy(tracklets),
        }


class Batches:
    """An iterable of finished batches on a device. A worker's report of bad data becomes KeyReIDError."""

    def __init__(self, loader: DataLoader, device: torch.device | str) -> None:
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self.loader)
        try:
            while (batch := self._next(batches)) is not None:
                if "problem" in batch:
                    raise KeyReIDError(batch["problem"])
                yield self.loader.dataset.finish(batch, self.device)
        finally:
            del batches  # ends the workers now, not when the last traceback is forgotten

    @staticmethod
    def _next(batches: Iterator[Batch]) -> Batch | None:
        try:
            return next(batches, None)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            reason = str(error).splitlines()[0]
        raise KeyReIDError(
            f"a reading process ended by itself ({reason}); it was killed, or memory ran out: "
            "lower train.loader.workers"
        )


def _whole(batch: Batch) -> Batch:
    return batch


def _start_worker(_: int) -> None:
    """Workers leave Ctrl-C and SIGTERM to the main process, and obey its own SIGTERM alone.

    A terminal or a batch system signals the whole group of processes, and the main process still needs
    its workers, to finish the step.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()


def _obey_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _batches(
    clips: _Clips, batch_sampler: Any, config: LoaderConfig, device: torch.device | str = "cpu"
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
    """The disk, or memory where `memory_mb` allows it."""
    if 0 < MemoryReader.needed_mb(disk) <= config.memory_mb:
        return MemoryReader(disk)
    return disk


def test_loader(
    dataset_root: Path,
    tracklets: Sequence[Tracklet],
    cache: PoseCache,
    model_config: ModelConfig,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    batch_size: int,
    workers: int,
    clip_stride: int | None = None,
    clip_cap: int | None = None,
    cameras: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Batches:
    """All clips of all tracklets, batched over tracklet borders; `tracklet` says whose each clip is.

    A last clip short of frames repeats its frames and their maps. cameras: the numbers of the cameras that
    the network was trained with, in its order; default: the tracklets' own, sorted. `persons` are
    the data set's numbers. Raises KeyReIDError for frames that the cache lacks.
    """
    index = FrameIndex([t.frames for t in tracklets])
    check_cache(cache, [f for t in tracklets for f in t.frames])
    disk = disk_reader(dataset_root, index, cache, model_config)
    numbers = [t.camera for t in tracklets]
    known = sorted({c for c in numbers if c is not None}) if cameras is None else cameras
    persons = np.array([t.person for t in tracklets], dtype=np.int64)
    clips = TestClips(
        disk,
        index,
        persons,
        camera_index(numbers, known),
        model_config,
        pixel_mean,
        pixel_std,
        clip_stride,
        clip_cap,
    )
    ranges = [list(range(s, min(s + batch_size, len(clips)))) for s in range(0, len(clips), batch_size)]
    return _batches(clips, ranges, LoaderConfig(workers=workers), device)


test_loader.__test__ = False  # not a test, whatever its name


def check_cache(cache: PoseCache, frames: Sequence[str]) -> None:
    """Raises KeyReIDError where the cache lacks some of the frames."""
    missing = cache.missing(frames)
    if missing:
        raise KeyReIDError(
            f"pose cache {cache.folder}: {len(missing)} of {len(frames)} frames are missing, the first is "
            f"{missing[0]}; run keyreid extract-poses for this data set"
        )
