"""A shard: one HDF5 file with the poses of a fixed run of frames.

    heatmaps    uint8   [F, 17, 64, 32]  chunk per frame, deflate + fletcher32
    keypoints   float32 [F, 17, 3]       x, y in pixels of the frame, score
    frame_size  int32   [F, 2]           height, width
    frames      bytes   [F]              POSIX path relative to the data root, UTF-8
    places      int64   [F, 2]           position and bytes of each frame's chunk in this very file, as the
                                         library's own index has them (which takes it milliseconds to list)

Everything that is not heat is checksummed too: chunks by fletcher32, the library's own structures by the
checksums of the 1.10 file format. Attributes are fixed-length strings, which live inside those structures
(variable-length ones would not). The same content gives the same bytes: HDF5 stores no times here.
"""

import contextlib
import hashlib
import io
import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.chunks import CHUNK_BYTES, CHUNK_SHAPE, JOINTS

SCHEMA = 1
SMALL_CHUNK = 256  # rows per chunk of the small arrays
LAYOUT = {  # type and shape of a row
    "heatmaps": ("u1", CHUNK_SHAPE),
    "keypoints": ("f4", (JOINTS, 3)),
    "frame_size": ("i4", (2,)),
    "frames": ("S", ()),
    "places": ("i8", (2,)),
}
LEAST_CHUNK = 32  # stored bytes of a frame's heat; one without any heat has 60
LONGEST_NAME = 4096  # bytes of a frame's path, as Linux allows


@dataclass(frozen=True)
class ShardRows:
    """What a reader needs from a shard before any heat: names, and where each frame's chunk lies."""

    attributes: dict
    frames: np.ndarray  # bytes [F]
    offsets: np.ndarray  # int64 [F], position of the frame's chunk in the file
    sizes: np.ndarray  # int32 [F], its stored bytes


def chunk_places(heat: h5py.Dataset) -> np.ndarray:
    """Position in the file and stored bytes of each frame's chunk, int64 [F, 2], from HDF5's own index.

    Raises ValueError where a chunk was never written.
    """
    places = np.full((len(heat), 2), -1, np.int64)

    def note(chunk) -> None:
        places[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

    heat.id.chunk_iter(note)
    if len(places) and places.min() < 0:
        raise ValueError(f"heat of frame {int(places.min(axis=1).argmin())} is missing")
    return places


def read_rows(path: Path | io.BytesIO, thorough: bool = False) -> ShardRows:
    """Open a shard and read its index. Raises ValueError (one line) where it is not a whole shard.

    thorough: also compare where its chunks are with HDF5's own index.
    """
    with _opened(path) as (file, size):
        attributes = {key: json.loads(bytes(file.attrs[key])) for key in file.attrs if key != "schema"}
        rows = len(file["frames"])
        places = file["places"][:]
        offsets, sizes = places[:, 0].copy(), places[:, 1].copy()
        if rows and not (places.min() >= 0 and sizes.max() <= 2 * CHUNK_BYTES and offsets.max() < size):
            raise ValueError("places lie outside the file")
        if thorough and not np.array_equal(places, chunk_places(file["heatmaps"])):
            raise ValueError("places are not where the library's index has them")
        frames = file["frames"][:]
        b"".join(frames.tolist()).decode()  # a UnicodeDecodeError is a ValueError
        return ShardRows(attributes, frames, offsets, sizes.astype(np.int32))


def attributes_of(path: Path) -> dict:
    """The attributes of a shard; none where a file is not a whole shard."""
    try:
        return read_rows(path).attributes
    except ValueError:
        return {}


def read_small(path: Path | io.BytesIO) -> tuple[np.ndarray, np.ndarray]:
    """keypoints float32 [F, 17, 3] and frame_size int32 [F, 2] of a shard. Raises ValueError (one line)."""
    with _opened(path) as (file, _):
        keypoints, sizes = file["keypoints"][:], file["frame_size"][:]
    if not np.isfinite(keypoints).all() or (sizes < 0).any():
        raise ValueError("keypoints or frame sizes are not valid pixel values")
    return keypoints, sizes


@contextlib.contextmanager
def _opened(path: Path | io.BytesIO) -> Iterator[tuple[h5py.File, int]]:
    """An HDF5 file that is laid out as a shard is, and its bytes. Raises ValueError (one line) for any other.

    Nothing is read that is not stored in the file itself, and nothing of a size that the file cannot hold.
    """
    try:
        size = len(path.getbuffer()) if isinstance(path, io.BytesIO) else _bytes_of(path)
        with h5py.File(path, "r") as file:
            if int(file.attrs.get("schema", -1)) != SCHEMA:
                raise ValueError(f"schema {file.attrs.get('schema')}, this program reads {SCHEMA}")
            for name in LAYOUT:
                if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name} is missing, or a link to another place")
            rows = file["heatmaps"].shape[0] if file["heatmaps"].ndim else 0
            if rows * LEAST_CHUNK > size:
                raise ValueError(f"claims {rows} frames in {size} bytes")
            for name, (kind, shape) in LAYOUT.items():
                _check_layout(file, name, kind, (rows, *shape))
            yield file, size
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not a whole shard: {reason}") from error


def _bytes_of(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    return status.st_size


def _check_layout(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> None:
    data = file[name]
    if data.external or data.is_virtual:
        raise ValueError(f"{name} is stored in another file")
    if data.shape != shape:
        raise ValueError(f"{name} has shape {data.shape}, expected {shape}")
    chunk = (1, *CHUNK_SHAPE) if name == "heatmaps" else (min(shape[0], SMALL_CHUNK), *shape[1:])
    if not data.dtype.str[1:].startswith(kind) or data.chunks != chunk:
        raise ValueError(f"{name} is {data.dtype} in chunks of {data.chunks}, expected {kind} in {chunk}")
    if data.dtype.itemsize > LONGEST_NAME:
        raise ValueError(f"{name} has values of {data.dtype.itemsize} bytes")


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.h5"


def frames_digest(frames: Sequence[str]) -> str:
    """SHA-256 over the frame names of a shard, in order."""
    return hashlib.sha256("\n".join(frames).encode()).hexdigest()
