"""Atomic writes: to a temporary name, flushed, renamed. Reads of regular files only."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from cache.border import explain, reading, saving
from cache.errors import KeyReIDError

TEMPORARY = ".tmp"


@contextlib.contextmanager
def writing(path: Path, size: int = 0, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yields a name beside `path` to write a file to; that file takes the place of `path` at the end.

    A crash or an error at any point leaves the old file or the new one, never a part. size: bytes to come,
    for the error message. check: called just before the rename; may raise. Raises KeyReIDError where the disk
    is full, over quota or read-only, and the partial file is removed then; and for a device or pipe.
    """
    aside = _aside(path)
    with saving(path, size):
        _refuse_special(path)
        try:
            yield aside
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            check()
            aside.replace(path)
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()


def _aside(path: Path) -> Path:
    return path.parent / f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}"  # "." has no name to change


def _refuse_special(path: Path) -> None:
    """A rename would put a file in the place of a device, for all programs."""
    ours = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    if os.path.lexists(path) and stat.S_IFMT(path.lstat().st_mode) not in ours:
        raise KeyReIDError(f"cannot write {path}: there is a device or pipe of that name; name a file")


def write_whole(path: Path, data: bytes | memoryview, check: Callable[[], None] = lambda: None) -> None:
    """Write a file of these bytes as `writing` does."""
    with writing(path, len(data), check) as aside:
        aside.write_bytes(data)


@contextlib.contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder` that takes its place, and that of all in it, at the end.

    An error or Ctrl-C leaves what was there. Where `folder` is a link, its target is replaced. Raises
    KeyReIDError where nothing can be written; before anything is done, as far as that can be known.
    """
    refuse_here(folder)
    folder = folder.resolve()
    if folder.is_mount():
        raise KeyReIDError(f"{folder}: is where other storage is mounted; name a new folder in it")
    aside = _aside(folder)
    if folder.exists():
        make_folder(folder)
    with saving(folder):
        try:
            aside.mkdir(parents=True)
            yield aside
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder that can be written to, or raise KeyReIDError."""
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe.{secrets.token_hex(4)}{TEMPORARY}"
        probe.touch()
        probe.unlink()


def prepare_file(path: Path) -> None:
    """Find out, before long work, that a file can be written there. Raises KeyReIDError where it cannot.

    A link is refused: it would be replaced, not followed, and /dev/stdout is one.
    """
    make_folder(path.parent)
    _refuse_special(path)
    if path.is_dir():
        raise KeyReIDError(explain(OSError(errno.EISDIR, os.strerror(errno.EISDIR)), path, 0))
    if path.is_symlink():
        raise KeyReIDError(f"cannot write {path}: there is a link of that name; name the file itself")
    with saving(path):
        aside = _aside(path)  # whose name may be too long
        aside.touch()
        aside.unlink()


def refuse_here(folder: Path) -> None:
    """Raise KeyReIDError for a folder in which this process is, and which is to be replaced as a whole."""
    if Path.cwd().is_relative_to(folder.resolve()):
        raise KeyReIDError(f"{folder}: is the folder that you are in, or around it; name a new folder")


def read_regular(path: Path | str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises OSError, for pipes and devices too."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_size > limit:
            size = f"{status.st_size / 1e6:,.0f} MB, more than {limit / 1e6:,.0f}"
            raise OSError(errno.EFBIG, size)
        data = os.read(handle, status.st_size + 1)
        if len(data) == status.st_size > 0:
            return data
        with os.fdopen(handle, "rb", closefd=False) as file:  # it changes, or does not know its size
            return data + file.read(limit + 1 - len(data))
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits. Raises KeyReIDError where it cannot be read."""
    with reading(path, remedy="give a file that you may read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
