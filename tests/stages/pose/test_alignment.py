"""On walkers, whose joints are known: the heat of each visible joint peaks where the joint is."""

import cv2
import numpy as np
import pytest

from cache import PoseCache
from stages.datasets import load_dataset
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose.config import PoseConfig
from stages.pose.extract import run

VISIBLE = 2


def peaks(heat: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """x, y in pixels of the frame of each joint's strongest cell, [N,17,2]."""
    at = heat.reshape(*heat.shape[:2], -1).argmax(-1)
    cells = np.stack([at % 32, at // 32], axis=-1)
    cell = sizes[:, None, ::-1] / np.array([32, 64])
    return (cells + 0.5) * cell - 0.5


def reshaped(root, target, frames, truth, form: str):
    """Frames of other proportions, with their keypoints: cut, set into a wider one, or enlarged."""
    found = []
    for frame, pose in zip(frames, truth, strict=True):
        image, pose = cv2.imread(str(root / frame)), pose.copy()
        if form == "cut":
            image = image[20:230]
            pose[:, 1] -= 20
            pose[(pose[:, 1] < 0) | (pose[:, 1] > 209), 2] = 0
        elif form == "wide":
            image = cv2.copyMakeBorder(image, 0, 0, 12, 20, cv2.BORDER_REPLICATE)
            pose[:, 0] += 12
        elif form == "large":
            image = cv2.resize(image, None, fx=1.75, fy=1.75)
            pose[:, :2] = (pose[:, :2] + 0.5) * 1.75 - 0.5
        path = target / frame
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        found.append(pose)
    return np.array(found)


@pytest.mark.parametrize(
    ("form", "padding", "factor", "flip_test"),
    [
        ("as it is", 1.0, 1, False),
        ("as it is", 1.25, 1, True),
        ("cut", 1.0, 1, False),
        ("wide", 1.0, 1, False),
        ("wide", 1.1, 1, True),
        ("large", 1.1, 1.75, False),
    ],
)
def test_heat_peaks_within_4_pixels_of_the_joint(walkers_tiny, form, padding, factor, flip_test, tmp_path):
    data = load_dataset("walkers", walkers_tiny)
    record = np.load(walkers_tiny / "keypoints.npz", allow_pickle=False)
    keypoints = dict(zip(record["frames"].tolist(), record["keypoints"], strict=True))
    frames = [frame for frame in data.frames() if frame in keypoints][::3][:40]
    truth = reshaped(data.root, tmp_path / "data", frames, [keypoints[frame] for frame in frames], form)
    part = Dataset("part", tmp_path / "data", (), (), (Tracklet(tuple(frames), 1, 1, "all"),))
    config = PoseConfig(estimator="walkers", padding=padding, flip_test=flip_test, workers=1, device="cpu")
    poses = PoseCache.open(run(part, config, tmp_path / "poses")).read(frames)
    visible = truth[..., 2] == VISIBLE
    assert visible.sum() > 200
    away = np.linalg.norm(peaks(poses.heatmaps, poses.frame_size) - truth[..., :2], axis=-1)[visible]
    decoded = np.linalg.norm(poses.keypoints[..., :2] - truth[..., :2], axis=-1)[visible]
    assert np.median(away) <= 4 * factor and np.median(decoded) <= 4 * factor
