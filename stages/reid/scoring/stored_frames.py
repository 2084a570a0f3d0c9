"""Frames of tracklets that lie in files: read where they are asked for, eight bytes a tracklet in memory."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from stages.reid.scoring.stored_rows import FileRows

_STEP = 2**22  # bytes looked at together
_LEAVES = re.compile(rb"(?:\A|\0)/|(?:\A|[\0/])\.\.[\0/]")  # a text that leads out of a folder
Shown = tuple[str, ...]


class FileFrames(Sequence[Shown]):
    """The frames of each of N tracklets: texts in a file, in UTF-8, a zero byte after each."""

    def __init__(self, texts: FileRows, offsets: np.ndarray, inside: bool) -> None:
        """texts: uint8 [B, 1]. offsets: int [N+1], number of each tracklet's first text. inside: relative.

        Raises ValueError where these do not fit together, and for a path that leads out of a folder.
        """
        at, ends = 0, [np.full(1, -1)]
        while at < len(texts):
            some = texts[at : at + _STEP].tobytes()
            stop = some.rfind(b"\0") + 1
            if not stop:
                raise ValueError("frames are not texts with a zero byte after each")
            if inside and _LEAVES.search(some, 0, stop):
                raise ValueError("a frame is outside the root")
            ends.append(at + np.flatnonzero(np.frombuffer(some, np.uint8, stop) == 0))
            at += stop
        found = np.concatenate(ends)
        if offsets[0] != 0 or offsets[-1] != len(found) - 1 or (np.diff(offsets) < 1).any():
            raise ValueError(f"{len(found) - 1} frames, not those of {len(offsets) - 1} tracklets")
        self._texts, self._starts = texts, found[offsets] + 1

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: int) -> Shown:
        row = range(len(self))[row]
        start, stop = self._starts[row], self._starts[row + 1]
        return tuple(_text(self._texts[start : stop - 1].tobytes()).split("\0"))

    def first(self) -> Iterator[str]:
        """The first frame of each tracklet."""
        rows = max(1, _STEP * len(self) // len(self._texts))
        for row in range(0, len(self), rows):
            starts = self._starts[row : row + rows + 1]
            some = self._texts[starts[0] : starts[-1]].tobytes()
            for start, stop in pairwise((starts - starts[0]).tolist()):
                yield _text(some[start : some.index(0, start, stop)])


class StoredFrames(Sequence[Shown]):
    """The frames of several sets of tracklets one after the other, as absolute paths."""

    def __init__(self, pieces: Sequence[tuple[str, Sequence[Shown]]]) -> None:
        """pieces: (root, frames relative to it)."""
        self._pieces = list(pieces)
        self._starts = np.cumsum([0, *(len(frames) for _, frames in pieces)]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> Shown:
        row = range(len(self))[row]
        piece = bisect_right(self._starts, row) - 1
        root, frames = self._pieces[piece]
        return tuple(_under(root, frame) for frame in frames[row - self._starts[piece]])

    def first(self) -> Iterator[str]:
        """The first frame of each tracklet."""
        for root, frames in self._pieces:
            yield from (_under(root, frame) for frame in first_frames(frames))


def first_frames(frames: Sequence[Shown]) -> Iterator[str]:
    """The first frame of each tracklet."""
    if isinstance(frames, FileFrames | StoredFrames):
        return frames.first()
    return (shown[0] for shown in frames)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _under(root: str, frame: str) -> str:
    """What pathlib makes of both, as a rule without it."""
    path = frame if frame.startswith("/") else f"{root.rstrip('/')}/{frame}"
    return str(PurePosixPath(path)) if "//" in path or "/." in path else path
