"""Poses on real people: a pose network against another one's keypoints, as figures.

    python -m benchmarks.real_poses --data-root /data/market --keypoints keypoints.npz --cache poses/fitted

Of each cache, on the images of the test identities: the share of joints within 0.05 and 0.1 of the frame
height of the given keypoints (PCK; joints that score at least 0.3 there), and for each of the six parts
where its heat peaks: whether the nearest of those joints is one of the part, one of the other side of the
body, or another one.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cache import PoseCache
from stages import parts as body
from stages.datasets import load_dataset
from stages.datasets.tracklet import DISTRACTOR
from stages.parts import JOINTS
from stages.pose.keypoint_files import Poses, read_poses
from stages.pose.pck import pck

SEEN = 0.3
HEAT = 0.2  # a part with less heat counts as not found
BATCH = 256


def test_frames(name: str, root: Path, every: int) -> list[str]:
    """Frames of the test identities, each `every`-th."""
    data = load_dataset(name, root)
    frames = (f for t in data.test_tracklets() if t.person > DISTRACTOR for f in t.frames)
    return list(dict.fromkeys(frames))[::every]


def batches(cache: PoseCache, frames: list[str], poses: Poses) -> Iterator[tuple]:
    """Heat [N,17,64,32], keypoints [N,17,3], sizes [N,2] and the given keypoints [N,17,3] of some frames."""
    for start in range(0, len(frames), BATCH):
        some = frames[start : start + BATCH]
        read = cache.read(some)
        yield read.heatmaps, read.keypoints, read.frame_size, np.stack([poses[frame] for frame in some])


def pck_of(cache: PoseCache, frames: list[str], poses: Poses) -> tuple[float, float]:
    """PCK at 0.05 and at 0.1 of the frame height, in frames brought to height 1."""
    predicted, true = [], []
    for _, keypoints, sizes, given in batches(cache, frames, poses):
        scale = 1.0 / sizes[:, :1, None]
        predicted.append(keypoints[..., :2] * scale)
        seen = np.where(given[..., 2:] >= SEEN, 2, 1)
        true.append(np.concatenate([given[..., :2] * scale, seen], -1))
    both = np.concatenate(predicted), np.concatenate(true)
    return tuple(pck(*both, 1.0, threshold).share for threshold in (0.05, 0.1))


def peaks(heat: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place in pixels [N, 2] and height [N] of the highest cell of heat [N, 64, 32]."""
    cells = heat.reshape(len(heat), -1).argmax(1)
    rows, columns = np.divmod(cells, heat.shape[2])
    x = (columns + 0.5) * sizes[:, 1] / heat.shape[2] - 0.5
    y = (rows + 0.5) * sizes[:, 0] / heat.shape[1] - 0.5
    return np.stack([x, y], 1), heat.reshape(len(heat), -1).max(1)


def parts_of(cache: PoseCache, frames: list[str], poses: Poses) -> dict[str, np.ndarray]:
    """Of each part, where it can be seen: shares of frames [right part, other side, elsewhere, no heat]."""
    grouping = body.grouping(6)
    counts = {name: np.zeros(4) for name in grouping}
    for heat, _, sizes, given in batches(cache, frames, poses):
        distance_of = np.where(given[..., 2] >= SEEN, 0.0, np.inf)
        for name, joints in grouping.items():
            own = [JOINTS.index(joint) for joint in joints]
            other = [JOINTS.index(_mirrored(joint)) for joint in joints]
            shown = (given[:, own, 2] >= SEEN).any(1)
            place, height = peaks(heat[:, own].max(1), sizes)
            gaps = np.linalg.norm(given[..., :2] - place[:, None], axis=-1) + distance_of
            nearest = gaps.argmin(1)
            kind = np.where(np.isin(nearest, own), 0, np.where(np.isin(nearest, other), 1, 2))
            kind = np.where(height < HEAT, 3, kind)
            counts[name] += np.bincount(kind[shown], minlength=4)
    return {name: count / max(count.sum(), 1) for name, count in counts.items()}


def _mirrored(joint: str) -> str:
    side, _, rest = joint.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, joint)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="market1501")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--keypoints", type=Path, help="keypoints to compare with (import-poses reads them)")
    parser.add_argument("--cache", type=Path, nargs="+", help="pose caches")
    parser.add_argument("--every", type=int, default=10, help="take each so-manieth frame")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    if not (given.data_root and given.keypoints and given.cache):
        print("skipped: needs --data-root, --keypoints and --cache of a data set of real people")
        return
    frames = test_frames(given.dataset, given.data_root, given.every)
    poses = read_poses(given.keypoints, None, frames)
    frames = [frame for frame in frames if frame in poses]
    for folder in given.cache:
        cache = PoseCache.open(folder)
        fine, coarse = pck_of(cache, frames, poses)
        print(f"{folder}, {cache.info.estimator}, {len(frames)} frames")
        print(f"  PCK at 0.05 {fine:.3f}, at 0.1 {coarse:.3f}")
        print(f"  {'part':14s} {'right':>7s} {'other side':>11s} {'elsewhere':>10s} {'no heat':>8s}")
        for name, shares in parts_of(cache, frames, poses).items():
            right, side, elsewhere, none = (100 * share for share in shares)
            print(f"  {name:14s} {right:5.1f} % {side:9.1f} % {elsewhere:8.1f} % {none:6.1f} %")


if __name__ == "__main__":
    main()
