"""Is a shard what it should be? Used before a rerun trusts one, and by `keyreid cache verify`."""

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cache.border import problem, reading
from cache.chunks import CHUNK_BYTES, decode
from cache.errors import KeyReIDError
from cache.files import read_regular
from cache.folder import shard_files
from cache.manifest import MANIFEST, PLAN, Manifest, SchemaError, ShardEntry, load_manifest
from cache.shard import ShardRows, attributes_of, frames_digest, read_rows, read_small
from cache.writer import build_shard, shard_attributes

MOST_FIXED, MOST_PER_FRAME = 2**22, 2 * CHUNK_BYTES  # bytes of a shard


def check_shard(folder: Path, number: int, plan: Manifest) -> ShardEntry:
    """The entry of a whole and sound shard of this plan; every byte is read.

    Where the plan is a manifest, the file's SHA-256 must be the one it states; else every checksum inside
    is checked, and the file must be what `build_shard` makes of what it holds, byte for byte.
    Raises OSError or ValueError saying what is wrong.
    """
    entry = plan.shards[number]
    size = (folder / entry.file).stat().st_size
    if entry.bytes and size != entry.bytes:
        raise ValueError(f"{size} bytes, the manifest says {entry.bytes}")
    data = read_regular(folder / entry.file, entry.bytes or MOST_FIXED + entry.rows * MOST_PER_FRAME)
    digest = hashlib.sha256(data).hexdigest()
    if entry.sha256 and digest != entry.sha256:
        raise ValueError(f"SHA-256 differs from the manifest's{_where(data)}")
    shard = read_rows(io.BytesIO(data), thorough=True)
    attributes = shard_attributes(plan, number)
    if shard.attributes != attributes:
        keys = [k for k in sorted(attributes) if shard.attributes.get(k) != attributes[k]]
        raise ValueError(f"from another run: {', '.join(keys) or 'more attributes'} differ")
    frames = [name.decode() for name in shard.frames]
    if len(frames) != entry.rows or frames_digest(frames) != entry.frames_sha256:
        raise ValueError(f"holds unexpected frames ({len(frames)}, expected {entry.rows})")
    arrays = read_small(io.BytesIO(data))
    if not entry.sha256:
        chunks = _chunks(shard, data)
        if build_shard(frames, chunks, *arrays, attributes) != data:
            raise ValueError("unexpected bytes beside its content")
    return ShardEntry(entry.file, entry.rows, entry.frames_sha256, len(data), digest)


def _chunks(shard: ShardRows, data: bytes) -> list[bytes]:
    """The stored heat of each frame of a shard. Raises ValueError naming the first that is damaged."""
    chunks = []
    for frame, offset, size in zip(shard.frames, shard.offsets, shard.sizes, strict=True):
        chunks.append(data[offset : offset + size])
        with reading(f"heat of {frame.decode()}", error=ValueError):
            decode(chunks[-1])
    return chunks


def _where(data: bytes) -> str:
    """Where a damaged shard's checksums locate the damage, if they can."""
    try:
        _chunks(read_rows(io.BytesIO(data), thorough=True), data)
    except ValueError as error:
        return f" ({error})"
    return ""


def check_shards(
    folder: Path, plan: Manifest, threads: int = 4
) -> Iterator[tuple[int, ShardEntry | None, str]]:
    """Yields (number, entry, "") of each sound shard, (number, None, what is wrong) of any other."""

    def check(number: int) -> tuple[int, ShardEntry | None, str]:
        try:
            return number, check_shard(folder, number, plan), ""
        except (OSError, ValueError) as error:
            return number, None, problem(error)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(check, range(len(plan.shards)))


def settle(folder: Path) -> tuple[Manifest | None, list[str]]:
    """The description of a cache, and problems of manifest.json and plan.json, one line each.

    Raises SchemaError for a cache of another version.

    Where these two disagree, one is from another run; the one that more shards belong to is used.
    """
    readable: dict[str, Manifest] = {}
    problems = []
    for name in (MANIFEST, PLAN):
        try:
            if os.path.lexists(folder / name):
                readable[name] = load_manifest(folder / name)
            elif name == MANIFEST:
                problems.append(f"{MANIFEST}: missing, the cache is not finished")
        except KeyReIDError as error:
            if isinstance(error, SchemaError):
                raise
            problems.append(str(error))
    manifest, plan = readable.get(MANIFEST), readable.get(PLAN)
    if manifest is None or plan is None or manifest.plan() == plan:
        return manifest or plan, problems
    foreign = MANIFEST if _own_shards(folder, plan) > _own_shards(folder, manifest) else PLAN
    differ = "; ".join(manifest.plan().differences(plan))
    problems.append(f"{foreign}: from another run than the shards ({MANIFEST} -> {PLAN}: {differ})")
    return plan if foreign == MANIFEST else manifest, problems


def _own_shards(folder: Path, plan: Manifest) -> int:
    """How many shards say that they belong to this plan or manifest."""

    def belongs(number: int) -> bool:
        return attributes_of(folder / plan.shards[number].file) == shard_attributes(plan, number)

    return sum(belongs(number) for number in range(len(plan.shards)))


def verify(folder: Path, threads: int = 4) -> list[str]:
    """Everything that is wrong with a cache, one line each; empty where it is sound.

    Raises KeyReIDError where there is no cache at all.
    """
    if not any(os.path.lexists(folder / name) for name in (PLAN, MANIFEST)):
        raise KeyReIDError(f"there is no pose cache in {folder}; make it with keyreid extract-poses")
    plan, problems = settle(folder)
    if plan is None:
        return problems
    checked = check_shards(folder, plan, threads)
    problems += [f"{plan.shards[number].file}: {wrong}" for number, _, wrong in checked if wrong]
    known = {entry.file for entry in plan.shards}
    strays = [path.name for path in shard_files(folder) if path.name not in known]
    return problems + [f"{stray}: not in the manifest, from another run" for stray in strays]
