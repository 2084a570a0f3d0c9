"""Rows of features that lie in files, as one array that is read where it is asked for."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError

_OPEN = 128  # files mapped at a time, of the 256 to 1,024 that a process may have open
_LEAST, _MOST, _FLOATS = 256, 2**14, 2**24  # rows of a block, and numbers, 64 MB


@dataclass(frozen=True)
class FileRows:
    """float32 or float16 [n, F] at an offset in a file, which is mapped into memory when rows are read.

    The last few files that were read stay open. stamp: the file as it was found, see `of`.
    """

    path: Path
    dtype: np.dtype
    offset: int
    shape: tuple[int, int]
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, dtype: np.dtype, offset: int, shape: tuple[int, int]) -> "FileRows":
        """Raises KeyReIDError, ValueError or OSError where the file is shorter."""
        made = cls(path.absolute(), dtype, offset, shape, _stamp(path))
        _mapped(made)
        return made

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Raises KeyReIDError where another file has taken the place of the one that was found."""
        with reading(self.path, remedy="run the command again"):
            return _mapped(self)[rows]


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=_OPEN)
def _mapped(rows: FileRows) -> np.ndarray:
    if _stamp(rows.path) != rows.stamp:
        raise KeyReIDError(f"{rows.path}: has changed while it was in use; run the command again")
    return np.memmap(rows.path, rows.dtype, "r", rows.offset, rows.shape)


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
