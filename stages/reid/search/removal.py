"""Removes tracklets and all their features from a gallery folder, as laws on footage can require."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings_file import is_half
from stages.reid.search.gallery_file import load_gallery
from stages.reid.search.gallery_folder import Writer, writing
from stages.reid.search.gallery_index import Index, Part
from stages.reid.search.identity import digests

_UNITS = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_AGE = re.compile(r"([0-9]{1,6})([hdw])")


@dataclass(frozen=True)
class Removed:
    """tracklets: how many. parts: files that are gone, as the index had them."""

    tracklets: int
    parts: tuple[Part, ...]


def remove(
    folder: Path,
    parts: Sequence[str] = (),
    cameras: Sequence[str] = (),
    older_than: float | None = None,
    now: float | None = None,
) -> Removed:
    """Remove the tracklets that meet all conditions given; others of their part stay, in a new part.

    parts: names, or beginnings that only one has. cameras: names. older_than: seconds from a tracklet's end
    to `now` (seconds since 1970, default the time of the call); a tracklet without a clock time counts from
    when it was embedded. Kept FAISS indexes that hold a removed tracklet are deleted; the next search makes
    them again. Killed at any point, the gallery has all of them or none; files that were left are deleted by
    the next change, such as the same call. Raises KeyReIDError for no condition, for a part that no name
    fits, and for a damaged part that has to be read.
    """
    if not parts and not cameras and older_than is None:
        raise KeyReIDError("no condition is given; give --part, --camera or --older-than")
    limit = None if older_than is None else (time.time() if now is None else now) - older_than
    with writing(folder) as writer:
        if writer.index is None:
            raise KeyReIDError(f"{folder}: no gallery; keyreid embed --append makes one")
        chosen = {find_part(writer.index, name, folder).name for name in parts} or writer.index.names()
        kept: list[Part] = []
        gone: list[Part] = []
        for part in writer.index.parts:
            left = _left(writer, part, cameras, limit) if part.name in chosen else part
            kept += [left] if left is not None else []
            gone += [part] if left is not part else []
        count = writer.index.tracklets - sum(part.tracklets for part in kept)
        if gone:
            writer.save(kept)
            writer.remove_leftovers()
    return Removed(count, tuple(gone))


def find_part(index: Index, name: str, folder: Path) -> Part:
    """The part of a name, or of a beginning that only one has. Raises KeyReIDError."""
    wanted = name.removesuffix(".h5")
    matching = [part for part in index.parts if part.name.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    some = ", ".join(part.name for part in (matching or index.parts)[:3])
    raise KeyReIDError(
        f"--part {name}: {len(matching)} parts of {folder} are named so; expected one of {len(index.parts)}, "
        f"such as {some}"
    )


def parse_age(text: str) -> float:
    """Seconds, of 30d, 12h or 4w. Raises KeyReIDError for anything else."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise KeyReIDError(
            f"--older-than {text}: expected a number of hours, days or weeks, such as 12h, 30d or 4w"
        )
    return int(match[1]) * _UNITS[match[2]]


def _left(writer: Writer, part: Part, cameras: Sequence[str], limit: float | None) -> Part | None:
    """What is left of a part: itself, a smaller one that is written, or nothing."""
    if cameras and not set(cameras) & set(part.cameras):
        return part
    path = writer.folder / part.file
    if not cameras and limit is None:
        return None
    made = load_gallery(path)
    leaves = np.isin(made.camera_names, cameras) if cameras else np.ones(len(made), bool)
    if limit is not None:
        timed = ~np.isnan(made.zone) if made.zone is not None else np.zeros(len(made), bool)
        leaves &= np.where(timed, made.end if made.end is not None else 0, part.created.timestamp()) < limit
    if not leaves.any():
        return part
    if leaves.all():
        return None
    rows = np.flatnonzero(~leaves)
    contents, stamps, _ = digests(writer.folder, part)
    more = {"content": contents[rows], "stamp": stamps[rows]}
    return writer.write(made.taken(rows), is_half(path), more, part.created)
