"""MARS, and every data set in its layout (mini-mars, walkers).

Reference: Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-Identification", ECCV 2016.
Metadata: the authors' MARS-evaluation repository, folder `info`.

Statistics: 1,261 identities, 6 cameras, frames of 128x256. Train: 625 identities, 8,298 tracklets,
509,914 frames. Test: 636 labels (634 identities, distractors 0, junk -1), 12,180 tracklets, 681,089
frames, among them 1,980 queries of 626 identities, 870 junk and 3,248 distractor tracklets.

    <data root>/
      bbox_train/0001/0001C1T0001F001.jpg      person 0001, camera 1, tracklet 0001, frame 001
      bbox_test/00-1/00-1C1T0001F001.jpg       junk; 0000 is the distractors' folder
      info/train_name.txt, test_name.txt       one frame name per line (LF or CRLF)
      info/tracks_train_info.mat               track_train_info [n, 4]: first, last line (1-based, both
      info/tracks_test_info.mat                track_test_info  [n, 4]  included), person, camera
      info/query_IDX.mat                       query_IDX: 1-based rows of track_test_info
      times.tsv                                when each was filmed (stages.datasets.times), if known
"""

import operator
import re
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.files import check_frames, check_root, read_matrix, read_text, require
from stages.datasets.times import Span, read_times
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

LAYOUT = (
    "bbox_train/, bbox_test/ and info/ with train_name.txt, test_name.txt, tracks_train_info.mat, "
    "tracks_test_info.mat, query_IDX.mat"
)
FRAME_SIZE = (128, 256)
# Possessive: a name that does not match is found in one pass.
_ONE = r"(?:\d{4}|00-1)C\dT\d{4,}+F\d{3,}+\.(?:jpe?g|png)"
_NAME = re.compile(_ONE, re.IGNORECASE | re.ASCII)
_NAMES = re.compile(rf"(?:{_ONE}\n)*+", re.IGNORECASE | re.ASCII)
_PREFIX = len("0001C1")  # person and camera


def load_mars(root: Path | str, name: str = "mars", check_files: bool = True) -> Dataset:
    """Read a data set in MARS layout. The gallery holds every test tracklet, queries and junk too.

    check_files: also check that every listed frame exists (off: metadata alone is enough).
    Raises KeyReIDError naming file and row of the first error.
    """
    root = check_root(root, name)
    info = require(root / "info", LAYOUT, folder=True)
    spans = read_times(root)
    train, train_left = _read_subset(root, info, "train", spans)
    gallery, test_left = _read_subset(root, info, "test", spans)
    query = tuple(gallery[i] for i in _query_rows(info, gallery))
    if check_files:
        for folder in ("bbox_train", "bbox_test"):
            require(root / folder, LAYOUT, folder=True)
        check_frames(root, chain.from_iterable(t.frames for t in (*train, *gallery)), name)
    notes = {
        f"{subset}_name.txt": f"{left} listed frames belong to no tracklet and are not used"
        for subset, left in (("train", train_left), ("test", test_left))
        if left
    }
    return Dataset(name, root, train, query, gallery, frame_size=FRAME_SIZE, notes=notes)


def _read_subset(
    root: Path, info: Path, subset: str, spans: dict[str, Span]
) -> tuple[tuple[Tracklet, ...], int]:
    """The tracklets of `train` or `test`, and how many listed frames belong to none."""
    name_file = require(info / f"{subset}_name.txt", LAYOUT)
    info_file = require(info / f"tracks_{subset}_info.mat", LAYOUT)
    names = _read_names(name_file)
    rows = read_matrix(info_file, f"track_{subset}_info", columns=4)
    _check_rows(rows, len(names), info_file, name_file)
    # One string per frame is what 1.2 million frames cost; the folder repeats the person.
    folder = f"bbox_{subset}/"
    paths = [f"{folder}{n[:4]}/{n}" for n in names]
    skip = len(folder) + 5
    tracklets = []
    for number, (first, last, person, camera) in enumerate(rows.tolist(), start=1):
        frames = tuple(paths[first - 1 : last])
        label = "00-1" if person == JUNK else f"{person:04d}"
        prefix = f"{label}C{camera}"
        # Whatever lies between the smallest and the largest name shares their common beginning.
        low, high = min(frames)[skip:], max(frames)[skip:]
        if low[:_PREFIX].upper() != prefix or high[:_PREFIX].upper() != prefix:
            bad = next(f for f in frames if f[skip : skip + _PREFIX].upper() != prefix)
            raise KeyReIDError(
                f"{info_file}, row {number}: says person {person}, camera {camera}, but frame "
                f"{bad[skip:]!r} ({name_file.name}, line {first + frames.index(bad)}) disagrees; "
                "all frames of a row must be of its person and camera"
            )
        stem = frames[0][skip:].rpartition(".")[0]
        name = f"{subset}/{stem}"
        tracklets.append(Tracklet(frames, person, camera, name, spans.get(name)))
    used = int((rows[:, 1] - rows[:, 0] + 1).sum())
    return tuple(tracklets), len(names) - used


