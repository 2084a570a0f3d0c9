"""Names and joints of other tools' pose files are read in every spelling that is in use."""

import json
from pathlib import Path

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.pose import keypoint_files
from stages.pose.keypoint_files import read_poses

FRAMES = ["bbox_test/0002/0002C1T0001F001.jpg", "bbox_test/0002/0002C1T0001F002.jpg"]
POINTS = [5.0, 6.0, 0.9] * 17


def stem(frame):
    return Path(frame).stem


RESULTS = {
    "Ultralytics, stems": [{"image_id": stem(f), "keypoints": POINTS, "score": 0.9} for f in FRAMES],
    "Ultralytics, stems and file names": [
        {"image_id": i, "file_name": Path(f).name, "keypoints": POINTS} for i, f in enumerate(FRAMES)
    ],
    "ids as text and as numbers": {
        "images": [{"id": str(i), "file_name": f} for i, f in enumerate(FRAMES)],
        "annotations": [{"image_id": i, "keypoints": POINTS} for i in range(2)],
    },
}


@pytest.mark.parametrize("content", RESULTS.values(), ids=RESULTS.keys())
def test_names_are_matched_in_every_spelling(tmp_path, content):
    (tmp_path / "poses.json").write_text(json.dumps(content))
    poses = read_poses(tmp_path / "poses.json", None, FRAMES)
    assert list(poses) == FRAMES and poses[FRAMES[0]][3].tolist() == pytest.approx([5, 6, 0.9])


def test_numeric_stems_that_were_written_as_numbers_are_found(tmp_path):
    results = [{"image_id": number, "keypoints": POINTS} for number in (1, 2)]
    (tmp_path / "poses.json").write_text(json.dumps(results))
    assert list(read_poses(tmp_path / "poses.json", None, ["a/000001.jpg", "a/000002.jpg"])) == [
        "a/000001.jpg",
        "a/000002.jpg",
    ]
    with pytest.raises(KeyReIDError, match="image_id 1 is not a file name"):
        read_poses(tmp_path / "poses.json", None, ["a/000001.jpg", "b/000001.jpg"])


def test_the_inferencers_single_folder_serves_where_names_are_unique(tmp_path):
    for frame, x in zip(FRAMES, (5, 7), strict=True):
        person = {"keypoints": [[x, 6]] * 17, "keypoint_scores": [0.9] * 17}
        (tmp_path / f"{stem(frame)}.json").write_text(json.dumps([person]))
    poses = read_poses(tmp_path, None, FRAMES)
    assert [poses[frame][0, 0] for frame in FRAMES] == [5, 7]
    assert read_poses(tmp_path, None, [FRAMES[0], FRAMES[0].replace("0002/", "0003/")]) == {}


MIXED = {
    "paths of two folders": [{"image_id": f"{f}/1.jpg", "keypoints": POINTS} for f in ("a", "x/a")],
    "a path and a bare name": [{"image_id": n, "keypoints": POINTS} for n in ("1.jpg", "a/1.jpg")],
    "two images of one name": {
        "images": [{"id": i, "file_name": "1.jpg"} for i in (1, 2)],
        "annotations": [{"image_id": i, "keypoints": POINTS} for i in (1, 2)],
    },
}


@pytest.mark.parametrize("content", MIXED.values(), ids=MIXED.keys())
def test_images_that_could_be_the_same_frame_are_not_mixed(tmp_path, content):
    (tmp_path / "poses.json").write_text(json.dumps(content))
    with pytest.raises(KeyReIDError, match=r"could both be the frame a/1\.jpg; give names with"):
        read_poses(tmp_path / "poses.json", None, ["a/1.jpg", "b/2.jpg"])


def test_a_name_of_another_folder_is_not_a_frames(tmp_path):
    content = [{"image_id": n, "keypoints": POINTS} for n in ("a/1.jpg", "b/2.jpg", "c/1.jpg")]
    (tmp_path / "poses.json").write_text(json.dumps(content))
    assert list(read_poses(tmp_path / "poses.json", None, ["a/1.jpg", "a/2.jpg"])) == ["a/1.jpg"]


@pytest.mark.parametrize("joints", [17, 26, 133, 136])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("columns", [2, 3])
def test_formats_that_begin_with_cocos_joints_are_read_with_or_without_scores(
    tmp_path, joints, nested, columns
):
    values = np.arange(joints * columns, dtype=float).reshape(joints, columns)
    keypoints = values.tolist() if nested else values.ravel().tolist()
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": "a.jpg", "keypoints": keypoints}]))
    pose = read_poses(tmp_path / "poses.json", None, ["a.jpg"])["a.jpg"]
    assert np.array_equal(pose[:, :2], values[:17, :2])
    assert np.array_equal(pose[:, 2], values[:17, 2] if columns == 3 else np.ones(17))


