"""The file of embeddings: HDF5, no code in it.

features   float32 or float16 [N, F]       persons, cameras  int64 [N], camera -1 unknown
visibility float32 [N, K], if any          names, camera_names, person_names  texts [N]
start, end, zone  float64 [N], if known    first, last  int64 [N], frames of the video, if known
query, gallery  int64, rows, of a test set
content, stamp  uint8 [N, 16], of a part of a gallery folder (stages.reid.search.identity)
frames     texts [M], offsets int64 [N+1]: up to 8 frames of each tracklet, relative to the root
header     JSON attribute: schema, root, parts, global_width, normalised, about

Texts are uint8, UTF-8, each with a zero byte after it; the header has a fixed length; the structures of the
file are those of HDF5 1.10, with checksums. HDF5's own texts of variable length lie in a heap without one,
and the library never comes back from some damaged heaps.
"""

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole, writing
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.stored_frames import FileFrames
from stages.reid.scoring.stored_rows import FileRows, StoredRows

SCHEMA = 3
_NUMBERS = (
    "persons",
    "cameras",
    "visibility",
    "start",
    "end",
    "zone",
    "first",
    "last",
    "query",
    "gallery",
)
_TEXTS = ("names", "camera_names", "person_names")
_COLUMNS = ("features", *_NUMBERS, *_TEXTS)
_LIBVER = ("v110", "v110")
_HEADER = ("parts", "global_width", "normalised", "about")
Kind = TypeVar("Kind", bound=Embeddings)


def write(values: Embeddings, path: Path, half: bool) -> Path:
    """Write a file whole or not at all. Raises as `Embeddings.save`."""
    made = packed(values, half)
    make_folder(path.parent)
    write_whole(path, made)
    return path


def packed(values: Embeddings, half: bool, **more: np.ndarray) -> memoryview:
    """The bytes of a file. more: other columns. Raises KeyReIDError for features beyond half precision."""
    features = values.features
    if half:
        with np.errstate(over="ignore"):
            features = features.astype(np.float16)
        if not np.isfinite(features).all():
            raise KeyReIDError("features are beyond half precision (65504); leave --half out")
    header = {"schema": SCHEMA, "root": str(values.root)} | {name: getattr(values, name) for name in _HEADER}
    made = io.BytesIO()  # HDF5 does not close a file whose disk is full
    with h5py.File(made, "w", libver=_LIBVER) as file:
        file.attrs["header"] = np.bytes_(json.dumps(header))
        file["features"] = features
        for name in _NUMBERS:
            if getattr(values, name, None) is not None:
                file[name] = getattr(values, name)
        for name in _TEXTS:
            if getattr(values, name) is not None:
                file[name] = _bytes_of(getattr(values, name).tolist())
        file["frames"] = _bytes_of([frame for frames in values.frames for frame in frames])
        file["offsets"] = np.cumsum([0, *(len(frames) for frames in values.frames)])
        for name, column in more.items():
            file[name] = column
    return made.getbuffer()


def read(kind: type[Kind], path: Path, stored: bool = False) -> Kind:
    """Read a file; columns that the class does not have are left. stored: features stay in the file.

    Raises KeyReIDError for another file.
    """
    if not path.is_file():
        raise KeyReIDError(f"{path}: no such file of embeddings; keyreid embed and eval make them")
    wanted = {field.name for field in fields(kind)}
    with _opened(path) as file:
        header = _header(file)
        features = _stored(file, "features")
        columns = {"features": StoredRows([_rows(features)]) if stored else _floats(features)}
        numbers = [name for name in _NUMBERS if name in file and name in wanted]
        columns |= {name: _stored(file, name)[...] for name in numbers}
        columns |= {name: _texts(_stored(file, name)) for name in _TEXTS if name in file}
        header = {name: header[name] for name in _HEADER} | {"root": Path(header["root"])}
        frames = _frames(file, header["root"] != Path("/"), stored)
        loaded = kind(**columns, **header, frames=frames)
        if type(loaded.parts + loaded.global_width) is not int:
            raise ValueError("the header has values of another type")
        if any(c.dtype.kind not in "iufUT" for c in columns.values()):
            raise ValueError("a column is of another type")
        return loaded


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """A file to read from; whatever is wrong with it is a KeyReIDError."""
    with reading(path, "a whole file of embeddings", "make it again"), h5py.File(path, "r") as file:
        yield file


def _header(file: h5py.File) -> Any:
    """The header's JSON value. Raises KeyReIDError for another schema, KeyError and ValueError."""
    fixed = file.attrs.get_id("header").dtype.kind == "S"  # another is not even looked at
    header = json.loads(file.attrs["header"]) if fixed else {"schema": f"before {SCHEMA}"}
    if header["schema"] != SCHEMA:
        raise KeyReIDError(
            f"{file.filename}: schema {header['schema']}, expected {SCHEMA}: made by another version of the "
            "program; make it again with keyreid embed (of a test set: keyreid eval)"
        )
    if not isinstance(header["about"], dict):
        raise ValueError("its header does not say what made it")
    return header


