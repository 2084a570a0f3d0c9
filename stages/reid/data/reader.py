"""Frames and part maps by name: from files and the pose cache, or from memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from cache import PoseCache
from cache.border import reading
from stages.frame_file import read_planes
from stages.reid.data.part_maps import PartGroups, gaussian_maps, joints_to_parts

MAP_SIZE = (64, 32)  # of the pose cache


class FrameIndex:
    """The frames of many tracklets in flat arrays: forked workers share those, and would copy lists."""

    def __init__(self, tracklets: Sequence[Sequence[str]]) -> None:
        """tracklets: frame paths of each."""
        self.lengths = np.array([len(frames) for frames in tracklets], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        names = [frame.encode() for frames in tracklets for frame in frames]
        self._names = np.array(names) if names else np.zeros(0, dtype="S1")

    def __len__(self) -> int:
        return len(self._names)

    def names(self, rows: np.ndarray) -> list[str]:
        """Paths of frames given by row."""
        return [name.decode() for name in self._names[rows]]


class FrameReader(Protocol):
    """Reads frames uint8 [N, 3, H, W], RGB, and heat of groups uint8 [N, G, 64, 32], by row of an index."""

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass
class DiskReader:
    """Decodes frames and reads the pose cache. Picklable; opens its files in the process that reads."""

    root: Path
    index: FrameIndex
    cache: PoseCache
    groups: PartGroups
    size: tuple[int, int]  # height and width wanted, pixels
    maps: Literal["heat", "gaussian", "empty"] = "heat"  # as stored, drawn from keypoints, or nothing

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raises KeyReIDError for a frame that cannot be read."""
        return self.read_frames(rows), self.read_maps(rows)

    def read_frames(self, rows: np.ndarray) -> np.ndarray:
        frames = np.empty((len(rows), 3, *self.size), dtype=np.uint8)
        for n, name in enumerate(self.index.names(rows)):
            read_planes(f"{self.root}/{name}", frames[n])
        return frames

    def read_maps(self, rows: np.ndarray) -> np.ndarray:
        joints = self.groups.joints
        if self.maps == "heat":
            return joints_to_parts(self.cache.read_heatmaps(self.index.names(rows)), joints)
        if self.maps == "empty":
            return np.zeros((len(rows), len(joints), *MAP_SIZE), dtype=np.uint8)
        poses = self.cache.read(self.index.names(rows))
        return gaussian_maps(poses.keypoints, poses.frame_size, joints, MAP_SIZE)


class MemoryReader:
    """All frames and maps of an index, decoded once and held in memory that workers share."""

    def __init__(self, disk: DiskReader, threads: int = 2) -> None:
        """Reads everything. Raises as DiskReader does."""
        count, joints = len(disk.index), len(disk.groups.joints)
        with reading("shared memory (/dev/shm)", remedy="set train.loader.memory_mb=0"):
            self._frames = torch.empty((count, 3, *disk.size), dtype=torch.uint8).share_memory_()
            self._maps = torch.empty((count, joints, *MAP_SIZE), dtype=torch.uint8).share_memory_()
        frames, maps = self._frames.numpy(), self._maps.numpy()

        def load(start: int) -> None:
            rows = np.arange(start, min(start + 64, count))
            frames[rows], maps[rows] = disk.read(rows)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(load, range(0, count, 64)))

    @staticmethod
    def needed_mb(disk: DiskReader) -> float:
        """What holding everything takes, in MB (10^6 bytes)."""
        per_frame = 3 * disk.size[0] * disk.size[1] + len(disk.groups.joints) * MAP_SIZE[0] * MAP_SIZE[1]
        return len(disk.index) * per_frame / 1e6

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._frames.numpy()[rows], self._maps.numpy()[rows]
