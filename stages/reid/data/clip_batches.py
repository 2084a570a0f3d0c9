"""Batches of clips as workers make them: read, moved, not yet normalised."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from cache.errors import KeyReIDError
from stages.reid.data import augment
from stages.reid.data.clips import test_clips, training_clips
from stages.reid.data.config import AugmentConfig, ClipConfig
from stages.reid.data.keyed import uniform
from stages.reid.data.part_maps import PartGroups
from stages.reid.data.reader import MAP_SIZE, FrameIndex, FrameReader
from stages.reid.model.config import ModelConfig

Batch = dict[str, Any]
_CLIP_SALT, _INTRUDER_SALT, _CAMERA_SALT = 0, 2, 3  # the salt of the geometry is 1


def patch_grid(model: ModelConfig) -> tuple[int, int]:
    """Patches of a frame, down and across."""
    named = re.search(r"patch(\d{1,4})", model.backbone)
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


class Clips(Dataset):
    """What training and test clips share: reading, geometry, labels, the layout of a batch."""

    def __init__(
        self,
        reader: FrameReader,
        persons: np.ndarray,
        cameras: np.ndarray,
        model: ModelConfig,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """persons, cameras: int64 of each tracklet, cameras -1 unknown."""
        self.reader, self.frames = reader, model.clip_length
        self.persons, self.cameras = persons, cameras
        self.size, self.grid = tuple(model.image_size), map_grid(model)
        self.groups = PartGroups.of(model.parts)
        self.published = model.guidance == "published"
        self.mean, self.std = tuple(mean), tuple(std)
        self.fill, self.pool = (0.0, 0.0, 0.0), (1, 1)

    def assemble(self, rows: np.ndarray, draws: augment.Draws, tracklets: np.ndarray) -> Batch:
        """pixels, rectangles, part_maps, erased, persons and cameras of clips.

        rows: int [B, T] of the reader's index. tracklets: int [B].
        """
        frames, maps = self.reader.read(rows.ravel())
        pixels = augment.move_frames(frames, draws)
        heat, shown, erased = augment.move_maps(
            maps, draws, self.size, self.groups.flip, self.grid, self.pool
        )
        if self.published:
            heat = augment.published_range(heat, shown)
            erased = (draws.erased[:, 2] > 0).astype(np.float32)
        return {
            "pixels": torch.from_numpy(pixels.reshape(*rows.shape, *pixels.shape[1:])),
            "rectangles": torch.from_numpy(draws.erased.reshape(*rows.shape, 4)),
            "part_maps": torch.from_numpy(heat.reshape(*rows.shape, *heat.shape[1:])),
            "erased": torch.from_numpy(erased.reshape(rows.shape)),
            "persons": torch.from_numpy(self.persons[tracklets]),
            "cameras": torch.from_numpy(self.cameras[tracklets]),
        }

    def finish(self, batch: Batch, device: torch.device | str = "cpu") -> Batch:
        """What is left to do outside of the workers: move to the device, then bytes to normalised images.

        Workers hand on bytes, a quarter of what floats would be.
        """
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        pixels, rectangles = batch.pop("pixels"), batch.pop("rectangles").flatten(0, 1)
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


class TrainingClips(Clips):
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
        """persons: training labels."""
        super().__init__(reader, persons, cameras, model, mean, std)
        self.config, self.fill = config, config.erase_fill
        # the network pools to its patch grid; done here, workers have a fraction of the work
        self.pool = tuple(g // p for g, p in zip(self.grid, patch_grid(model), strict=True))
        self.starts, self.lengths = index.starts, index.lengths

    def batch(self, samples: list[tuple[int, int]]) -> Batch:
        tracklets, keys = np.array(samples, dtype=np.int64).T
        draws = uniform(keys, _CLIP_SALT, self.frames)
        rows = self.starts[tracklets, None] + training_clips(self.lengths[tracklets], draws)
        rows, intruders = self.with_intruders(rows, keys, tracklets)
        geometry = augment.draw(keys, self.frames, self.config, self.size)
        batch = self.assemble(rows, geometry, tracklets)
        batch["erased"][intruders] = 1.0
        batch["cameras"][uniform(keys, _CAMERA_SALT, 1)[:, 0] < self.config.hide_camera] = -1
        return {**batch, "keys": torch.from_numpy(keys.copy())}

    def with_intruders(
        self, rows: np.ndarray, keys: np.ndarray, tracklets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """In some clips, one frame of another person's tracklet: rows, and where, bool [B, T]."""
        mask = np.zeros(rows.shape, dtype=bool)
        if self.config.intruder and self.frames > 1:
            u = uniform(keys, _INTRUDER_SALT, 4)
            other = (u[:, 1] * len(self.persons)).astype(np.int64)
            place = (u[:, 2] * self.frames).astype(np.int64)
            chosen = (u[:, 0] < self.config.intruder) & (self.persons[other] != self.persons[tracklets])
            clips = np.flatnonzero(chosen)
            mask[clips, place[clips]] = True
            strange = self.starts[other] + (u[:, 3] * self.lengths[other]).astype(np.int64)
            rows = np.where(mask, strange[:, None], rows)
        return rows, mask


class TestClips(Clips):
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
        config: ClipConfig,
    ) -> None:
        super().__init__(reader, persons, cameras, model, mean, std)
        clips = [test_clips(int(n), config, model.clip_length) for n in index.lengths]
        counts = [len(c) for c in clips]
        self.tracklets = np.repeat(np.arange(len(clips)), counts)
        self.rows = np.concatenate([start + c for start, c in zip(index.starts, clips, strict=True)])

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, samples: list[int]) -> Batch:
        rows, tracklets = self.rows[samples], self.tracklets[samples]
        return {
            **self.assemble(rows, augment.identity(rows.size), tracklets),
            "keys": torch.zeros(len(rows), dtype=torch.int64),
            "tracklet": torch.from_numpy(tracklets),
        }
