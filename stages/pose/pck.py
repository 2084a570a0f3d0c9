"""PCK: the share of joints that are found near enough."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.border import reading
from stages.frame_file import read_picture

THRESHOLD = 0.05  # of the frame height


@dataclass(frozen=True)
class PCK:
    """share: of all counted joints; per_joint: [17], NaN where none counted; joints: how many counted."""

    share: float
    per_joint: np.ndarray
    joints: int
    frames: int


def pck(predicted: np.ndarray, true: np.ndarray, height: float, threshold: float = THRESHOLD) -> PCK:
    """Share of visible joints within `threshold` times the frame height of the truth (Yang and Ramanan 2013).

    predicted [N, 17, >=2] x, y; true [N, 17, 3] x, y, visibility: joints with visibility 2 count.
    """
    near = np.linalg.norm(predicted[..., :2] - true[..., :2], axis=-1) <= threshold * height
    counted = true[..., 2] == 2
    with np.errstate(invalid="ignore", divide="ignore"):
        per_joint = (near & counted).sum(0) / counted.sum(0)
        share = float((near & counted).sum() / counted.sum())
    return PCK(share, per_joint, int(counted.sum()), len(true))


def measure(predict: Callable[[np.ndarray], np.ndarray], root: Path, every: int = 1, batch: int = 32) -> PCK:
    """PCK on every `every`-th frame of a walkers data set.

    predict: from BGR uint8 [N, 256, 128, 3] to x, y and score [N, 17, 3].
    Raises KeyReIDError where `root` has no keypoints.npz or a frame cannot be read.
    """
    path = root / "keypoints.npz"
    with (
        reading(path, "arrays of frames and keypoints", "make the data with keyreid synthesize"),
        np.load(path) as stored,
    ):
        frames, true = stored["frames"][::every], stored["keypoints"][::every]
    predicted = []
    for start in range(0, len(frames), batch):
        images = [read_picture(root / path) for path in frames[start : start + batch]]
        predicted.append(predict(np.stack(images)))
    height = images[0].shape[0]
    return pck(np.concatenate(predicted), true, height)
