"""One writer per cache folder, and a token that tells late workers of a dead run to stop."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cache.border import saving
from cache.errors import KeyReIDError
from cache.text_files import load_record

LOCK = "lock"
OWNER = "pose cache"
MOST = 4096  # bytes of a lock file


@contextlib.contextmanager
def lock_folder(folder: Path, owner: str = OWNER) -> Iterator[str]:
    """Hold the folder's lock; yields the run's token. The system frees the lock when the process dies.

    owner: what the folder is.

    Raises KeyReIDError: another process has it (named), or nothing can be written there.
    """
    path = folder / LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if path.is_symlink():
        raise KeyReIDError(f"{path} is a symbolic link, not a lock; choose another folder")
    with saving(path):
        descriptor = os.open(path, flags, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise KeyReIDError(f"{path} is not a regular file; choose another folder")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held, who = _note(path), "another process"
            if {"pid", "host", "since"} <= held.keys():
                who = f"process {held['pid']} on {held['host']} (since {held['since']})"
            raise KeyReIDError(
                f"{who} is writing to {folder}; wait for it to end, or choose another folder"
            ) from None
        except OSError as error:  # NFS and Lustre can be mounted without locks
            raise KeyReIDError(
                f"the file system of {folder} has no file locks ({error.strerror}), so two runs could write "
                "at once; choose a folder on another one, or mount it with locks (Lustre: -o flock)"
            ) from error
        token = secrets.token_hex(8)
        note = {
            "keyreid": owner,
            "token": token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with saving(path):
            _write(descriptor, note)
        yield token
        _write(descriptor, {"keyreid": owner})
    finally:
        os.close(descriptor)


def is_ours(folder: Path) -> bool:
    """Whether `lock_folder` wrote the lock in this folder, so that it is a cache of this program."""
    return _note(folder / LOCK).get("keyreid") == OWNER


def check_token(folder: Path, token: str) -> None:
    """Raise KeyReIDError where the run that handed out this token no longer holds the folder."""
    if _note(folder / LOCK).get("token") != token:
        raise KeyReIDError(f"the run that this work belongs to no longer holds {folder}")


def _write(descriptor: int, note: dict) -> None:
    text = json.dumps(note).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _note(path: Path) -> dict:
    """Content of the lock file; empty where there is none, or another program's."""
    return load_record(path, MOST)
