"""The check-up finds what is missing, damaged or of the wrong size, and counts as MARS does."""

import json

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import Dataset, Tracklet, load_dataset
from stages.datasets.checkup import (
    STATISTICS,
    check_frame,
    check_frames_all,
    counts,
    known_counts,
    shared_persons,
    without_answer,
)
from tests.stages.datasets.layouts import write_mars

PICTURE = np.random.default_rng(0).integers(0, 255, (256, 128, 3), np.uint8)


@pytest.fixture
def frames(tmp_path):
    for name in ("good.jpg", "good.png", "cut.jpg", "cut.png"):
        cv2.imwrite(str(tmp_path / name), PICTURE)
    cv2.imwrite(str(tmp_path / "small.jpg"), PICTURE[:100])
    for name in ("cut.jpg", "cut.png"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.jpg").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ("good.jpg", None),
        ("good.png", None),
        ("cut.jpg", "unreadable"),
        ("cut.png", "unreadable"),
        ("empty.jpg", "unreadable"),
        ("text.jpg", "unreadable"),
        ("folder.jpg", "unreadable"),
        ("small.jpg", "size"),
        ("absent.jpg", "missing"),
    ],
)
def test_each_kind_of_problem_is_told_apart(frames, frame, kind):
    problem = check_frame(frames, frame, (128, 256))
    assert (problem.kind if problem else None) == kind


def test_all_frames_are_read_in_order_by_several_processes(frames):
    names = ["good.jpg"] * 300 + ["empty.jpg"] + ["good.png"] * 300 + ["absent.jpg"]
    done = list(check_frames_all(frames, names, None, workers=2))
    assert sum(n for n, _ in done) == len(names)
    assert [p.frame for _, some in done for p in some] == ["empty.jpg", "absent.jpg"]


def test_counts_name_what_is_there(tmp_path):
    data = load_dataset("mars", write_mars(tmp_path / "d"))
    found = counts(data)
    assert found["train_persons"] == 2 and found["test_persons"] == 2
    assert found["junk_tracklets"] == 1 and found["distractor_tracklets"] == 1
    assert found["test_frames"] == 21 and found["queries"] == 4
    assert known_counts(data) == STATISTICS["mars"]


def test_official_mars_has_the_known_counts(real_data):
    data = load_dataset("mars", real_data / "mars", check_files=False)
    assert {k: v for k, v in counts(data).items() if k in STATISTICS["mars"]} == STATISTICS["mars"]
    mini = load_dataset("mini-mars", real_data / "mini-mars")
    assert {k: v for k, v in counts(mini).items() if k in STATISTICS["mini-mars"]} == STATISTICS["mini-mars"]


def test_walkers_have_the_counts_they_state(walkers_tiny):
    data = load_dataset("walkers", walkers_tiny)
    known = known_counts(data)
    found = counts(data)
    shared = known.keys() & found.keys()
    assert len(shared) >= 8
    assert {k: found[k] for k in shared} == {k: known[k] for k in shared}


def test_a_count_of_walkers_that_is_no_integer_is_named(walkers_tiny, tmp_path):
    record = json.loads((walkers_tiny / "walkers.json").read_text())
    record["counts"]["queries"] = "12"
    (tmp_path / "walkers.json").write_text(json.dumps(record))
    with pytest.raises(KeyReIDError, match=r"walkers.json: .*counts.queries is '12', expected an integer"):
        known_counts(Dataset("walkers", tmp_path, (), (), ()))


def test_queries_without_a_right_answer_and_shared_persons_are_counted(tmp_path):
    def tracklets(*labels):
        return tuple(Tracklet((f"{i}.jpg",), p, c, f"{p}-{c}-{i}") for i, (p, c) in enumerate(labels))

    query = tracklets((1, 1), (2, 1), (3, 1), (4, None))
    gallery = tracklets((1, 1), (1, 2), (2, 1), (3, None), (4, 1), (0, 2))
    data = Dataset("folder", tmp_path, tracklets((4, 1), (7, 2)), query, gallery)
    assert without_answer(data) == 1  # person 2, whom one camera saw
    assert shared_persons(data) == 1


def test_every_query_of_walkers_has_an_answer(walkers_tiny):
    data = load_dataset("walkers", walkers_tiny)
    assert without_answer(data) == 0 and shared_persons(data) == 0