def _stored(file: h5py.File, name: str) -> h5py.Dataset:
    """A data set that lies in the file itself, as large there as it is in memory. Raises ValueError."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing, or a link to another place")
    data = file[name]
    if data.external or data.is_virtual or data.id.get_storage_size() < data.size * data.dtype.itemsize:
        raise ValueError(f"{name} claims more than the file holds")
    return data


def _floats(features: h5py.Dataset) -> np.ndarray:
    return features.astype(np.float32)[...]


def _rows(features: h5py.Dataset) -> np.ndarray | FileRows:
    """Features as they are in the file, read from it where they are used; of other layouts, read now."""
    offset = features.id.get_offset()
    if offset is None or features.dtype not in (np.float16, np.float32):
        return _floats(features)
    return FileRows.of(Path(features.file.filename), features.dtype, offset, features.shape)


def _frames(file: h5py.File, inside: bool, stored: bool) -> Sequence[tuple[str, ...]]:
    """Frames of each tracklet. inside: none may lead out of the root. stored: they stay in the file."""
    texts, offsets = _stored(file, "frames"), _stored(file, "offsets")[...]
    if stored and texts.dtype == np.uint8 and texts.id.get_offset() is not None:
        rows = FileRows.of(Path(file.filename), texts.dtype, texts.id.get_offset(), (len(texts), 1))
        return FileFrames(rows, offsets, inside)
    shown = _texts(texts).tolist()
    if inside and any(frame.startswith("/") or ".." in frame.split("/") for frame in shown):
        raise ValueError("a frame is outside the root")
    return tuple(tuple(shown[start:stop]) for start, stop in pairwise(offsets))


def count(path: Path) -> int:
    """Rows of a file, its features unread. Raises KeyReIDError for another file."""
    if not path.is_file():
        raise KeyReIDError(f"{path}: no such file of embeddings; keyreid embed and eval make them")
    with _opened(path) as file:
        return len(file["features"])


def read_about(path: Path) -> Any:
    """`about` of a file's header. Raises KeyReIDError for another file."""
    with _opened(path) as file:
        return _header(file)["about"]


def is_half(path: Path) -> bool:
    """Whether the features of a file are in half precision."""
    with _opened(path) as file:
        return file["features"].dtype == np.float16


def read_columns(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Columns of numbers of a file, without the features. Raises KeyReIDError."""
    with _opened(path) as file:
        return tuple(_stored(file, name)[...] for name in names)


class _PatientFile(io.FileIO):
    """A file that says only when asked that it cannot be written: HDF5 does not close one that fails."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise what has happened."""
        if self.error is not None:
            raise self.error


def write_joined(files: Sequence[Path], path: Path, **about: Any) -> Path:
    """Write the rows of several files of one data set and network to one, a file at a time; returns its path.

    about: changes to the header's. Raises KeyReIDError for a file that cannot be read, and where the disk is
    full.
    """
    make_folder(path.parent)
    size, lengths = sum(file.stat().st_size for file in files), Counter()
    for file in files:
        with _opened(file) as one:
            header = _header(one)
            lengths.update({name: len(one[name]) for name in one})
    header |= {"about": header["about"] | about}
    with (
        writing(path, size) as aside,
        _PatientFile(aside, "w+") as file,
        h5py.File(file, "w", libver=_LIBVER) as made,
    ):
        made.attrs["header"] = np.bytes_(json.dumps(header))
        at: Counter[str] = Counter()
        for source in files:
            with _opened(source) as one:
                for name in (n for n in (*_COLUMNS, "frames", "offsets") if n in one):
                    values = one[name][...]
                    if name not in made:
                        rows = lengths[name] - (len(files) - 1 if name == "offsets" else 0)
                        made.create_dataset(name, (rows, *values.shape[1:]), values.dtype)
                    if name == "offsets" and at[name]:  # the first is where the file before it ended
                        values = values[1:] + made[name][at[name] - 1]
                    made[name][at[name] : at[name] + len(values)] = values
                    at[name] += len(values)
            file.check()
        made.close()
        file.check()
    return path


def _bytes_of(texts: Sequence[str]) -> np.ndarray:
    """uint8: the texts in UTF-8, each with a zero byte after it."""
    data = "".join(f"{text}\0" for text in texts).encode("utf-8", "surrogateescape")
    return np.frombuffer(data, np.uint8)


def _texts(dataset: h5py.Dataset) -> np.ndarray:
    """The texts [N] of `_bytes_of`. Raises ValueError."""
    *texts, rest = dataset[...].tobytes().decode("utf-8", "surrogateescape").split("\0")
    if dataset.dtype != np.uint8 or rest:
        raise ValueError(f"{dataset.name[1:]} are not texts with a zero byte after each")
    return np.array(texts, dtype=np.str_)
