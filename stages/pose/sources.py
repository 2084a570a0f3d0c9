"""The frames that a cache is made of: checked in one pass before the network runs, and what each one was."""

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import read_regular, write_whole
from cache.folder import SOURCES
from cache.manifest import Manifest
from cache.shard import frames_digest
from stages.frame_file import FrameError, decoder_warning, load, pixels

log = logging.getLogger(__name__)
STEP = 128  # frames per unit of work
SMALLEST = (1, 1)  # a JPEG decoded at an eighth is enough to find out whether it can be decoded
# What a frame was when it was checked; absent files are all -1, 0.
RECORD = np.dtype([("bytes", "<i8"), ("mtime", "<i8"), ("digest", "<u8")])


@dataclass(frozen=True)
class Sources:
    """records [F] of RECORD, in the order of the frames; bad: row -> why the frame cannot be read.

    warned: row -> what the decoder says about a frame that it reads nevertheless, of those read in this run.
    """

    records: np.ndarray
    bad: dict[int, str]
    warned: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def empty(count: int) -> np.ndarray:
        return np.zeros(count, RECORD)

    def save(self, path: Path) -> None:
        write_whole(path, _header(len(self.records)) + self.records.tobytes())


def _header(count: int) -> bytes:
    """How a .npy file of that many records starts."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(RECORD), "fortran_order": False, "shape": (count,)}
    )
    return buffer.getvalue()


def load_records(path: Path, count: int) -> np.ndarray | None:
    """Records of an earlier run, or None where none can be read for this many frames."""
    header = _header(count)
    size = len(header) + count * RECORD.itemsize
    with contextlib.suppress(OSError):
        data = read_regular(path, size)
        if len(data) == size and data.startswith(header):
            return np.frombuffer(data, RECORD, offset=len(header)).copy()
    return None


def known_records(
    path: Path, before: Manifest | None, frames: Sequence[str]
) -> tuple[np.ndarray | None, list[int]]:
    """Records of the frames that an earlier run checked, and rows that it could not read.

    None where there are no records, or not of these frames as they were when the cache was made.
    """
    known = before.about_frames if before is not None else {}
    if known.get("names") != frames_digest(frames) or "unreadable" not in known:
        return None, []
    if max(known["unreadable"], default=0) >= len(frames):
        return None, []
    records = load_records(path, len(frames))
    if records is None or content_digest(records["digest"]) != known.get("content"):
        return None, []
    return records, known["unreadable"]


def content_digest(digests: np.ndarray) -> str:
    """SHA-256 over the frames' digests, in order."""
    return hashlib.sha256(np.ascontiguousarray(digests, "<u8").tobytes()).hexdigest()


def digest_of(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def check_frame(path: Path) -> tuple[int, int, int, str, str]:
    """Size in bytes, mtime in ns, digest of the content, why it cannot be one, decoder's warning; "" none."""
    record = (-1, -1, 0)
    try:
        data = load(path)
        stat = path.stat()
        record = (stat.st_size, stat.st_mtime_ns, digest_of(data))
        pixels(path, data, SMALLEST)
    except FrameError as error:
        return *record, error.reason, ""
    return *record, "", decoder_warning(data)


def check_frames(
    root: Path, frames: Sequence[str], rows: Sequence[int], threads: int
) -> Iterator[list[tuple[int, int, int, int, str, str]]]:
    """Read and decode the frames at `rows`, in parallel; yields parts of (row, *check_frame), in order."""

    def check(part: Sequence[int]) -> list[tuple[int, int, int, int, str, str]]:
        return [(row, *check_frame(root / frames[row])) for row in part]

    parts = (rows[start : start + STEP] for start in range(0, len(rows), STEP))
    pool = joblib.Parallel(n_jobs=threads, backend="threading", return_as="generator")
    yield from pool(joblib.delayed(check)(part) for part in parts)


def stale_rows(root: Path, frames: Sequence[str], records: np.ndarray, threads: int) -> np.ndarray:
    """Rows whose file no longer has the recorded size and mtime; int64."""

    def stat(part: range) -> list[tuple[int, int]]:
        stats = []
        for row in part:
            try:
                status = (root / frames[row]).stat()
                stats.append((status.st_size, status.st_mtime_ns))
            except OSError:
                stats.append((-1, -1))
        return stats

    parts = [range(start, min(start + STEP, len(frames))) for start in range(0, len(frames), STEP)]
    pool = joblib.Parallel(n_jobs=threads, backend="threading", return_as="generator")
    pairs = [pair for some in pool(joblib.delayed(stat)(part) for part in parts) for pair in some]
    now = np.array(pairs, np.int64).reshape(-1, 2)
    return np.flatnonzero((now[:, 0] != records["bytes"]) | (now[:, 1] != records["mtime"]))


def read_frame(path: Path, digest: int) -> np.ndarray:
    """BGR uint8 [H,W,3]. Raises KeyReIDError where the file is not the one that was checked."""
    data = load(path)
    if digest_of(data) != digest:
        raise KeyReIDError(f"frame {path} has changed since the run started; run the command again")
    return pixels(path, data)


def _records_of(cache: PoseCache) -> np.ndarray | None:
    """What the frames of a cache were, in its order; None, with a warning where there should be a record."""
    records = load_records(cache.folder / SOURCES, len(cache))
    content = cache.info.about_frames.get("content")
    if content is not None and (records is None or content_digest(records["digest"]) != content):
        log.warning(
            "%s is missing or damaged, so frames are not compared with those that the cache was made of; "
            "run %s again, which does that", cache.folder / SOURCES, cache.info.command
        )  # fmt: skip
        return None
    return records


def changed_frames(cache: PoseCache, root: Path, frames: Sequence[str], thorough: bool = False) -> list[str]:
    """Those of `frames` that are not what the cache was made of; none where it has no record of that.

    Content is read where size or time differ, or of all frames where `thorough`.
    """
    threads = max(len(os.sched_getaffinity(0)), 2)
    records = _records_of(cache)
    if records is None:
        return []
    records = records[cache.places(frames)]
    rows = range(len(frames)) if thorough else stale_rows(root, frames, records, threads).tolist()

    def differs(row: int) -> bool:
        try:
            digest = digest_of(load(root / frames[row]))
        except FrameError:
            digest = 0
        return digest != records["digest"][row]

    with ThreadPoolExecutor(threads) as pool:
        return [frames[row] for row, other in zip(rows, pool.map(differs, rows), strict=True) if other]


def refuse_changed(cache: PoseCache, root: Path, frames: Sequence[str], thorough: bool = False) -> None:
    """Raise KeyReIDError where frames are not what the cache was made of. Arguments as `changed_frames`."""
    changed = changed_frames(cache, root, frames, thorough)
    if changed:
        raise KeyReIDError(
            f"{root / changed[0]}: {len(changed)} of {len(frames)} frames are not those that pose cache "
            f"{cache.folder} was made of; give the data root that it was made of, or redo it with --force"
        )


def refuse_bad(root: Path, frames: Sequence[str], bad: dict[int, str], listing: Path) -> None:
    """Raise KeyReIDError with the unreadable frames: all of them where few, else in the file `listing`."""
    if not bad:
        return
    lines = [f"{frames[row]}: {bad[row]}" for row in sorted(bad)]
    write_whole(listing, ("\n".join(lines) + "\n").encode())
    few = "; ".join(lines[:10]) + (f"; ... all of them in {listing}" if len(lines) > 10 else "")
    raise KeyReIDError(
        f"{len(lines)} of {len(frames)} frames under {root} cannot be read: {few}; "
        "repair them, or give them zero heat with --on-bad-frame zero"
    )
