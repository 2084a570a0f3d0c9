"""Galleries that independent jobs made, each of a part of one data set, put together."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np

from cache.differences import differences
from cache.errors import KeyReIDError
from cache.files import sha256_of, writing
from stages.pose.parts import parts_of
from stages.reid.scoring.embeddings_file import is_half
from stages.reid.search.gallery_file import header, load_gallery
from stages.reid.search.gallery_folder import Writer, refuse_other
from stages.reid.search.gallery_folder import writing as writing_gallery
from stages.reid.search.gallery_index import Index, Part, read_index
from stages.reid.search.identity import Known, digests

_ALIKE = (
    *("precision", "batch_size", "threads", "made_with"),
    *("clip_length", "clip_order", "clip_stride", "clip_cap"),
)


def merge(folder: Path) -> tuple[int, int]:
    """Add the galleries of jobs beside `folder` (`people.part-3-of-8`) to the gallery `folder`.

    Safe to rerun. Their parts become its own, in the order of the data set: where there was no gallery, and
    all tracklets differ, the bytes of a single job. One that it has already, or that two jobs have, is taken
    once.
    Returns how many tracklets were added, and how many were there.
    Raises KeyReIDError, before anything is written, where a job's gallery is missing, not finished, damaged,
    or a part is of another data set, network, pose network, cut, precision or kind of device than the others.
    """
    paths = parts_of(folder)
    indexes = [_finished(path) for path in paths]
    for path, index in zip(paths, indexes, strict=True):
        for part in index.parts:
            _check_alike(paths[0], indexes[0], path, index, part)
    first = indexes[0]
    added = known_before = 0
    with writing_gallery(folder, keep_parts=True) as writer:
        if writer.index is None:
            writer.index = first.model_copy(update={"share": None, "parts": ()})
        refuse_other(folder, writer.index, first.checkpoint, first.camera)
        known, parts = Known.of(folder, writer.index), list(writer.index.parts)
        for path, index in zip(paths, indexes, strict=True):
            for part in index.parts:
                taken = _taken(writer, path, part, known)
                known_before += part.tracklets - (taken.tracklets if taken else 0)
                if taken is not None:
                    parts.append(taken)
                    added += taken.tracklets
        writer.save(parts)
    return added, known_before


def _finished(path: Path) -> Index:
    """The index of a job's gallery, each of its parts checked byte by byte."""
    number, of = path.name.rpartition(".part-")[2].split("-of-")
    way = f"run the job with --part {number}/{of} again"
    try:
        index = read_index(path)
    except KeyReIDError as error:
        raise KeyReIDError(f"{path}: not finished ({error}); {way}") from error
    if index.share is None or not index.parts:
        raise KeyReIDError(f"{path}: not finished; {way}")
    for part in index.parts:
        file = path / part.file
        if not file.is_file() or sha256_of(file) != part.sha256:
            raise KeyReIDError(f"{file}: missing or damaged; delete {path} and {way}")
    return index


def _check_alike(one: Path, first: Index, other: Path, index: Index, part: Part) -> None:
    """Raise KeyReIDError where a part of `other` was made in another way than the first part of `one`."""

    def about(folder: Path, index: Index, part: Part) -> dict[str, object]:
        made = header(folder / part.file)
        return {name: made.get(name) for name in _ALIKE} | {
            "pose network": made["poses"]["weights_sha256"],
            "half precision": is_half(folder / part.file),
            "checkpoint": index.checkpoint,
            "camera": index.camera,
            "data set and --part-size": index.share.whole,
        }

    differ = differences(about(one, first, first.parts[0]), about(other, index, part))
    if differ:
        raise KeyReIDError(
            f"{other / part.file}: not of the same work as {one / first.parts[0].file} "
            f"({'; '.join(differ)}); delete {other} and run its job again with the same data set, networks, "
            "settings and kind of device"
        )


def _taken(writer: Writer, source: Path, part: Part, known: Known) -> Part | None:
    """A part in the gallery: the file itself, or its rows that are not known; None where all are."""
    contents, stamps, starts = digests(source, part)
    fresh = []
    for row, (content, stamp) in enumerate(zip(contents, stamps, strict=True)):
        if content.tobytes() not in known.contents:
            known.add(content.tobytes(), stamp.tobytes(), float(starts[row]))
            fresh.append(row)
    if len(fresh) == len(contents):
        _copy(source / part.file, writer.folder / part.file)
        return part
    if not fresh:
        return None
    rows = np.array(fresh)
    made = load_gallery(source / part.file).taken(rows)
    more = {"content": contents[rows], "stamp": stamps[rows]}
    return writer.write(made, is_half(source / part.file), more, part.created)


def _copy(source: Path, target: Path) -> None:
    """The same file under another name where the file system can do that, else a copy."""
    if target.exists():
        return
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    with writing(target, source.stat().st_size) as aside:
        shutil.copyfile(source, aside)
