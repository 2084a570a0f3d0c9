"""Reading the pose cache. Made for random 4-frame clips in data-loading workers."""

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cache.border import reading
from cache.chunks import CHUNK_BYTES, CHUNK_SHAPE, JOINTS, unpack
from cache.errors import AGAIN, KeyReIDError
from cache.manifest import MANIFEST, PLAN, Manifest, load_manifest
from cache.shard import read_rows, read_small
from cache.writer import shard_attributes

OPEN_FILES = 128  # file handles kept per process; well under the usual limit of 1024
INDEX = np.dtype([("offset", "<i8"), ("size", "<i4"), ("shard", "<i4"), ("row", "<i4")])
SMALL_SHARDS = 16  # shards whose keypoints are kept in memory


class Stamp(NamedTuple):
    """Identity of a shard's file when the cache was opened."""

    inode: int
    bytes: int
    mtime: int  # ns


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Poses:
    """heatmaps float32 [N,17,64,32] in [0,1]; keypoints float32 [N,17,3] x, y in pixels of the frame, score;
    frame_size int32 [N,2] height, width. The heat grid covers the whole frame, cell by cell."""

    heatmaps: np.ndarray
    keypoints: np.ndarray
    frame_size: np.ndarray


class PoseCache:
    """An open cache. The index lives in numpy arrays, so that forked workers share its memory.

    File handles are opened when needed, per process, and are not carried through pickling or fork.
    Reads use `pread`, which shares no file position. Nothing is locked and nothing is written.
    """

    def __init__(
        self, folder: Path, info: Manifest, names: np.ndarray, index: np.ndarray, stamps: list["Stamp"]
    ):
        self.folder, self.info, self._stamps = folder, info, stamps
        order = np.argsort(names, kind="stable")
        self._names, self._index = names[order], index[order]
        self._forget_handles()

    @classmethod
    def open(cls, folder: Path | str) -> "PoseCache":
        """Open a finished cache. Raises KeyReIDError saying what is missing, damaged or from another run."""
        folder = Path(folder)
        info = load_manifest(_finished(folder))
        names, index, stamps = [], [], []
        for number, entry in enumerate(info.shards):
            path = folder / entry.file
            with reading(f"pose cache {folder}: {entry.file}", remedy=AGAIN):
                stamp = _stamp(path.stat())
                if stamp.bytes != entry.bytes:
                    raise ValueError(f"{stamp.bytes} bytes, the manifest says {entry.bytes}")
                shard = read_rows(path)
                if len(shard.frames) != entry.rows or shard.attributes != shard_attributes(info, number):
                    raise ValueError("from another run than the manifest")
            stamps.append(stamp)
            names.append(shard.frames)
            part = np.empty(entry.rows, INDEX)
            part["shard"], part["row"] = number, np.arange(entry.rows)
            part["offset"], part["size"] = shard.offsets, shard.sizes
            index.append(part)
        names.append(np.zeros(0, "S1"))
        index.append(np.empty(0, INDEX))
        return cls(folder, info, np.concatenate(names), np.concatenate(index), stamps)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, frame: str) -> bool:
        return self._find([frame])[0] >= 0

    def missing(self, frames: Sequence[str]) -> list[str]:
        """Those of `frames` that the cache does not hold, in the order given."""
        return [frame for frame, row in zip(frames, self._find(frames), strict=True) if row < 0]

    def read_heatmaps(self, frames: Sequence[str]) -> np.ndarray:
        """Heat as stored, uint8 [N,17,64,32] (h = value / 255). Raises KeyReIDError for an unknown frame."""
        rows = self._rows(frames)
        heat = np.empty((len(rows), *CHUNK_SHAPE), np.uint8)
        flat = heat.reshape(len(rows), CHUNK_BYTES)
        for i, (offset, size, shard, _) in enumerate(self._index[rows].tolist()):
            try:
                flat[i] = np.frombuffer(unpack(os.pread(self._handle(shard), size, offset)), np.uint8)
            except (ValueError, OSError) as error:
                where = f"pose cache {self.folder}: heat of {frames[i]} in {self.info.shards[shard].file}"
                raise KeyReIDError(f"{where} is damaged ({error}); {AGAIN}") from error
        return heat

    def read(self, frames: Sequence[str]) -> Poses:
        """Heat in [0, 1], keypoints in pixels and frame sizes of `frames`. Raises as `read_heatmaps` does."""
        heat = self.read_heatmaps(frames).astype(np.float32) / np.float32(255.0)
        places = self._index[self._rows(frames)]
        small = [(self._small_arrays(place["shard"]), place["row"]) for place in places]
        keypoints = np.array([arrays[0][at] for arrays, at in small], np.float32).reshape(-1, JOINTS, 3)
        sizes = np.array([arrays[1][at] for arrays, at in small], np.int32).reshape(-1, 2)
        return Poses(heat, keypoints, sizes)

    def frames(self) -> list[str]:
        """Every frame, in the order in which they were written."""
        order = np.lexsort((self._index["row"], self._index["shard"]))
        return [name.decode() for name in self._names[order]]

    def places(self, frames: Sequence[str]) -> np.ndarray:
        """Place of each frame in the order of `frames()`, int64 [N]. Raises KeyReIDError for one unknown."""
        starts = np.cumsum([0, *(entry.rows for entry in self.info.shards)])
        entries = self._index[self._rows(frames)]
        return starts[entries["shard"]] + entries["row"]

    def _find(self, frames: Sequence[str]) -> np.ndarray:
        """Place of each frame in the index, -1 where unknown; int64 [N]."""
        if not len(self._names) or not len(frames):
            return np.full(len(frames), -1)
        width = self._names.dtype.itemsize
        wanted = np.array([frame.encode()[: width + 1] for frame in frames], f"S{width + 1}")
        # Longer names cannot be in the index; comparing at its own width avoids a copy of the index.
        short = wanted.astype(self._names.dtype)
        at = np.minimum(np.searchsorted(self._names, short), len(self._names) - 1)
        return np.where((self._names[at] == short) & (wanted == short), at, -1)

    def _rows(self, frames: Sequence[str]) -> np.ndarray:
        rows = self._find(frames)
        if len(rows) and rows.min() < 0:
            unknown = [frame for frame, row in zip(frames, rows, strict=True) if row < 0]
            raise KeyReIDError(
                f"pose cache {self.folder} has no {unknown[0]}"
                + (f" nor {len(unknown) - 1} more frames" if len(unknown) > 1 else "")
                + "; was it made for another data set? run keyreid extract-poses"
            )
        return rows

    def _handle(self, shard: int) -> int:
        if self._owner != os.getpid():
            self._forget_handles()
        if shard in self._handles:
            self._handles.move_to_end(shard)
            return self._handles[shard]
        if len(self._handles) >= OPEN_FILES:
            self._close_oldest()
        path = self.folder / self.info.shards[shard].file
        handle = self._open(path)
        self._handles[shard] = handle
        self._refuse_rewritten(path, os.fstat(handle), shard)
        return handle

    def _open(self, path: Path) -> int:
        """A file handle; older ones are closed where the process has reached its limit."""
        while True:
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    if self._handles:
                        self._close_oldest()
                        continue
                    raise KeyReIDError(
                        f"cannot open {path}: {error.strerror}; allow this process more files (ulimit -n)"
                    ) from error
                raise KeyReIDError(f"cannot open {path}: {error.strerror}; {AGAIN}") from error

    def _close_oldest(self) -> None:
        os.close(self._handles.popitem(last=False)[1])

    def _refuse_rewritten(self, path: Path, status: os.stat_result, shard: int) -> None:
        """The index belongs to the file as it was when the cache was opened."""
        if _stamp(status) != self._stamps[shard]:
            raise KeyReIDError(
                f"{path} is not the file it was when the cache was opened: it was damaged, or "
                "the cache was rewritten meanwhile; start again"
            )

    def _small_arrays(self, shard: int) -> tuple[np.ndarray, np.ndarray]:
        if shard not in self._small:
            if len(self._small) >= SMALL_SHARDS:
                self._small.popitem(last=False)
            path = self.folder / self.info.shards[shard].file
            with reading(path, "a sound shard", AGAIN):
                self._refuse_rewritten(path, path.stat(), shard)
                self._small[shard] = read_small(path)
        return self._small[shard]

    def _forget_handles(self) -> None:
        """Start without handles: those of a parent process are its own, and are left alone."""
        self._owner = os.getpid()
        self._handles: OrderedDict[int, int] = OrderedDict()
        self._small: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def close(self) -> None:
        if self._owner == os.getpid():
            for handle in self._handles.values():
                os.close(handle)
        self._forget_handles()

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self.close()

    def __getstate__(self) -> dict:
        hidden = ("_handles", "_small", "_owner")
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget_handles()


def _finished(folder: Path) -> Path:
    """The manifest's path; raises KeyReIDError saying how far an unfinished cache is."""
    manifest, plan = folder / MANIFEST, folder / PLAN
    if os.path.lexists(manifest):
        return manifest
    if not os.path.lexists(plan):
        raise KeyReIDError(f"there is no pose cache in {folder}; make it with keyreid extract-poses")
    unfinished = load_manifest(plan)
    shards = unfinished.shards
    done = sum((folder / entry.file).exists() for entry in shards)
    raise KeyReIDError(
        f"pose cache {folder} is not finished: {done} of {len(shards)} shards are written; "
        f"run the {unfinished.command} command again to finish it"
    )
