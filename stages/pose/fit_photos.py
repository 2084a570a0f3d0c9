"""Training data of a pose network from photographs: frames of a data set, keypoints of other tools."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.tracklet import DISTRACTOR, Dataset
from stages.frame_file import read_picture
from stages.pose.fit_data import HIDDEN, SEEN, UNKNOWN, Pool
from stages.pose.keypoint_files import Poses, read_poses

FEWEST = 48  # frames to learn from, or to score on


def photo_pools(
    dataset: Dataset,
    keypoints: Path,
    size: tuple[int, int],
    counts: tuple[int, int],
    scores: tuple[float, float],
    seed: int,
) -> tuple[Pool, Pool]:
    """Frames of a data set's training tracklets, and of its test tracklets without junk and distractors.

    size: (width, height) at which frames are kept. counts: at most this many frames of each, drawn by the
    seed. scores: as `visibilities`. Raises KeyReIDError where too few frames have keypoints.
    """
    poses = read_poses(keypoints, None, list(dataset.frames()))
    tests = [t for t in dataset.test_tracklets() if t.person > DISTRACTOR]
    pools = []
    for number, (what, tracklets) in enumerate((("training", dataset.train), ("test", tests))):
        frames = list(dict.fromkeys(f for t in tracklets for f in t.frames if f in poses))
        rows = np.sort(np.random.default_rng([seed, 47, number]).permutation(len(frames))[: counts[number]])
        frames = [frames[row] for row in rows]
        if len(frames) < FEWEST:
            raise KeyReIDError(
                f"{keypoints}: has keypoints for {len(frames)} {what} frames of {dataset.name}; "
                f"expected {FEWEST} or more"
            )
        pools.append(photo_pool(dataset.root, frames, poses, size, scores))
    return pools[0], pools[1]


def photo_pool(
    root: Path, frames: Sequence[str], poses: Poses, size: tuple[int, int], scores: tuple[float, float]
) -> Pool:
    """Frames resized to `size` (width, height), and their keypoints in it."""
    images = np.empty((len(frames), size[1], size[0], 3), np.uint8)
    keypoints = np.empty((len(frames), 17, 3), np.float32)
    for row, frame in enumerate(frames):
        image = read_picture(root / frame)
        height, width = image.shape[:2]
        shrinks = height >= size[1] and width >= size[0]
        images[row] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        pose = poses[frame]
        scale = np.array([size[0] / width, size[1] / height])
        keypoints[row, :, :2] = (pose[:, :2] + 0.5) * scale - 0.5  # pixel centres stay pixel centres
        keypoints[row, :, 2] = visibilities(pose, (width, height), scores)
    return Pool(images, keypoints)


def visibilities(pose: np.ndarray, size: tuple[int, int], scores: tuple[float, float]) -> np.ndarray:
    """Visibility [17] of the joints of a pose [17, 3].

    scores: (seen, hidden). A joint that scores at least `seen` is SEEN; below `hidden`, or outside the frame
    of `size` (width, height), it is HIDDEN; between them it is UNKNOWN, as its place may be wrong.
    """
    seen, hidden = scores
    inside = ((pose[:, :2] >= -0.5) & (pose[:, :2] <= np.array(size) - 0.5)).all(1)
    visibility = np.where(pose[:, 2] >= seen, SEEN, np.where(pose[:, 2] < hidden, HIDDEN, UNKNOWN))
    return np.where(inside, visibility, HIDDEN)
