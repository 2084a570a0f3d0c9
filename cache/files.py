"""Atomic writes: to a temporary name, flushed, renamed."""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from cache.errors import KeyReIDError

TEMPORARY = ".tmp"


@contextlib.contextmanager
def writing(path: Path, size: int = 0, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yields a name beside `path` to write a file to; that file takes the place of `path` at the end.

    A crash or an error at any point leaves the old file or the new one, never a part. size: bytes to come,
    for the error message. check: called just before the rename; may raise. Raises KeyReIDError where the disk
    is full, over quota or read-only. The partial file is removed then.
    """
    aside = path.parent / f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}"  # "." has no name to change
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        check()
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyReIDError(explain(error, path, size)) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def write_whole(path: Path, data: bytes | memoryview, check: Callable[[], None] = lambda: None) -> None:
    """Write a file of these bytes as `writing` does."""
    with writing(path, len(data), check) as aside:
        aside.write_bytes(data)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder that can be written to, or raise KeyReIDError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe.{secrets.token_hex(4)}{TEMPORARY}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise KeyReIDError(explain(error, folder, 0)) from error


def prepare_file(path: Path) -> None:
    """Find out, before long work, that a file can be written there. Raises KeyReIDError where it cannot."""
    make_folder(path.parent)
    if path.is_dir():
        raise KeyReIDError(explain(OSError(errno.EISDIR, os.strerror(errno.EISDIR)), path, 0))


def read_regular(path: Path | str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises OSError, for pipes and devices too."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_size > limit:
            size = f"{status.st_size / 1e6:,.0f} MB, more than {limit / 1e6:,.0f}"
            raise OSError(errno.EFBIG, size)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits. Raises KeyReIDError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise KeyReIDError(
            f"{path} cannot be read: {error.strerror}; give a file that you may read"
        ) from error


def explain(error: OSError, path: Path, size: int) -> str:
    """One line about a failed write: what, where, and the way out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason = os.strerror(error.errno)
        return (
            f"cannot write {path} ({size / 1e6:.1f} MB): {reason}; free some space or choose another folder, "
            "then run the same command again"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"cannot write to {path}: {os.strerror(error.errno)}; choose a folder that you may write to"
    if error.errno == errno.EISDIR:
        return f"cannot write {path}: there is a folder of that name; choose another name"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"cannot make the folder {path}: there is a file of that name; choose another folder"
    return f"cannot write {path}: {error.strerror or error}"
