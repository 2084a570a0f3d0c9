"""One writer per cache folder, and a token by which late workers of a dead run know that it is over."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cache.errors import KeyReIDError
from cache.files import explain

LOCK = "lock"


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[str]:
    """Hold the folder's lock; yields the run's token. The system frees the lock when the process dies.

    Raises KeyReIDError: another process has it (named), or nothing can be written there.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise KeyReIDError(explain(error, path, 0)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KeyReIDError(
                f"{_holder(path)} is writing to {folder}; wait for it to end, or choose another folder"
            ) from None
        token = secrets.token_hex(8)
        note = {
            "token": token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        except OSError as error:
            raise KeyReIDError(explain(error, path, 0)) from error
        yield token
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def check_token(folder: Path, token: str) -> None:
    """Raise KeyReIDError where the run that handed out this token no longer holds the folder."""
    try:
        current = json.loads((folder / LOCK).read_bytes()).get("token")
    except (OSError, ValueError):
        current = None
    if current != token:
        raise KeyReIDError(f"the run that this work belongs to no longer holds {folder}")


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_bytes())
        return f"process {note['pid']} on {note['host']} (since {note['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
