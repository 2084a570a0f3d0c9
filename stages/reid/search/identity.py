"""Whether a gallery already has a tracklet, decided by the content of its frames and not by its name.

content  of the camera's name and the bytes of all frames, in order
stamp    of the frames' paths, sizes and times of change: where stamps are equal, frames are not read again
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.frame_file import FrameError, load
from stages.reid.scoring.embeddings_file import read_columns
from stages.reid.scoring.named_rows import camera_names
from stages.reid.search.gallery_index import Index, Part

WIDTH = 16  # bytes of a digest
_STEP = 256  # tracklets looked at together


@dataclass
class Known:
    """The tracklets of a gallery. contents: when each begins, NaN unknown."""

    contents: dict[bytes, float] = field(default_factory=dict)
    stamps: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, index: Index | None) -> "Known":
        """Read from the parts, features left unread. Raises KeyReIDError for a part that cannot be read."""
        known = cls()
        for part in index.parts if index else ():
            contents, stamps, starts = digests(folder, part)
            for content, stamp, start in zip(contents, stamps, starts.tolist(), strict=True):
                known.add(content.tobytes(), stamp.tobytes(), start)
        return known

    def add(self, content: bytes, stamp: bytes, start: float) -> None:
        """Remember a tracklet."""
        self.contents[content] = start
        self.stamps[stamp] = content


def digests(folder: Path, part: Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """content and stamp uint8 [N, WIDTH], start [N] of a part, features left unread. Raises KeyReIDError."""
    contents, stamps, starts = read_columns(folder / part.file, "content", "stamp", "start")
    good = all(c.shape == (part.tracklets, WIDTH) and c.dtype == np.uint8 for c in (contents, stamps))
    if not good or starts.shape != (part.tracklets,):
        raise KeyReIDError(f"{folder / part.file}: damaged; see keyreid gallery verify")
    return contents, stamps, starts


@dataclass(frozen=True)
class Seen:
    """A tracklet of a data set with its digests."""

    tracklet: Tracklet
    content: bytes
    stamp: bytes


def seen(
    root: Path,
    tracklets: Sequence[Tracklet],
    dataset: str,
    stamps: dict[bytes, bytes],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Seen]:
    """The digests of tracklets, in order. stamps: of those whose frames need not be read, their content.

    Raises FrameError for a frame that cannot be read.
    """
    folder = str(root.resolve())

    def look(one: tuple[Tracklet, str]) -> Seen:
        tracklet, camera = one
        stamp = stamp_of(folder, tracklet.frames, camera)
        content = stamps.get(stamp) or content_of(folder, tracklet.frames, camera)
        return Seen(tracklet, content, stamp)

    with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, len(tracklets), _STEP):
            some = tracklets[start : start + _STEP]
            yield from pool.map(look, zip(some, camera_names(some, dataset).tolist(), strict=True))
            progress(start + len(some), len(tracklets))


def content_of(folder: str, frames: Sequence[str], camera: str) -> bytes:
    """Digest of a camera's name and the bytes of frames. Raises FrameError."""
    digest = hashlib.blake2b(camera.encode(), digest_size=WIDTH)
    for frame in frames:
        data = load(f"{folder}/{frame}")
        digest.update(b"%d " % len(data))
        digest.update(data)
    return digest.digest()


def stamp_of(folder: str, frames: Sequence[str], camera: str) -> bytes:
    """Digest of a camera's name and of path, size and time of change of frames. Raises FrameError."""
    digest = hashlib.blake2b(camera.encode(), digest_size=WIDTH)
    for frame in frames:
        try:
            status = os.stat(f"{folder}/{frame}")  # noqa: PTH116 half the time of Path's
        except OSError as error:
            raise FrameError(f"{folder}/{frame}", str(error.strerror), missing=True) from None
        digest.update(f"{folder}/{frame}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.digest()


def columns(some: Sequence[Seen]) -> dict[str, np.ndarray]:
    """The columns of a part's file that keep the digests."""
    return {
        name: np.frombuffer(b"".join(getattr(one, name) for one in some), np.uint8).reshape(-1, WIDTH)
        for name in ("content", "stamp")
    }
