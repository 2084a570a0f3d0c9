"""Fitting a pose network on photographs: which frames, which joints, and where they lie."""

import json
import shutil

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.pose import fit
from stages.pose.fit_data import HIDDEN, SEEN, UNKNOWN, augment
from stages.pose.fit_photos import photo_pool, photo_pools, visibilities

TINY = fit.FitConfig(frames=60, held_out=50, steps=2, batch_size=4, warmup=1, workers=1, seen_score=2)


@pytest.fixture(scope="module")
def keypoints(walkers_tiny):
    return walkers_tiny / "keypoints.npz"  # its visibility 2, seen, serves as a score


def test_a_joint_is_seen_hidden_or_unknown_by_its_score():
    pose = np.array([[5, 5, 0.9], [5, 5, 0.3], [5, 5, 0.2], [5, 5, 0.1], [5, 5, 0.05], [64, 5, 0.9]])
    found = visibilities(pose, (64, 128), (0.3, 0.1))
    assert found.tolist() == [SEEN, SEEN, UNKNOWN, UNKNOWN, HIDDEN, HIDDEN]


def test_frames_of_any_size_and_their_joints_share_one_scale(tmp_path):
    image = np.zeros((256, 64, 3), np.uint8)
    image[200:208, 16:20] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pose = np.tile([17.5, 203.5, 0.9], (17, 1)).astype(np.float32)
    pool = photo_pool(tmp_path, ["a.png"], {"a.png": pose}, (64, 128), (0.3, 0.1))
    rows, columns = np.nonzero(pool.frames[0].sum(-1) > 300)
    assert pool.frames.shape == (1, 128, 64, 3)
    assert pool.keypoints[0, 0].tolist() == pytest.approx([columns.mean(), rows.mean(), SEEN], abs=0.01)


def test_training_persons_teach_and_test_persons_score(walkers_tiny, keypoints):
    data = load_dataset("walkers", walkers_tiny)
    everything = photo_pools(data, keypoints, (16, 32), (10**6, 10**6), (2, 1), 0)
    strangers = sum(len(t.frames) for t in data.test_tracklets() if t.person < 1)
    assert len(everything[0].frames) == sum(len(t.frames) for t in data.train)
    assert len(everything[1].frames) == sum(len(t.frames) for t in data.test_tracklets()) - strangers
    for seed, same in ((0, True), (1, False)):
        few = [photo_pools(data, keypoints, (16, 32), (48, 48), (2, 1), s)[0].keypoints for s in (0, seed)]
        assert np.array_equal(*few) == same and len(few[0]) == 48


def test_nothing_is_asked_of_unknown_joints():
    codec = fit.build_network(fit.load_spec("walkers")).head.decoder
    points = np.zeros((1, 17, 3), np.float32)
    points[0, :3, 2] = [SEEN, HIDDEN, UNKNOWN]
    assert fit.targets(codec, points, hidden_weight=0.5)[1][0, :3].tolist() == [1, 0.5, 0]
    frame = np.zeros((128, 64, 3), np.uint8)
    points[0] = [30, 60, UNKNOWN]
    for seed in range(20):  # unknown stays unknown, or leaves the frame
        assert set(augment(np.random.default_rng(seed), frame, points[0])[1][:, 2]) <= {UNKNOWN, 0}


def test_a_network_is_fitted_on_photographs_and_its_record_says_so(walkers_tiny, keypoints, tmp_path):
    more = {"keypoints": keypoints, "dataset": "walkers", "data_root": walkers_tiny}
    path = fit.run(TINY.model_copy(update=more), tmp_path)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["held_out_frames"] == 50 and "look" not in record
    assert 0 <= record["pck_0.05_held_out"] <= record["pck_0.1_held_out"] <= 1
    assert len(record["keypoints_sha256"]) == 64 and "--dataset walkers" in record["command"]


def test_frames_are_those_of_the_list_that_is_named(walkers_tiny, keypoints, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(walkers_tiny, root)
    data = load_dataset("walkers", root)
    tests = [t for t in data.test_tracklets() if t.person > 0][1:]
    rows = [f"{f},{t.person},{t.camera},{t.name},train" for t in data.train[:-1] for f in t.frames]
    rows += [f"{f},{t.person},{t.camera},{t.name},test" for t in tests for f in t.frames]
    (root / "mine.csv").write_text("\n".join(["frame,person,camera,tracklet,subset", *rows]))
    given = {"keypoints": keypoints, "dataset": "folder", "data_root": root, "list": "mine.csv"}
    config = fit.FitConfig(frames=10**6, held_out=10**6, seen_score=2, hidden_score=1, **given)
    pools = fit.make_pools(config, (16, 32))
    assert len(pools[0].frames) == sum(len(t.frames) for t in data.train[:-1])
    assert len(pools[1].frames) == sum(len(t.frames) for t in tests)


def test_keypoints_without_their_frames_are_an_error(walkers_tiny, keypoints, tmp_path):
    with pytest.raises(KeyReIDError, match="--dataset NAME --data-root PATH"):
        fit.make_pools(TINY.model_copy(update={"keypoints": keypoints}), (64, 128))
    data = load_dataset("walkers", walkers_tiny)
    np.savez(
        tmp_path / "few.npz",
        names=np.array(data.frames()[:5]),
        keypoints=np.ones((5, 17, 3)),
    )
    with pytest.raises(KeyReIDError, match=r"few\.npz: has keypoints for \d training frames of walkers"):
        photo_pools(data, tmp_path / "few.npz", (64, 128), (100, 100), (0.3, 0.1), 0)
