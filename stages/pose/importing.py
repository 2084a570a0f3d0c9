"""Poses of other tools into the same cache: Gaussians at their keypoints."""

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cache.chunks import GRID_HEIGHT, GRID_WIDTH, JOINTS, encode, quantise
from cache.errors import KeyReIDError
from cache.lock import check_token
from cache.manifest import IMPORTED, ShardEntry
from cache.writer import write_shard
from stages.datasets.tracklet import Dataset
from stages.frame_file import read_size
from stages.pose import plan as planning
from stages.pose.filling import Work, finish, open_folder, split_frames, verify
from stages.pose.import_config import ImportConfig
from stages.pose.keypoint_files import Poses, read_poses
from stages.pose.progress import note_progress
from stages.workers import cores

BATCH = 64
SHOWN = 5  # frames named in an error


def run(dataset: Dataset, config: ImportConfig, folder: Path) -> Path:
    """Fill the pose cache in `folder` from keypoints of other tools; returns the folder.

    Raises KeyReIDError: files that cannot be read, frames without a pose, and what `open_folder`
    and `verify` raise.
    """
    frames = list(dataset.frames())
    poses = read_poses(config.poses, config.images, frames)
    lost = [frame for frame in frames if frame not in poses]
    if lost and config.on_missing == "stop":
        named = ", ".join(lost[:SHOWN]) + (", ..." if len(lost) > SHOWN else "")
        raise KeyReIDError(
            f"{config.poses} has no pose for {len(lost)} of {len(frames)} frames ({named}); "
            "give such frames zero heat with --on-missing zero"
        )

    settings = {
        "sigma": config.sigma,
        "min_score": config.min_score,
        "without_pose": len(lost),
        "shard_frames": None,
    }
    digest = hashlib.sha256()  # over the keypoints of all frames; it stands where a network's weights stand
    for frame in frames:
        digest.update(poses[frame].tobytes() if frame in poses else b"none")
    recipe = planning.Recipe(IMPORTED, digest.hexdigest(), "keypoints", settings)
    with open_folder(Path(folder), config.force) as opened:
        work = verify(opened, dataset, recipe, config.on_bad_frame == "zero", split_frames(dataset, None))
        return finish(work, ((number, _write(work, number, poses, config)) for number in work.todo))


def _write(work: Work, number: int, poses: Poses, config: ImportConfig) -> ShardEntry:
    frames = work.runs[number]
    bad = {row - work.rows(number).start for row in work.sources.bad}
    keypoints = np.zeros((len(frames), JOINTS, 3), np.float32)
    sizes = np.zeros((len(frames), 2), np.int32)

    def draw(row: int) -> bytes:
        heat = np.zeros((JOINTS, GRID_HEIGHT, GRID_WIDTH), np.float32)
        if row not in bad:
            sizes[row] = read_size(work.root / frames[row])
            if frames[row] in poses:
                keypoints[row] = poses[frames[row]]
                heat = gaussians(keypoints[row], sizes[row], config.sigma, config.min_score)
        return encode(quantise(heat))

    with ThreadPoolExecutor(max(cores(), 2)) as pool:
        chunks = []
        for chunk in pool.map(draw, range(len(frames))):
            chunks.append(chunk)
            if len(chunks) % BATCH == 0:
                note_progress(work.folder, number, len(chunks))
    check = functools.partial(check_token, work.folder, work.opened.token)
    return write_shard(work.folder, number, frames, chunks, keypoints, sizes, work.plan, check)


def gaussians(keypoints: np.ndarray, size: np.ndarray, sigma: float, min_score: float) -> np.ndarray:
    """Heat [17,64,32] in [0,1] with a peak of 1 at each joint that scores more than min_score.

    keypoints [17,3]: x, y in pixels of the frame, score; size: height, width of the frame. sigma in 64ths
    of the frame's height; a Gaussian is round in the frame, whatever the frame's proportions.
    Joints outside the frame get no heat.
    """
    height, width = (float(side) for side in size)
    x = (np.arange(GRID_WIDTH) + 0.5) * width / GRID_WIDTH - 0.5
    y = (np.arange(GRID_HEIGHT) + 0.5) * height / GRID_HEIGHT - 0.5
    deviation = sigma * height / 64
    across = np.exp(-((x - keypoints[:, :1]) ** 2) / (2 * deviation**2))
    down = np.exp(-((y - keypoints[:, 1:2]) ** 2) / (2 * deviation**2))
    inside = (np.abs(keypoints[:, 0] - (width - 1) / 2) <= width / 2) & (
        np.abs(keypoints[:, 1] - (height - 1) / 2) <= height / 2
    )
    shown = inside & (keypoints[:, 2] > min_score)
    return (down[:, :, None] * across[:, None, :] * shown[:, None, None]).astype(np.float32)
