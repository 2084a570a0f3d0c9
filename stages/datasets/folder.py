"""Your own data: a tree of folders, or a list of frames.

Tree, with the subsets named (train, and either test or query with gallery):

    <data root>/train/<person>/<camera>/<tracklet>/*.jpg
    <data root>/test/<person>/<camera>/<tracklet>/*.jpg

or without them: then the first half of the persons, in sorted order, train and the others test.

    <data root>/<person>/<camera>/<tracklet>/*.jpg

List: <data root>/frames.csv (or the only .csv there), see frame_list.py.

Persons and cameras: where all are whole numbers these are kept (person 0 is a distractor, -1 or 00-1 junk),
else they are numbered 1, 2, ... in sorted order, `distractor` and `junk` apart. A camera folder named
`unknown` stands for an unknown camera. Frames: .jpg, .jpeg, .png in any case,
sorted so that frame2 precedes frame10. Tables `*times.tsv` in the root say when tracklets were filmed, see
times.py.

`test` is split as in MARS: the first tracklet of each person in each camera is a query, and all are the
gallery; if a camera is unknown, the queries are not in the gallery.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import (
    check_frames,
    check_root,
    list_folders,
    list_images,
    natural,
)
from stages.datasets.frame_list import SUBSETS, Draft, read_table
from stages.datasets.times import read_times
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

TRACKED = ("import-mot.json", "*.track.json")  # beside tracklets whose persons are a tracker's ids
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_SPECIAL = {"distractor": DISTRACTOR, "junk": JUNK, "00-1": JUNK}


def load_folder(root: Path | str, check_files: bool = True) -> Dataset:
    """Read a tree or a list. Raises KeyReIDError naming file and row, or the folder, that is wrong."""
    root = check_root(root, "folder")
    table = _table(root)
    notes: dict[str, str] = {}
    drafts = read_table(table) if table is not None else _read_tree(root, notes)
    persons = _numbers((d.person, d.where) for d in drafts)
    cameras = _numbers((d.camera, d.where) for d in drafts if d.camera)
    for kind, numbers in (("persons", persons), ("cameras", cameras)):
        named = [f"{n} = {name}" for name, n in numbers.items() if not _WHOLE.fullmatch(name)]
        if named:
            notes[kind] = "numbered in sorted order: " + ", ".join(named[:5] + ["..."] * (len(named) > 5))
    subsets: dict[str, list[Tracklet]] = {s: [] for s in SUBSETS}
    spans = read_times(root)
    for draft in drafts:
        person, camera = persons[draft.person], cameras[draft.camera] if draft.camera else None
        if person < JUNK:
            raise KeyReIDError(f"{draft.where}: person {person} is below -1; expected 1 and up, 0 or -1")
        if camera is not None and camera < 0:
            raise KeyReIDError(f"{draft.where}: camera {camera} is below 0; leave it empty if unknown")
        if draft.subset in ("train", "query") and person <= DISTRACTOR:
            raise KeyReIDError(
                f"{draft.where}: junk or a distractor (person {person}) in {draft.subset}; "
                "expected it in test or gallery"
            )
        span = spans.get(draft.name)
        subsets[draft.subset].append(Tracklet(tuple(draft.frames), person, camera, draft.name, span))
    query, gallery = _test(subsets, root)
    if check_files and table is not None:
        check_frames(root, (f for d in drafts for f in d.frames), "folder")
    labelled = not any(path.match(pattern) for path in root.iterdir() for pattern in TRACKED)
    return Dataset("folder", root, tuple(subsets["train"]), query, gallery, notes=notes, labelled=labelled)


def _table(root: Path) -> Path | None:
    """The list of frames, if the root has one."""
    if (root / "frames.csv").is_file():
        return root / "frames.csv"
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
    if len(tables) > 1:
        raise KeyReIDError(f"{root}: has {len(tables)} CSV files; name the list of frames frames.csv")
    return tables[0] if tables else None


def _read_tree(root: Path, notes: dict[str, str]) -> list[Draft]:
    """The tracklets of a tree, sorted by subset, person, camera, tracklet."""
    top = list_folders(root)
    named = [s for s in SUBSETS if s in top]
    others = sorted(set(top) - set(named), key=natural)
    if named:
        if others:
            raise KeyReIDError(
                f"{root / others[0]}: is beside {named[0]}/, but no subset; expected {', '.join(SUBSETS)}"
            )
        return [d for s in named for d in _read_persons(root, s, s, list_folders(root / s), notes)]
    if not others:
        raise KeyReIDError(f"{root}: holds neither frames.csv nor folders <person>/<camera>/<tracklet>/")
    special = [p for p in others if p in _SPECIAL or (_WHOLE.fullmatch(p) and int(p) <= DISTRACTOR)]
    persons = [p for p in others if p not in special]
    half = len(persons) // 2
    notes["split"] = f"no subsets named: the first {half} persons train, {len(persons) - half} test"
    return [
        *_read_persons(root, "", "train", persons[:half], notes),
        *_read_persons(root, "", "test", persons[half:] + special, notes),
    ]


def _read_persons(
    root: Path, prefix: str, subset: str, persons: Iterable[str], notes: dict[str, str]
) -> Iterable[Draft]:
    for person in sorted(persons, key=natural):
        base = f"{prefix}/{person}" if prefix else person
        for camera in _children(root, base, "camera"):
            for name in _children(root, f"{base}/{camera}", "tracklet"):
                place = f"{base}/{camera}/{name}"
                frames = sorted(list_images(root / place), key=natural)
                if not frames:
                    raise KeyReIDError(f"{root / place}: a tracklet without a frame; remove or fill it")
                others = sum(1 for _ in (root / place).iterdir()) - len(frames)
                if others:
                    notes[place] = f"{others} files that are not images (.jpg, .jpeg, .png) are not used"
                known = "" if camera == "unknown" else camera
                paths = [f"{place}/{f}" for f in frames]
                yield Draft(subset, person, known, place, str(root / place), paths)


def _children(root: Path, place: str, what: str) -> list[str]:
    found = sorted(list_folders(root / place), key=natural)
    if not found:
        raise KeyReIDError(
            f"{root / place}: no folder of a {what} in it; expected <person>/<camera>/<tracklet>/*.jpg"
        )
    return found


def _numbers(labels: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Label to number: its own if all are whole numbers, else 1, 2, ... in sorted order."""
    where = dict(labels)
    plain = [name for name in where if name not in _SPECIAL]
    if all(_WHOLE.fullmatch(n) for n in plain):
        numbers: dict[int, str] = {}
        for name in plain:
            if numbers.setdefault(int(name), name) != name:
                raise KeyReIDError(
                    f"{where[name]}: {name!r} and {numbers[int(name)]!r} are one number; use one spelling"
                )
        return {n: _SPECIAL[n] if n in _SPECIAL else int(n) for n in where}
    special = {n: _SPECIAL[n] for n in where if n in _SPECIAL}
    return {n: i for i, n in enumerate(sorted(plain, key=natural), start=1)} | special


def _test(
    subsets: dict[str, list[Tracklet]], root: Path
) -> tuple[tuple[Tracklet, ...], tuple[Tracklet, ...]]:
    """Queries and gallery."""
    query, gallery, test = subsets["query"], subsets["gallery"], subsets["test"]
    if test and (query or gallery):
        raise KeyReIDError(f"{root}: has test beside query or gallery; expected either test or both others")
    if test:
        first: dict[tuple[int, int | None], Tracklet] = {}
        for tracklet in test:
            if tracklet.person > DISTRACTOR:
                first.setdefault((tracklet.person, tracklet.camera), tracklet)
        query = list(first.values())
        unknown = any(t.camera is None for t in test)
        gallery = [t for t in test if first.get((t.person, t.camera)) is not t] if unknown else test
    if bool(query) != bool(gallery):
        lacking = "gallery" if query else "query"
        raise KeyReIDError(f"{root}: no tracklet for the {lacking}; expected test, or query and gallery")
    return tuple(query), tuple(gallery)
