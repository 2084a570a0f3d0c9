"""Your own data: a tree of folders, or a list of frames.

Tree, with the subsets named (train, and either test or query with gallery):

    <data root>/train/<person>/<camera>/<tracklet>/*.jpg
    <data root>/test/<person>/<camera>/<tracklet>/*.jpg

or without them: then the first half of the persons, in sorted order, train and the others test.

    <data root>/<person>/<camera>/<tracklet>/*.jpg

or several of these in one folder, at any depth, such as a tree for each camera or day:

    <data root>/<...>/<person>/<camera>/<tracklet>/*.jpg

List: <data root>/frames.csv, the only .csv there, or the file that is named; see frame_list.py.

Persons and cameras: where all are whole numbers these are kept (person 0 is a distractor, -1 or 00-1 junk),
else they are numbered 1, 2, ... in sorted order, `distractor` and `junk` apart. A camera folder named
`unknown` stands for an unknown camera. Frames: .jpg, .jpeg, .png, .bmp, .webp in any case,
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
    IMAGE_SUFFIXES,
    check_frames,
    check_root,
    list_folders,
    list_images,
    natural,
    require,
)
from stages.datasets.frame_list import SUBSETS, Draft, read_table
from stages.datasets.times import read_times
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

TRACKED = ("import-mot.json", "*.track.json")  # beside tracklets whose persons are a tracker's ids
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_SPECIAL = {"distractor": DISTRACTOR, "junk": JUNK, "00-1": JUNK}


def load_folder(root: Path | str, check_files: bool = True, frame_list: Path | None = None) -> Dataset:
    """Read a tree or a list. frame_list: relative to the root or absolute.

    Raises KeyReIDError naming file and row, or the folder, that is wrong.
    """
    root = check_root(root, "folder")
    table = _table(root) if frame_list is None else require(root / frame_list, "a list of frames")
    notes: dict[str, str] = {}
    trees = [""] if table is not None else _trees(root)
    tracked = {
        base for base in trees if any(path.match(one) for path in (root / base).iterdir() for one in TRACKED)
    }
    if table is not None:
        drafts = read_table(table)
    else:
        drafts = [draft for base in trees for draft in _read_tree(root, base, notes)]
        if len(trees) > 1:  # two trackers use the same numbers
            for draft in drafts:
                draft.person = next((t for t in tracked if draft.name.startswith(t)), "") + draft.person
        # of trees without subsets, the first half of the persons train
        unnamed = [draft for draft in drafts if not draft.subset]
        persons = sorted({d.person for d in unnamed if not _is_special(d.person)}, key=natural)
        half = set(persons[: len(persons) // 2])
        for draft in unnamed:
            draft.subset = "train" if draft.person in half else "test"
        if unnamed:
            notes["split"] = (
                f"no subsets named: the first {len(half)} persons train, {len(persons) - len(half)} test"
            )
    persons = _numbers((d.person, d.where) for d in drafts)
    cameras = _numbers((d.camera, d.where) for d in drafts if d.camera)
    for kind, numbers in (("persons", persons), ("cameras", cameras)):
        named = [f"{n} = {name}" for name, n in numbers.items() if not _WHOLE.fullmatch(name)]
        if named:
            notes[kind] = "numbered in sorted order: " + ", ".join(named[:5] + ["..."] * (len(named) > 5))
    subsets: dict[str, list[Tracklet]] = {s: [] for s in SUBSETS}
    spans = {f"{base}{name}": span for base in trees for name, span in read_times(root / base).items()}
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
    return Dataset("folder", root, tuple(subsets["train"]), query, gallery, notes=notes, labelled=not tracked)


def _trees(root: Path, base: str = "") -> list[str]:
    """Where the trees in a folder begin: "" for the folder itself, else paths that end in a slash."""
    top, depth = list_folders(root / base), 0
    if any(subset in top for subset in SUBSETS):
        return [base]
    folder = root / base
    while not list_images(folder) and (inner := list_folders(folder)):
        folder, depth = folder / inner[0], depth + 1
    if depth <= 3:
        return [base]
    return [tree for name in _sorted(root / base) for tree in _trees(root, f"{base}{name}/")]


def _table(root: Path) -> Path | None:
    """The list of frames, if the root has one."""
    if (root / "frames.csv").is_file():
        return root / "frames.csv"
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
    if len(tables) > 1:
        way = "name the list of frames with --list, or rename it frames.csv"
        raise KeyReIDError(f"{root}: has {len(tables)} CSV files; {way}")
    return tables[0] if tables else None


def _read_tree(root: Path, base: str, notes: dict[str, str]) -> list[Draft]:
    """The tracklets of a tree, sorted by subset, person, camera, tracklet. base: where it begins."""
    tree = root / base
    top = _sorted(tree)
    named = [s for s in SUBSETS if s in top]
    others = [name for name in top if name not in named]
    if named:
        if others:
            raise KeyReIDError(
                f"{tree / others[0]}: is beside {named[0]}/, but no subset; expected {', '.join(SUBSETS)}"
            )
        return [d for s in named for d in _read_persons(root, f"{base}{s}/", s, _sorted(tree / s), notes)]
    if not others:
        raise KeyReIDError(f"{tree}: holds neither frames.csv nor folders <person>/<camera>/<tracklet>/")
    persons = sorted(others, key=_is_special)
    return list(_read_persons(root, base, "", persons, notes))


def _sorted(folder: Path) -> list[str]:
    return sorted(list_folders(folder), key=natural)


def _is_special(person: str) -> bool:
    return person in _SPECIAL or bool(_WHOLE.fullmatch(person) and int(person) <= DISTRACTOR)


def _read_persons(
    root: Path, prefix: str, subset: str, persons: Iterable[str], notes: dict[str, str]
) -> Iterable[Draft]:
    for person in persons:
        base = f"{prefix}{person}"
        for camera in _children(root, base, "camera"):
            for name in _children(root, f"{base}/{camera}", "tracklet"):
                place = f"{base}/{camera}/{name}"
                frames = sorted(list_images(root / place), key=natural)
                if not frames and list_folders(root / place):
                    raise KeyReIDError(
                        f"{root / place}: folders where frames should be; expected the same depth as of the "
                        "first tracklet, <person>/<camera>/<tracklet>/*.jpg"
                    )
                if not frames:
                    raise KeyReIDError(f"{root / place}: a tracklet without a frame; remove or fill it")
                others = sum(1 for _ in (root / place).iterdir()) - len(frames)
                if others:
                    notes[place] = (
                        f"{others} files that are not images ({', '.join(IMAGE_SUFFIXES)}) are not used"
                    )
                known = "" if camera == "unknown" else camera
                paths = [f"{place}/{f}" for f in frames]
                yield Draft(subset, person, known, place, str(root / place), paths)


def _children(root: Path, place: str, what: str) -> list[str]:
    entries = _sorted(root / place)
    if not entries:
        raise KeyReIDError(
            f"{root / place}: no folder of a {what} in it; expected <person>/<camera>/<tracklet>/*.jpg"
        )
    return entries


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
