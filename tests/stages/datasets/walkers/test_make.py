"""The data set on disk: layout, bytes, reruns, refusals."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.walkers import make
from stages.datasets.walkers.config import WalkersConfig

SMALL = WalkersConfig(
    seed=9, identities=4, cameras=2, tracklets=1, min_frames=2, max_frames=3, distractors=2, junk=1
)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return make.run(SMALL, tmp_path_factory.mktemp("walkers") / "small", workers=1)


def test_the_mars_reader_reads_it(walkers_tiny):
    dataset = load_dataset("walkers", walkers_tiny)
    counts = json.loads((walkers_tiny / "walkers.json").read_text())["counts"]
    assert len(dataset.train) == counts["train_tracklets"] == 4 * 2 * 2
    assert len(dataset.gallery) == counts["test_tracklets"] == 4 * 2 * 2 + 3 + 2
    assert {t.person for t in dataset.train} & {t.person for t in dataset.gallery} == set()
    assert sum(t.person == 0 for t in dataset.gallery) == 3
    assert sum(t.person == -1 for t in dataset.gallery) == 2


def test_queries_are_one_per_person_and_camera(walkers_tiny):
    dataset = load_dataset("walkers", walkers_tiny)
    pairs = [(t.person, t.camera) for t in dataset.query]
    assert len(pairs) == len(set(pairs)) == 4 * 2
    assert min(person for person, _ in pairs) > 0


def test_tables_and_names_are_those_of_mars(walkers_tiny):
    table = scipy.io.loadmat(walkers_tiny / "info" / "tracks_test_info.mat")["track_test_info"]
    names = (walkers_tiny / "info" / "test_name.txt").read_text().split()
    assert table[0, 0] == 1 and table[-1, 1] == len(names)
    assert (table[1:, 0] == table[:-1, 1] + 1).all()
    for first, last, person, camera in table:
        folder = "00-1" if person == -1 else f"{person:04d}"
        for name in names[first - 1 : last]:
            assert name.startswith(f"{folder}C{camera}T")
            assert (walkers_tiny / "bbox_test" / folder / name).is_file()
    assert scipy.io.loadmat(walkers_tiny / "info" / "query_IDX.mat")["query_IDX"].shape == (1, 8)


def test_every_frame_is_128_by_256_and_has_keypoints(small):
    with np.load(small / "keypoints.npz") as stored:
        frames, keypoints = stored["frames"], stored["keypoints"]
    assert sorted(frames) == sorted(str(p.relative_to(small)) for p in small.rglob("*.jpg"))
    assert keypoints.shape == (len(frames), 17, 3) and keypoints.dtype == np.float32
    assert set(np.unique(keypoints[..., 2])) <= {0, 1, 2}
    present = keypoints[keypoints[..., 2] > 0]
    assert (present[:, :2] >= -0.5).all() and (present[:, :2] <= [127.5, 255.5]).all()
    assert all(cv2.imread(str(small / f)).shape == (256, 128, 3) for f in frames)


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(small, tmp_path):
    again = make.run(SMALL, tmp_path / "again", workers=2)
    assert contents(again) == contents(small)


def test_another_seed_gives_other_people(small, tmp_path):
    other = make.run(SMALL.model_copy(update={"seed": 10}), tmp_path / "other")
    mine, theirs = contents(small), contents(other)
    shared = [name for name in mine if name.endswith(".jpg") and name in theirs]
    assert shared and all(mine[name] != theirs[name] for name in shared)


def test_a_second_run_touches_nothing(small):
    before = {p: p.stat().st_mtime_ns for p in small.rglob("*")}
    make.run(SMALL, small, progress=lambda done, total: pytest.fail("drew frames again"))
    assert before == {p: p.stat().st_mtime_ns for p in small.rglob("*")}


def test_a_lost_frame_is_noticed_and_force_makes_the_set_whole(tmp_path):
    root = make.run(SMALL, tmp_path / "set")
    before = contents(root)
    next(root.rglob("*.jpg")).unlink()
    with pytest.raises(KeyReIDError, match=r"incomplete.*--force"):
        make.run(SMALL, root)
    assert contents(make.run(SMALL, root, force=True)) == before


def test_a_different_set_is_replaced_only_by_force_and_other_folders_never(small, tmp_path):
    before = contents(small)
    with pytest.raises(KeyReIDError, match="--force"):
        make.run(SMALL.model_copy(update={"seed": 11}), small)
    assert contents(small) == before
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(KeyReIDError, match="something other than walkers"):
        make.run(SMALL, tmp_path, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_an_interrupted_run_leaves_nothing_that_could_be_trusted(tmp_path):
    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make.run(SMALL, tmp_path / "set", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    config = SMALL.model_copy(update={"look": "clean"})
    return make.run(config, tmp_path_factory.mktemp("walkers") / "clean")


def test_the_clean_look_has_the_bytes_that_it_had_before_there_was_another(clean):
    record = json.loads((clean / "walkers.json").read_text())
    assert record["frames_sha256"] == "984dddb6ed38f8d14cadf639bbcf18a721607cf71969ac7d354db5525c40c7ec"


def test_the_stated_share_of_test_frames_is_occluded_and_recorded(clean):
    record = json.loads((clean / "walkers.json").read_text())
    with (clean / "occluders.csv").open() as file:
        rows = list(csv.DictReader(file))
    frames = [r["frame"] for r in rows if r["frame"].startswith("bbox_test")]
    counts = record["counts"]
    assert len(frames) == len(set(frames)) == counts["test_walker_frames_occluded"]
    wanted = record["config"]["test_occlusion"] * counts["test_walker_frames"]
    assert abs(len(frames) - wanted) <= record["config"]["max_frames"]
    assert {Path(r["frame"]).name.split("F")[0] for r in rows} == set(record["occluded_tracklets"])


def test_joints_behind_an_occluder_are_marked_hidden(walkers_tiny):
    with np.load(walkers_tiny / "keypoints.npz") as stored:
        keypoints = dict(zip(stored["frames"], stored["keypoints"], strict=True))
    checked = 0
    with (walkers_tiny / "occluders.csv").open() as file:
        for row in csv.DictReader(file):
            if row["kind"] == "person":
                continue  # seen between the legs
            left, top, right, bottom = (float(row[k]) for k in ("left", "top", "right", "bottom"))
            ragged = 0.12 * (bottom - top) if row["kind"] == "hedge" else 0.0
            points = keypoints[row["frame"]]
            x, y = points[:, 0], points[:, 1]
            inside = (x > left + 1) & (x < right - 1) & (y > top + 1 + ragged) & (y < bottom - 1)
            assert (points[inside, 2] < 2).all(), row["frame"]
            checked += int((inside & (points[:, 2] > 0)).sum())
    assert checked > 50


def test_the_command_refuses_an_odd_number_of_persons_in_one_line(tmp_path):
    called = subprocess.run(
        [sys.executable, "-m", "pipeline", "synthesize", "-o", str(tmp_path / "set"), "--identities", "5"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert called.returncode == 2
    assert "identities is 5" in called.stderr and called.stderr.count("\n") == 1
