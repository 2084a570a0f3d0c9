"""What iLIDS-VID and PRID2011 share: one sequence per person and camera, several official splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import list_folders, list_images, natural, read_json, require
from stages.datasets.tracklet import Dataset, Tracklet

_PERSON = re.compile(r"person_?(\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """folders: where the sequences may lie under the root. cameras: their folders, query camera first."""

    name: str
    folders: tuple[str, ...]
    cameras: tuple[str, str]
    tree: str
    frame_size: tuple[int, int]


@dataclass(frozen=True)
class Split:
    """Names of the persons' folders."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def find(root: Path, candidates: Sequence[str]) -> str | None:
    """The first of several relative paths that exists under the root."""
    return next((c for c in candidates if (root / c).exists()), None)


def read_json_splits(path: Path) -> list[Split]:
    """A list of {"train": [folder names], "test": [folder names]}."""
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise KeyReIDError(f"{path}: expected a list of splits, each with the names in train and test")
    splits = []
    for number, entry in enumerate(content):
        groups = []
        for part in ("train", "test"):
            names = entry.get(part) if isinstance(entry, dict) else None
            if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
                raise KeyReIDError(f"{path}, split {number}: {part} is not a list of folder names")
            groups.append(tuple(names))
        check_split(Split(*groups), f"{path}, split {number}")
        splits.append(Split(*groups))
    return splits


def check_split(split: Split, where: str) -> None:
    """Every name once, and no person both trained and tested on."""
    seen: set[str] = set()
    for name in (*split.train, *split.test):
        if name in seen:
            raise KeyReIDError(f"{where}: {name!r} is named twice; train and test must not share persons")
        seen.add(name)


def sequences_folder(root: Path, layout: Layout) -> str:
    """The folder, relative to the root, that holds one folder per camera."""
    folder = find(root, [f"{f}/{layout.cameras[0]}" for f in layout.folders])
    if folder is None:
        missing = root / layout.folders[0]
        raise KeyReIDError(f"{missing}: this folder is missing; expected layout: {layout.tree}")
    folder = folder.rpartition("/")[0]
    require(root / folder / layout.cameras[1], layout.tree, folder=True)
    return folder


def read_two_cameras(
    root: Path, layout: Layout, splits: list[Split], split: int | None, source: Path
) -> Dataset:
    """The data set of one split: the first camera's test sequences are the queries.

    source: the file the splits come from, for messages.
    """
    number = split or 0
    if not 0 <= number < len(splits):
        raise KeyReIDError(f"{source}: split {number} is none of 0..{len(splits) - 1}")
    folder = sequences_folder(root, layout)
    present = {camera: set(list_folders(root / folder / camera)) for camera in layout.cameras}
    chosen = splits[number]

    def tracklet(name: str, camera: str) -> Tracklet:
        match = _PERSON.fullmatch(name)
        if match is None or int(match[1]) < 1:
            raise KeyReIDError(
                f"{source}, split {number}: {name!r} is not a person's folder such as person001"
            )
        place = f"{folder}/{camera}/{name}"
        if name not in present[camera]:
            raise KeyReIDError(
                f"{root / place}: this folder is named in {source.name}, split {number}, but absent; "
                "unpack the data set again"
            )
        frames = tuple(f"{place}/{f}" for f in sorted(list_images(root / place), key=natural))
        if not frames:
            raise KeyReIDError(f"{root / place}: no frame in it; unpack the data set again")
        return Tracklet(frames, int(match[1]), layout.cameras.index(camera) + 1, f"{camera}/{name}")

    first, second = layout.cameras
    train = tuple(tracklet(n, c) for c in layout.cameras for n in sorted(chosen.train))
    query = tuple(tracklet(n, first) for n in sorted(chosen.test))
    gallery = tuple(tracklet(n, second) for n in sorted(chosen.test))
    notes = {}
    unused = set.union(*present.values()).difference(chosen.train, chosen.test)
    if unused:
        notes["persons"] = f"{len(unused)} persons' folders belong to no part of split {number}"
    return Dataset(
        layout.name, root, train, query, gallery, number, len(splits), layout.frame_size, notes=notes
    )
