"""The check-up of a data set: its counts against the known ones, and every frame read once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib

from cache.border import reading
from cache.files import write_whole
from cache.text_files import load_json
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset
from stages.frame_file import FrameError, decoder_warning, load, pixels
from stages.interrupts import workers_unaware

_CHUNK = 256  # frames per task

# Counts of the papers and the official files, by name and variant; mini-mars as published with the test data,
# sequences of Market-1501 as counted in its files.
STATISTICS: dict[str, dict[str, int]] = {
    "mars": {
        "train_persons": 625,
        "train_tracklets": 8298,
        "train_frames": 509914,
        "test_persons": 634,
        "test_tracklets": 12180,
        "test_frames": 681089,
        "queries": 1980,
        "query_persons": 626,
        "distractor_tracklets": 3248,
        "junk_tracklets": 870,
        "cameras": 6,
    },
    "mini-mars": {
        "train_persons": 3,
        "train_tracklets": 12,
        "train_frames": 287,
        "test_persons": 3,
        "test_tracklets": 12,
        "test_frames": 214,
        "queries": 6,
        "cameras": 2,
    },
    "ilids-vid": {
        "train_persons": 150,
        "train_tracklets": 300,
        "test_persons": 150,
        "test_tracklets": 300,
        "queries": 150,
        "cameras": 2,
        "splits": 10,
    },
    "market1501/image": {
        "train_persons": 751,
        "train_tracklets": 12936,
        "train_frames": 12936,
        "test_persons": 750,
        "test_tracklets": 3368 + 19732,
        "test_frames": 3368 + 19732,
        "queries": 3368,
        "query_persons": 750,
        "distractor_tracklets": 2798,
        "junk_tracklets": 3819,
        "cameras": 6,
    },
    "market1501/sequence": {
        "train_persons": 751,
        "train_tracklets": 3541,
        "train_frames": 12936,
        "test_persons": 750,
        "test_tracklets": 10235,
        "test_frames": 19732,
        "queries": 3354,
        "query_persons": 750,
        "distractor_tracklets": 2798,
        "junk_tracklets": 3819,
        "cameras": 6,
    },
    "cuhk03/labeled/image": {
        "train_persons": 767,
        "train_tracklets": 7368,
        "test_persons": 700,
        "test_tracklets": 1400 + 5328,
        "queries": 1400,
        "query_persons": 700,
        "cameras": 2,
    },
    "cuhk03/detected/image": {
        "train_persons": 767,
        "train_tracklets": 7365,
        "test_persons": 700,
        "test_tracklets": 1400 + 5332,
        "queries": 1400,
        "query_persons": 700,
        "cameras": 2,
    },
    "prid2011": {
        "train_persons": 89,
        "train_tracklets": 178,
        "test_persons": 89,
        "test_tracklets": 178,
        "queries": 89,
        "cameras": 2,
        "splits": 10,
    },
}


def counts(dataset: Dataset) -> dict[str, int]:
    """Counts of the data set; persons without junk and distractors."""
    test = dataset.test_tracklets()
    return {
        "train_persons": len({t.person for t in dataset.train if t.person > DISTRACTOR}),
        "train_tracklets": len(dataset.train),
        "train_frames": sum(len(t.frames) for t in dataset.train),
        "test_persons": len({t.person for t in test if t.person > DISTRACTOR}),
        "test_tracklets": len(test),
        "test_frames": sum(len(t.frames) for t in test),
        "queries": len(dataset.query),
        "query_persons": len({t.person for t in dataset.query}),
        "distractor_tracklets": sum(t.person == DISTRACTOR for t in test),
        "junk_tracklets": sum(t.person == JUNK for t in test),
        "cameras": len(dataset.cameras()),
        "splits": dataset.splits,
    }


def known_counts(dataset: Dataset) -> dict[str, int]:
    """Counts that the data set should have, as far as they are known; walkers record their own."""
    if dataset.name == "walkers":
        path = dataset.root / "walkers.json"
        if not path.is_file():
            return {}
        with reading(path, "a record of walkers", "make the data set again with keyreid synthesize"):
            found = load_json(path)["counts"]
            found.pop("test_occlusion", None)  # a share
            wrong = [name for name, value in found.items() if type(value) is not int]
            if wrong:
                raise ValueError(f"counts.{wrong[0]} is {found[wrong[0]]!r}, expected an integer")
            return found
    return STATISTICS.get("/".join(filter(None, (dataset.name, dataset.variant))), {})


def without_answer(dataset: Dataset) -> int:
    """Number of queries without a right answer: no gallery tracklet of the person by another camera.

    Tracklets of an unknown camera count as by another one.
    """
    cameras: dict[int, set[int | None]] = {}
    for tracklet in dataset.gallery:
        cameras.setdefault(tracklet.person, set()).add(tracklet.camera)
    return sum(
        not any(c is None or q.camera is None or c != q.camera for c in cameras.get(q.person, ()))
        for q in dataset.query
    )


def shared_persons(dataset: Dataset) -> int:
    """Number of persons in both train and test."""
    test = {t.person for t in dataset.test_tracklets() if t.person > DISTRACTOR}
    return len({t.person for t in dataset.train} & test)


@dataclass(frozen=True)
class FrameProblem:
    """kind: missing, unreadable, size, or warning of the decoder. detail: what is wrong with the frame."""

    frame: str
    kind: str
    detail: str


def check_frame(root: Path, frame: str, size: tuple[int, int] | None) -> FrameProblem | None:
    """Read one frame whole. size: (width, height) it should have, or None."""
    try:
        data = load(root / frame)
        height, width = pixels(root / frame, data).shape[:2]
    except FrameError as error:
        return FrameProblem(frame, "missing" if error.missing else "unreadable", error.reason)
    if size is not None and (width, height) != tuple(size):
        return FrameProblem(frame, "size", f"{width}x{height}, expected {size[0]}x{size[1]}")
    warning = decoder_warning(data)
    return FrameProblem(frame, "warning", warning) if warning else None


def _check_chunk(
    root: Path, frames: Sequence[str], size: tuple[int, int] | None
) -> tuple[int, list[FrameProblem]]:
    checked = (check_frame(root, frame, size) for frame in frames)
    return len(frames), [problem for problem in checked if problem is not None]


def check_frames_all(
    root: Path, frames: Sequence[str], size: tuple[int, int] | None = None, workers: int = 1
) -> Iterator[tuple[int, list[FrameProblem]]]:
    """Read every frame in `workers` processes; yields (frames of a chunk, its problems), in order."""
    chunks = (frames[i : i + _CHUNK] for i in range(0, len(frames), _CHUNK))
    jobs = (joblib.delayed(_check_chunk)(root, chunk, size) for chunk in chunks)
    workers = max(min(workers, -(-len(frames) // _CHUNK)), 1)  # a process takes seconds to start
    with workers_unaware():
        yield from joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)


def write_problems(path: Path, problems: Sequence[FrameProblem]) -> None:
    """All problems as JSON lines: frame, kind, detail."""
    write_whole(path, "".join(json.dumps(vars(p)) + "\n" for p in problems).encode())
