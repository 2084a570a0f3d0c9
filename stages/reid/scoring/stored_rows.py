"""Rows of features that lie in files, as one array that is read where it is asked for."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError

_LEAST, _MOST, _FLOATS = 256, 2**14, 2**24  # rows of a block, and numbers, 64 MB


@dataclass(frozen=True)
class FileRows:
    """[n, F] of a plain type at an offset in a file, which is opened when rows are read, and for no longer.

    Not mapped into memory: a gallery may have more parts than a process may have files open, and what was
    read would count as its memory. stamp: the file as it was found, see `of`.
    """

    path: Path
    dtype: np.dtype
    offset: int
    shape: tuple[int, int]
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, dtype: np.dtype, offset: int, shape: tuple[int, int]) -> "FileRows":
        """Raises ValueError or OSError where the file is shorter."""
        status = path.stat()
        if offset + shape[0] * shape[1] * dtype.itemsize > status.st_size:
            raise ValueError(f"{shape[0]} rows of {shape[1]} in {status.st_size} bytes")
        return cls(path.absolute(), dtype, offset, shape, _stamp(status))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """rows: without a step, or int [M]. Raises KeyReIDError where another file has taken the place of the
        one that was found."""
        size = self.shape[1] * self.dtype.itemsize
        with reading(self.path, remedy="run the command again"), self.path.open("rb", buffering=0) as file:
            handle = file.fileno()
            if _stamp(os.fstat(handle)) != self.stamp:
                raise KeyReIDError(f"{self.path}: has changed while it was in use; run the command again")
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(len(self))
                made = np.empty((max(0, stop - start), self.shape[1]), self.dtype)
                _fill(handle, made, self.offset + start * size)
            else:
                made = np.empty((len(rows), self.shape[1]), self.dtype)
                for row, line in zip(rows.tolist(), made, strict=True):
                    _fill(handle, line, self.offset + row * size)
        return made


def _fill(handle: int, values: np.ndarray, at: int) -> None:
    left = values.reshape(-1).view(np.uint8)
    while len(left):
        read = os.preadv(handle, [left], at)  # at most 2 GB at a time
        if not read:
            raise ValueError("is cut short")
        left, at = left[read:], at + read


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class StoredRows:
    """float32 [N, F], the rows of several arrays, in files or in memory, one after the other.

    Reading rows copies them: a slice, or int64 [M] in any order. Nothing is kept. Raises KeyReIDError where
    rows that are read are not finite.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, pieces: Sequence[np.ndarray | FileRows]) -> None:
        """pieces: float32 or float16 [n, F]."""
        self.pieces = list(pieces)
        self.starts = np.cumsum([0, *(len(piece) for piece in self.pieces)])
        self.shape = (int(self.starts[-1]), self.pieces[0].shape[1])
        self.size = self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        made = self._run(*rows.indices(len(self))) if isinstance(rows, slice) else self._some(rows)
        if not np.isfinite(made).all():
            raise KeyReIDError("features of the gallery are not finite: see keyreid gallery verify")
        return made

    def _some(self, rows: np.ndarray) -> np.ndarray:
        made = np.empty((len(rows), self.shape[1]), np.float32)
        owners = np.searchsorted(self.starts, rows, "right") - 1
        for owner in np.unique(owners):
            own = np.flatnonzero(owners == owner)
            made[own] = self.pieces[owner][rows[own] - self.starts[owner]]
        return made

    def _run(self, start: int, stop: int, step: int) -> np.ndarray:
        if step != 1:
            return self._some(np.arange(start, stop, step))
        made = np.empty((max(0, stop - start), self.shape[1]), np.float32)
        first = max(0, int(np.searchsorted(self.starts, start, "right")) - 1)
        for piece, at in zip(self.pieces[first:], self.starts[first:-1].tolist(), strict=True):
            low, high = max(start, at), min(stop, at + len(piece))
            if at >= stop:
                break
            made[low - start : high - start] = piece[low - at : high - at]
        return made


def block_rows(width: int) -> int:
    """Rows of a block of features of this width."""
    return max(_LEAST, min(_MOST, _FLOATS // width))


def blocks(features: np.ndarray | StoredRows) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, features float32 [b, F]) of a block after the other."""
    rows = block_rows(features.shape[1])
    for first in range(0, len(features), rows):
        yield first, features[first : first + rows]
