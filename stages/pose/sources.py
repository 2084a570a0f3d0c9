"""The frames that a cache is made of: checked in one pass before the network runs, and what each one was."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from cache.errors import KeyReIDError
from cache.files import write_whole
from stages.frame_file import FrameError, decode, load

STEP = 128  # frames per unit of work
SMALLEST = (1, 1)  # a JPEG decoded at an eighth is enough to find out whether it can be decoded
# What a frame was when it was checked; absent files are all -1, 0.
RECORD = np.dtype([("bytes", "<i8"), ("mtime", "<i8"), ("digest", "<u8")])


@dataclass(frozen=True)
class Sources:
    """records [F] of RECORD, in the order of the frames; bad: row -> why the frame cannot be read."""

    records: np.ndarray
    bad: dict[int, str]

    def save(self, path: Path) -> None:
        buffer = io.BytesIO()
        np.save(buffer, self.records)
        write_whole(path, buffer.getvalue())


def load_records(path: Path, count: int) -> np.ndarray | None:
    """Records of an earlier run, or None where there are none for this many frames."""
    try:
        records = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return records if records.dtype == RECORD and records.shape == (count,) else None


def digest_of(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def check_frame(path: Path) -> tuple[int, int, int, str]:
    """Size in bytes, mtime in ns, digest of the content, and "" or why it is no frame."""
    try:
        data = load(path)
    except FrameError as error:
        return -1, -1, 0, error.reason
    stat = path.stat()
    record = (stat.st_size, stat.st_mtime_ns, digest_of(data))
    try:
        decode(data, SMALLEST)
    except ValueError as error:
        return *record, str(error)
    return *record, ""


def check_frames(
    root: Path, frames: Sequence[str], rows: Sequence[int], threads: int, done: Callable[[int], None]
) -> Sources:
    """Read and decode the frames at `rows`, in parallel. done(n) is called as n more are checked.

    The records of all other rows are zero.
    """
    records = np.zeros(len(frames), RECORD)
    bad: dict[int, str] = {}

    def check(part: Sequence[int]) -> list[tuple[int, int, int, str]]:
        return [check_frame(root / frames[row]) for row in part]

    parts = [rows[start : start + STEP] for start in range(0, len(rows), STEP)]
    pool = joblib.Parallel(n_jobs=threads, backend="threading", return_as="generator")
    for part, found in zip(parts, pool(joblib.delayed(check)(part) for part in parts), strict=True):
        for row, (size, mtime, digest, reason) in zip(part, found, strict=True):
            records[row] = size, mtime, digest
            if reason:
                bad[row] = reason
        done(len(part))
    return Sources(records, bad)


def stale_rows(root: Path, frames: Sequence[str], records: np.ndarray, threads: int) -> np.ndarray:
    """Rows whose file no longer has the recorded size and mtime; int64."""

    def stat(part: range) -> list[tuple[int, int]]:
        found = []
        for row in part:
            try:
                status = (root / frames[row]).stat()
                found.append((status.st_size, status.st_mtime_ns))
            except OSError:
                found.append((-1, -1))
        return found

    parts = [range(start, min(start + STEP, len(frames))) for start in range(0, len(frames), STEP)]
    pool = joblib.Parallel(n_jobs=threads, backend="threading", return_as="generator")
    stats = [pair for found in pool(joblib.delayed(stat)(part) for part in parts) for pair in found]
    now = np.array(stats, np.int64).reshape(-1, 2)
    return np.flatnonzero((now[:, 0] != records["bytes"]) | (now[:, 1] != records["mtime"]))


def read_frame(path: Path, digest: int) -> np.ndarray:
    """BGR uint8 [H,W,3]. Raises KeyReIDError where the file is not the one that was checked."""
    data = load(path)
    if digest_of(data) != digest:
        raise KeyReIDError(f"frame {path} has changed since the run started; run the command again")
    try:
        return decode(data)
    except ValueError as error:
        raise FrameError(path, str(error)) from None


def refuse_bad(root: Path, frames: Sequence[str], bad: dict[int, str], listing: Path) -> None:
    """Raise KeyReIDError with the unreadable frames: all of them where few, else in the file `listing`."""
    if not bad:
        return
    lines = [f"{frames[row]}: {bad[row]}" for row in sorted(bad)]
    write_whole(listing, ("\n".join(lines) + "\n").encode())
    few = "; ".join(lines[:10]) + (f"; ... all of them in {listing}" if len(lines) > 10 else "")
    raise KeyReIDError(
        f"{len(lines)} of {len(frames)} frames under {root} cannot be read: {few}; "
        "mend them, or give them zero heat with --on-bad-frame zero"
    )
