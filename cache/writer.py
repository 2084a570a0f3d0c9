"""Writing a cache: shard by shard as stage one does, or a small one in one call."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from cache.chunks import CHUNK_SHAPE, JOINTS, encode
from cache.files import make_folder, write_whole
from cache.manifest import COCO_JOINTS, MANIFEST, Manifest, ShardEntry
from cache.shard import SCHEMA, SMALL_CHUNK, chunk_places, frames_digest, shard_name


def write_shard(
    folder: Path,
    number: int,
    frames: Sequence[str],
    chunks: Sequence[bytes],
    keypoints: np.ndarray,
    frame_size: np.ndarray,
    plan: Manifest,
    check: Callable[[], None] = lambda: None,
) -> ShardEntry:
    """Write shard `number` of a plan whole or not at all; chunks are `encode`d heat. Returns its entry.

    check: called just before the file gets its name; where it raises, nothing is written.
    """
    attributes = shard_attributes(plan, number)
    data = build_shard(frames, chunks, keypoints, frame_size, attributes)
    name = shard_name(number)
    write_whole(folder / name, data, check)
    digest = hashlib.sha256(data).hexdigest()
    return ShardEntry(name, len(frames), frames_digest(frames), len(data), digest)


def shard_attributes(plan: Manifest, number: int) -> dict[str, object]:
    """The attributes of a shard; one with other attributes does not belong to the plan."""
    return {
        "shard": number,
        "estimator": plan.estimator,
        "weights_sha256": plan.weights_sha256,
        "input_size": plan.input_size and list(plan.input_size),
        "joint_names": list(plan.joint_names),
        "packages": dict(plan.packages),
        "fingerprint": plan.fingerprint,
    }


def build_shard(
    frames: Sequence[str],
    chunks: Iterable[bytes],
    keypoints: np.ndarray,
    frame_size: np.ndarray,
    attributes: Mapping[str, object],
) -> bytes:
    """The bytes of a shard file. chunks: `encode`d heat, one per frame. attributes: JSON values."""
    rows = len(frames)
    names = np.array([frame.encode() for frame in frames])
    unique = secrets.token_hex(8)  # of a file that never exists: threads may build several at once
    with h5py.File(unique, mode="w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        heat = file.create_dataset(
            "heatmaps",
            (rows, *CHUNK_SHAPE),
            "u1",
            chunks=(1, *CHUNK_SHAPE),
            compression="gzip",
            compression_opts=6,
            fletcher32=True,
        )
        written = 0
        for chunk in chunks:
            heat.id.write_direct_chunk((written, 0, 0, 0), chunk)
            written += 1
        if written != rows or keypoints.shape != (rows, JOINTS, 3) or frame_size.shape != (rows, 2):
            shapes = f"keypoints {keypoints.shape}, sizes {frame_size.shape}"
            raise ValueError(f"{rows} frames, {written} maps, {shapes}")
        if not np.isfinite(keypoints).all():
            raise ValueError("keypoints are not finite")
        for name, values in (
            ("keypoints", keypoints.astype("<f4")),
            ("frame_size", frame_size.astype("<i4")),
            ("frames", names),
            ("places", chunk_places(heat)),
        ):
            step = (min(rows, SMALL_CHUNK), *values.shape[1:])
            small = file.create_dataset(name, data=values, chunks=step, compression="gzip", fletcher32=True)
            small.flush()  # else its place in the file depends on when Python's garbage collector closes it
        file.attrs["schema"] = np.int64(SCHEMA)
        for key, value in attributes.items():
            file.attrs[key] = np.bytes_(json.dumps(value, sort_keys=True))
        file.flush()
        return file.id.get_file_image()


def write_cache(
    folder: Path,
    frames: Sequence[str],
    heatmaps: np.ndarray,
    keypoints: np.ndarray,
    frame_size: np.ndarray,
    *,
    estimator: str = "given",
    weights_sha256: str = "",
    joint_names: Sequence[str] = COCO_JOINTS,
    shard_frames: int = 1024,
    parts: Mapping[str, object] | None = None,
    packages: Mapping[str, str] | None = None,
    zeroed: Sequence[str] = (),
) -> Path:
    """Write a complete cache. heatmaps uint8 [F,17,64,32], keypoints float32 [F,17,3], frame_size [F,2].

    Raises KeyReIDError where the folder cannot be written to, ValueError where shapes do not agree.
    """
    folder = Path(folder)
    make_folder(folder)
    if heatmaps.dtype != np.uint8 or len(heatmaps) != len(frames):
        given = f"{heatmaps.dtype} {heatmaps.shape}"
        raise ValueError(f"heatmaps must be uint8 [{len(frames)},17,64,32], not {given}")
    starts = range(0, len(frames), shard_frames)
    runs = [list(frames[start : start + shard_frames]) for start in starts]
    plan = Manifest(
        estimator=estimator,
        weights_sha256=weights_sha256,
        parts={
            "estimator": estimator,
            "weights": weights_sha256,
            "frames": {"names": frames_digest(frames)},
            **(parts or {}),
        },
        shards=tuple(ShardEntry(shard_name(i), len(run), frames_digest(run)) for i, run in enumerate(runs)),
        packages=packages or {},
        joint_names=tuple(joint_names),
        zeroed=tuple(zeroed),
    )
    entries = []
    for number, (start, run) in enumerate(zip(starts, runs, strict=True)):
        rows = slice(start, start + len(run))
        chunks = [encode(heat) for heat in heatmaps[rows]]
        entries.append(write_shard(folder, number, run, chunks, keypoints[rows], frame_size[rows], plan))
    plan.finished(entries, datetime.now(UTC).isoformat(timespec="seconds")).save(folder / MANIFEST)
    return folder
