"""File access that all layouts share: checks of names, listings, MATLAB and JSON files."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import read_regular
from stages.datasets.matlab import read_numbers

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # of what stages.frame_file reads
# A drive letter, a UNC share or a leading slash: absolute on some system.
_NAME = re.compile(r"[^\n\r\ud800-\udfff]+")  # Python has bytes that are not UTF-8 as surrogates
MOST = 2**28  # bytes of a list; the longest of MARS has 15 MB
_ABSOLUTE = re.compile(r"^(?:[A-Za-z]:|[\\/])")


def check_root(root: Path | str, name: str) -> Path:
    """The data root as a Path. Raises KeyReIDError when it is not a folder."""
    root = Path(root)
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "does not exist"
        raise KeyReIDError(f"data root {root} of {name} {state}: give its folder with --data-root")
    return root


def require(path: Path, layout: str, folder: bool = False) -> Path:
    """`path`, which must exist. layout: what the data set's folder should look like, for the message."""
    if not (path.is_dir() if folder else path.is_file()):
        kind = "folder" if folder else "file"
        raise KeyReIDError(f"{path}: this {kind} is missing; expected layout: {layout}")
    return path


def check_relative(name: str, where: str) -> str:
    """A frame name from a list, as a clean POSIX path inside the data root.

    Refuses absolute names, names that step out of the root and names no file can have.
    where: file and row, for the message.
    """
    if "\0" in name or not _NAME.fullmatch(name):
        raise KeyReIDError(f"{where}: {name!r} is not a file name; expected a path relative to the data root")
    if _ABSOLUTE.match(name):
        raise KeyReIDError(f"{where}: {name!r} is absolute; expected a path relative to the data root")
    path = PurePosixPath(name.replace("\\", "/"))
    if ".." in path.parts:
        raise KeyReIDError(f"{where}: {name!r} may leave the data root; expected a path without '..'")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise KeyReIDError(f"{where}: {name!r} is not an image; expected one of {', '.join(IMAGE_SUFFIXES)}")
    return path.as_posix()


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted, hidden ones left out."""
    return sorted(name for name, is_folder in _listed(folder) if is_folder)


def list_images(folder: Path) -> list[str]:
    """Names of the images in `folder` (IMAGE_SUFFIXES in any case), sorted, hidden ones left out."""
    return sorted(name for name, _ in _listed(folder) if name.lower().endswith(IMAGE_SUFFIXES))


def _listed(folder: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of what is in `folder`, hidden ones left out."""
    with reading(folder, remedy="repair or remove it"), os.scandir(folder) as entries:
        listed = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    for name, _ in listed:
        if not _NAME.fullmatch(name):
            raise KeyReIDError(f"{str(folder / name)!r}: the name is not UTF-8 text on one line; rename it")
    return listed


def missing_frames(root: Path, frames: Iterable[str]) -> list[str]:
    """Frames that are not there, in the given order.

    One listing per folder instead of one look-up per file: MARS has 1.2 million frames in 1,261 folders.
    """
    wanted: dict[str, list[str]] = {}
    for frame in frames:
        wanted.setdefault(frame.rpartition("/")[0], []).append(frame)
    missing = set()
    for folder, names in wanted.items():
        path = root / folder
        present = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        start = len(folder) + 1 if folder else 0
        missing.update(f for f in names if f[start:] not in present)
    return [f for names in wanted.values() for f in names if f in missing] if missing else []


def check_frames(root: Path, frames: Iterable[str], name: str) -> None:
    """Raises KeyReIDError naming the first frame that is listed but absent, and how many are."""
    missing = missing_frames(root, frames)
    if missing:
        raise KeyReIDError(
            f"{root / missing[0]}: this frame is listed but absent, {len(missing)} in all; "
            f"`keyreid doctor --dataset {name} --data-root {root}` lists them"
        )


def read_matrix(path: Path, key: str, columns: int | None = None) -> np.ndarray:
    """The whole-number matrix `key` of a MATLAB file as int64 [rows, columns].

    columns: how many columns it must have; None: any vector, returned as int64 [n].
    """
    values = read_numbers(path, key)
    if values.size == 0:
        raise KeyReIDError(f"{path}: {key} is empty; expected the data set's own file")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        raise KeyReIDError(f"{path}: {key} holds numbers that are not whole; expected indices and labels")
    if np.abs(values.astype(np.float64)).max() > 2**53:
        raise KeyReIDError(f"{path}: {key} holds numbers beyond 2^53; expected indices and labels")
    values = values.astype(np.int64)
    if columns is None:
        if values.ndim > 2 or values.size != max(values.shape):
            raise KeyReIDError(f"{path}: {key} has shape {values.shape}; expected a vector")
        return values.reshape(-1)
    if values.ndim != 2 or values.shape[1] != columns:
        raise KeyReIDError(f"{path}: {key} has shape {values.shape}; expected [rows, {columns}]")
    return values


def read_text(path: Path) -> str:
    """A text file as UTF-8."""
    with reading(path, remedy="expected a plain text file"):
        return read_regular(path, MOST).decode("utf-8")


def read_json(path: Path) -> object:
    """The content of a JSON file."""
    with reading(path, "JSON that can be read", "fetch the file again"):
        return json.loads(read_text(path))


def natural(name: str) -> list[tuple[int, str, str]]:
    """Sort key under which frame2 comes before frame10; numbers of any length."""
    parts = re.split(r"([0-9]+)", name)
    return [(len(p.lstrip("0")) + 1, p.lstrip("0"), p) if i % 2 else (0, "", p) for i, p in enumerate(parts)]
