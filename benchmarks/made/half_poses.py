"""How far poses in fewer bits are from those in float32."""

from pathlib import Path

import numpy as np

from stages.datasets.tracklet import Dataset
from stages.frame_file import read_picture
from stages.pose import geometry
from stages.pose.config import EstimatorSpec, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.weights import find_weights
from stages.reid.data.part_maps import PartGroups, joints_to_parts

FRAMES = 64
PATCHES = (16, 8)  # down and across: what the weights of parts are means over
AT_MOST = 0.5, 2  # pixels at the median; of 255


def apart(data: Dataset, name: str, note: str, device: str) -> str:
    """What bf16 changes in poses, in words; nothing for random weights (`note`), whose heat has no peaks."""
    if "random" in note:
        return ""
    spec = load_spec(name)
    pixels, steps = differences(data, spec, find_weights(spec)[0], device)
    return (
        f"; keypoints {pixels:.2f} px from float32's at the median (at most {AT_MOST[0]}), "
        f"weights of parts within {steps:.2f}/255 (at most {AT_MOST[1]})"
    )


def differences(data: Dataset, spec: EstimatorSpec, weights: Path, device: str) -> tuple[float, float]:
    """Of frames spread over a data set: median distance of keypoints in pixels of the frame, and the largest
    difference of a part's weight, its heat on a patch, in steps of 255."""
    every = max(1, len(data.frames()) // FRAMES)
    frames = [read_picture(data.root / frame) for frame in data.frames()[::every][:FRAMES]]
    sizes = [frame.shape[1::-1] for frame in frames]
    points, parts = [], []
    for name in ("fp32", "bf16"):
        network = HRNetEstimator(spec, weights, device=device, precision=name)
        affines = [network.affine(size) for size in sizes]
        drawn = [
            geometry.warp_frame(frame, affine, network.input_size)
            for frame, affine in zip(frames, affines, strict=True)
        ]
        maps = network.forward(network.prepare(np.stack(drawn)))
        points.append(network.keypoints(maps.cpu().numpy(), affines)[..., :2])
        heat = joints_to_parts(network.heat(maps, affines, sizes), PartGroups.of(6).joints)
        cells = [side // patches for side, patches in zip(heat.shape[2:], PATCHES, strict=True)]
        blocks = heat.reshape(*heat.shape[:2], PATCHES[0], cells[0], PATCHES[1], cells[1])
        parts.append(blocks.mean((3, 5), dtype=np.float64))
    pixels = np.linalg.norm(points[0] - points[1], axis=-1)
    return float(np.median(pixels)), float(np.abs(parts[0] - parts[1]).max())