def _read_names(path: Path) -> list[str]:
    """The frame names of a list, checked; blank lines at the end are allowed."""
    text = read_text(path).replace("\r\n", "\n").rstrip("\n")
    names = text.split("\n")
    if not _NAMES.fullmatch(text + "\n"):
        row = next(i for i, n in enumerate(names) if not _NAME.fullmatch(n))
        raise KeyReIDError(
            f"{path}, line {row + 1}: {names[row][:80]!r} is not a MARS frame name; expected a bare file "
            "name like 0001C1T0001F001.jpg (person, camera, tracklet, frame)"
        )
    in_order = sorted(names)  # a list that is in order already, as the official ones are, sorts in no time
    if any(map(operator.eq, in_order, in_order[1:])):
        seen: set[str] = set()
        row = next(i for i, n in enumerate(names) if n in seen or seen.add(n))
        raise KeyReIDError(f"{path}, line {row + 1}: {names[row]!r} is listed twice; list it once")
    stems = [name.rpartition(".")[0] for name in in_order]  # in order still
    if any(map(operator.eq, stems, stems[1:])):
        at = next(i for i, (one, two) in enumerate(pairwise(stems)) if one == two)
        raise KeyReIDError(
            f"{path}: {in_order[at]!r} and {in_order[at + 1]!r} differ in their ending alone; expected one "
            "frame of each name, as tracklets are named by it"
        )
    return names


def _check_rows(rows: np.ndarray, frames: int, info_file: Path, name_file: Path) -> None:
    """Rows must be non-empty, inside the name list, apart from one another, with possible labels."""
    first, last, person, camera = rows.T
    for wrong, problem in (
        ((first < 1) | (np.maximum(first, last) > frames), f"leaves the {frames} lines of {name_file.name}"),
        (first > last, "holds no frame"),
        ((person < JUNK) | (person > 9999), "has a person outside -1..9999 (0 distractor, -1 junk)"),
        ((camera < 1) | (camera > 9), "has a camera outside 1..9"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise KeyReIDError(
                f"{info_file}, row {row + 1}: {rows[row].tolist()} {problem}; "
                "expected first line, last line (1-based, both included), person, camera"
            )
    order = np.argsort(first, kind="stable")
    overlap = first[order][1:] <= last[order][:-1]
    if overlap.any():
        at = int(np.argmax(overlap))
        raise KeyReIDError(
            f"{info_file}, row {order[at + 1] + 1}: {rows[order[at + 1]].tolist()} shares frames with row "
            f"{order[at] + 1}; a frame belongs to one tracklet"
        )


def _query_rows(info: Path, gallery: tuple[Tracklet, ...]) -> list[int]:
    """0-based rows of the queries among the test tracklets."""
    path = require(info / "query_IDX.mat", LAYOUT)
    rows = read_matrix(path, "query_IDX")
    for position, row in enumerate(rows.tolist(), start=1):
        if not 1 <= row <= len(gallery):
            raise KeyReIDError(
                f"{path}, entry {position}: row {row} is outside the {len(gallery)} test tracklets; "
                "expected 1-based rows of tracks_test_info.mat"
            )
        if gallery[row - 1].person <= DISTRACTOR:
            raise KeyReIDError(
                f"{path}, entry {position}: row {row} is junk or a distractor (person "
                f"{gallery[row - 1].person}); a query must be an identity"
            )
    if len(np.unique(rows)) != len(rows):
        raise KeyReIDError(f"{path}: a query is listed twice; every row may be named once")
    return (rows - 1).tolist()