def test_a_joint_at_the_origin_without_a_score_was_not_found(tmp_path):
    points = [0.0, 0.0, *[5.0, 6.0] * 16]
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": "a.jpg", "keypoints": points}]))
    assert read_poses(tmp_path / "poses.json", None, ["a.jpg"])["a.jpg"][:2, 2].tolist() == [0, 1]


@pytest.mark.parametrize("joints", [16, 18, 25])
def test_other_formats_are_refused_with_their_number_and_the_known_ones(tmp_path, joints):
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": "a.jpg", "keypoints": [1.0] * joints * 3}]))
    with pytest.raises(KeyReIDError, match=rf"{joints} joints of 3 .*17 \(COCO\).*133 \(COCO-WholeBody\)"):
        read_poses(tmp_path / "poses.json", None, ["a.jpg"])


@pytest.mark.parametrize("key", ["names", "frames"])
def test_arrays_are_read_by_name(tmp_path, key):
    names = ["query/b.jpg", "elsewhere/c.jpg", "query/a.jpg"]
    keypoints = np.arange(3 * 17 * 3, dtype=np.float32).reshape(3, 17, 3)
    np.savez(tmp_path / "keypoints.npz", **{key: np.array(names), "keypoints": keypoints})
    poses = read_poses(tmp_path / "keypoints.npz", None, ["Market/query/a.jpg", "Market/query/b.jpg"])
    assert np.array_equal(poses["Market/query/a.jpg"], keypoints[2])
    assert np.array_equal(poses["Market/query/b.jpg"], keypoints[0]) and len(poses) == 2


def test_arrays_that_are_something_else_are_named(tmp_path):
    path = tmp_path / "keypoints.npz"
    with pytest.raises(KeyReIDError, match=r"keypoints\.npz: missing"):
        read_poses(path, None, FRAMES)
    path.write_bytes(b"no archive")
    with pytest.raises(KeyReIDError, match=r"keypoints\.npz: not arrays of names and keypoints"):
        read_poses(path, None, FRAMES)
    for wrong in (
        {"names": np.array(["a"])},
        {"names": np.array(["a"], object), "keypoints": np.zeros((1, 17, 3))},
        {"names": np.array(["a"]), "keypoints": np.zeros((2, 17, 3))},
        {"names": np.array(["a"]), "keypoints": np.zeros((1, 16, 3))},
        {"names": np.array([1]), "keypoints": np.zeros((1, 17, 3))},
    ):
        np.savez(path, **wrong)
        with pytest.raises(KeyReIDError, match=r"keypoints\.npz"):
            read_poses(path, None, ["a"])


ROW = {"names": np.array(["a"]), "keypoints": np.ones((1, 17, 3))}


@pytest.mark.parametrize(
    "wrong",
    [
        ROW | {"more": np.zeros(10**6)},
        ROW | {"keypoints": np.ones((1, 0, 3))},
        ROW | {"keypoints": np.array([[["a"] * 3] * 17])},
    ],
    ids=["too large", "no joints", "words"],
)
def test_arrays_are_refused_by_what_they_claim(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(keypoint_files, "MOST", 10**6)
    path = tmp_path / "keypoints.npz"
    np.savez_compressed(path, **ROW)
    assert list(read_poses(path, None, ["a"])) == ["a"]
    np.savez_compressed(path, **wrong)
    assert path.stat().st_size < 20_000
    with pytest.raises(
        KeyReIDError, match=r"keypoints\.npz: (not arrays .*0\.0 GB of arrays.*split it|names)"
    ):
        read_poses(path, None, ["a"])


def test_names_of_other_frames_are_shown_beside_one_of_the_data_set(tmp_path):
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": "x/1.jpg", "keypoints": POINTS}]))
    with pytest.raises(KeyReIDError, match=r"first: x/1\.jpg; a frame here: y/1\.jpg"):
        read_poses(tmp_path / "poses.json", None, ["y/1.jpg"])
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": "1.jpg", "keypoints": POINTS}]))
    with pytest.raises(KeyReIDError, match="2 frames have that name: give names with their folders"):
        read_poses(tmp_path / "poses.json", None, ["y/1.jpg", "z/1.jpg"])
