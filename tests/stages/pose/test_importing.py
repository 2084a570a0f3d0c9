"""Poses of others become heat at their keypoints, whatever file they come in."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.verify import verify
from pipeline.cli import keyreid
from stages.pose.importing import ImportConfig, gaussians, run
from tests.stages.pose.tiny import write_frames


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("import"), tracklets=2, length=3, size=(48, 96))


@pytest.fixture(scope="module")
def poses(data) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    spots = rng.uniform((2, 2, 0.2), (46, 94, 1.0), (len(data.frames()), 17, 3))
    return dict(zip(data.frames(), spots.round(2), strict=True))


def coco(poses) -> dict:
    names = {frame: number for number, frame in enumerate(poses)}
    return {
        "images": [{"id": number, "file_name": frame} for frame, number in names.items()],
        "annotations": [
            {"image_id": names[frame], "keypoints": pose.ravel().tolist(), "category_id": 1}
            for frame, pose in poses.items()
        ],
    }


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def as_coco(poses, folder):
    return ImportConfig(poses=write(folder / "coco.json", coco(poses)))


def as_results_with_numbers(poses, folder):
    whole = coco(poses)
    results = [{**entry, "score": 0.9} for entry in whole["annotations"]]
    images = write(folder / "images.json", {"images": whole["images"], "annotations": []})
    return ImportConfig(poses=write(folder / "results.json", results), images=images)


def as_alphapose(poses, folder):
    """File names without folders, several persons in a frame: the best one counts."""
    results = []
    for frame, pose in poses.items():
        name = frame.rpartition("/")[2]
        for score, points in ((2.5, pose), (0.3, pose * 0.5)):
            results.append({"image_id": name, "keypoints": points.ravel().tolist(), "score": score})
    return ImportConfig(poses=write(folder / "alphapose-results.json", results))


def as_released_pose_files(poses, folder):
    for frame, pose in poses.items():
        write((folder / "poses" / frame).with_suffix(".pose"), pose.tolist())
    return ImportConfig(poses=folder / "poses")


def as_openpifpaf_files(poses, folder):
    for frame, pose in poses.items():
        persons = [
            {"keypoints": (pose * 0.5).ravel().tolist(), "score": 0.2, "bbox": [0, 0, 1, 1]},
            {"keypoints": pose.ravel().tolist(), "score": 0.8, "bbox": [0, 0, 1, 1]},
        ]
        write(folder / "poses" / f"{frame}.predictions.json", persons)
    return ImportConfig(poses=folder / "poses")


def as_mmpose_inferencer_files(poses, folder):
    for frame, pose in poses.items():
        person = {"keypoints": pose[:, :2].tolist(), "keypoint_scores": pose[:, 2].tolist()}
        write((folder / "poses" / frame).with_suffix(".json"), [[person]])
    return ImportConfig(poses=folder / "poses")


def as_mmpose_demo_files(poses, folder):
    for frame, pose in poses.items():
        person = {"keypoints": pose[:, :2].tolist(), "keypoint_scores": pose[:, 2].tolist()}
        content = {"meta_info": {"dataset_name": "coco"}, "instance_info": [person]}
        write((folder / "poses" / frame).with_suffix(".json"), content)
    return ImportConfig(poses=folder / "poses")


FORMATS = [
    as_mmpose_demo_files,
    as_coco,
    as_results_with_numbers,
    as_alphapose,
    as_released_pose_files,
    as_openpifpaf_files,
    as_mmpose_inferencer_files,
]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
def test_every_format_gives_the_same_poses(form, data, poses, tmp_path):
    folder = run(data, form(poses, tmp_path), tmp_path / "cache")
    cache = PoseCache.open(folder)
    read = cache.read(data.frames())
    assert np.allclose(read.keypoints, list(poses.values()), atol=1e-4)
    assert (read.frame_size == [96, 48]).all() and verify(folder) == []
    assert cache.info.estimator == "imported" and cache.info.parts["settings"]["sigma"] == 2.0
    peaks = read.heatmaps.reshape(6, 17, -1).argmax(-1)
    spots = np.stack([(peaks % 32 + 0.5) * 48 / 32 - 0.5, (peaks // 32 + 0.5) * 96 / 64 - 0.5], axis=-1)
    assert np.abs(spots - read.keypoints[..., :2]).max() <= 0.8


def test_heat_is_a_gaussian_that_is_round_in_the_frame():
    keypoints = np.tile(np.array([[24.0, 47.5, 0.9]]), (17, 1))
    keypoints[1, 2] = 0.1
    keypoints[2, 0] = 48.0
    heat = gaussians(keypoints, np.array([96, 48]), sigma=2.0, min_score=0.1)
    x = (np.arange(32) + 0.5) * 1.5 - 0.5
    y = (np.arange(64) + 0.5) * 1.5 - 0.5
    distance = (x[None, :] - 24) ** 2 + (y[:, None] - 47.5) ** 2
    assert np.allclose(heat[0], np.exp(-distance / (2 * 3.0**2)), atol=1e-6)
    assert not heat[1].any(), "a score of min_score is not more than it"
    assert not heat[2].any(), "a joint outside the frame"


def test_frames_without_a_pose_stop_or_are_given_zero_heat(data, poses, tmp_path):
    lost = list(poses)[2]
    source = as_coco({f: p for f, p in poses.items() if f != lost}, tmp_path)
    with pytest.raises(KeyReIDError, match=rf"no pose for 1 of 6 frames \({lost}\).*--on-missing zero"):
        run(data, source, tmp_path / "cache")
    folder = run(data, source.model_copy(update={"on_missing": "zero"}), tmp_path / "cache")
    cache = PoseCache.open(folder)
    assert not cache.read_heatmaps([lost]).any() and cache.read_heatmaps([list(poses)[1]]).any()
    assert cache.info.parts["settings"]["without_pose"] == 1


def test_a_damaged_cache_of_imported_poses_is_imported_again(data, poses, tmp_path):
    folder = run(data, as_coco(poses, tmp_path), tmp_path / "cache")
    (folder / "manifest.json").unlink()
    with pytest.raises(KeyReIDError, match="run the import-poses command again"):
        PoseCache.open(folder)
    result = CliRunner().invoke(keyreid, ["cache", "verify", str(folder)])
    assert "run the import-poses command again to repair it" in str(result.exception)


def test_other_poses_or_another_sigma_are_noticed(data, poses, tmp_path):
    folder = run(data, as_coco(poses, tmp_path), tmp_path / "cache")
    moved = {frame: pose + 0.5 for frame, pose in poses.items()}
    with pytest.raises(KeyReIDError, match=r"made with different settings \(weights"):
        run(data, as_coco(moved, tmp_path / "b"), folder)
    wider = as_coco(poses, tmp_path).model_copy(update={"sigma": 3.0})
    with pytest.raises(KeyReIDError, match=r"settings.sigma: 2.0 -> 3.0"):
        run(data, wider, folder)
    run(data, wider.model_copy(update={"force": True}), folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON of poses"),
        ("3", "no list of poses"),
        ('[{"keypoints": []}]', "entry 0 has no image_id"),
        ('[{"image_id": 7, "keypoints": []}]', "give the COCO file with the list of images with --images"),
        ('[{"image_id": "stranger.jpg", "keypoints": []}]', "none of its images is a frame"),
        ('{"annotations": []}', "not a list of images"),
    ],
)
def test_files_that_are_no_poses_are_named(content, words, data, tmp_path):
    (tmp_path / "poses.json").write_text(content)
    with pytest.raises(KeyReIDError, match=words) as error:
        run(data, ImportConfig(poses=tmp_path / "poses.json"), tmp_path / "cache")
    assert str(tmp_path / "poses.json") in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        {"meta_info": {}, "instance_info": [{"frame_id": 1, "instances": []}]},  # of a video
        {"people": []},
        [{"bbox": [0, 0, 1, 1]}],
    ],
)
def test_a_frames_file_without_keypoints_is_named(content, data, tmp_path):
    path = write((tmp_path / "poses" / data.frames()[0]).with_suffix(".json"), content)
    with pytest.raises(KeyReIDError, match="no keypoints in its content") as error:
        run(data, ImportConfig(poses=tmp_path / "poses"), tmp_path / "cache")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keypoints", [[1, 2, 3], [float("nan")] * 51, ["a"] * 51, None])
def test_keypoints_that_are_none_are_named_with_their_frame(keypoints, data, tmp_path):
    frame = data.frames()[0]
    write(tmp_path / "poses.json", [{"image_id": frame, "keypoints": keypoints}])
    with pytest.raises(KeyReIDError, match=frame):
        run(data, ImportConfig(poses=tmp_path / "poses.json"), tmp_path / "cache")
