"""From seventeen joints to part maps: heat of the cache, or Gaussians as the released code means them."""

from dataclasses import dataclass

import cv2
import numpy as np

from stages.parts import JOINTS, Grouping, grouping, mirrored
from stages.reid.model.published_maps import drawn_map


@dataclass(frozen=True)
class PartGroups:
    """A grouping with what a flip needs.

    joints: rows of the joints of each group; the first `count` groups are the parts themselves, the
    rest are mirror images that are not parts themselves. flip[k]: the group that is part k after a flip.
    """

    joints: tuple[np.ndarray, ...]
    count: int
    flip: np.ndarray

    @classmethod
    def of(cls, parts: Grouping) -> "PartGroups":
        """Raises KeyReIDError for a grouping that is none."""
        members = [frozenset(joints) for joints in grouping(parts).values()]
        count = len(members)
        flip = []
        for joints in members[:count]:
            partner = frozenset(mirrored(joint) for joint in joints)
            if partner not in members:
                members.append(partner)
            flip.append(members.index(partner))
        rows = tuple(np.array(sorted(JOINTS.index(joint) for joint in joints)) for joints in members)
        return cls(rows, count, np.array(flip))


def joints_to_parts(heatmaps: np.ndarray, joints: tuple[np.ndarray, ...]) -> np.ndarray:
    """Heat of each group: the maximum over its joints.

    heatmaps: uint8 or float [N, 17, h, w]. joints: rows of each group. Returns the same type, [N, K, h, w].
    """
    out = np.empty((len(heatmaps), len(joints), *heatmaps.shape[2:]), dtype=heatmaps.dtype)
    for k, rows in enumerate(joints):
        np.copyto(out[:, k], heatmaps[:, rows[0]])
        for row in rows[1:]:
            np.maximum(out[:, k], heatmaps[:, row], out=out[:, k])
    return out


def gaussian_maps(
    keypoints: np.ndarray, frame_size: np.ndarray, joints: tuple[np.ndarray, ...], grid: tuple[int, int]
) -> np.ndarray:
    """Part maps drawn from keypoints, as the released code intends and its map script fails to do.

    Those of `stages.reid.model.published_maps`, in [0, 1] instead of [-1, 1] and on a coarser grid, so
    that they can be moved like heat. keypoints: [N, 17, 3], x and y in pixels of the frame, score.
    frame_size: [N, 2], height and width. grid: (height, width) of the result, divisors of 256 and 128.
    Returns uint8 [N, G, *grid], 255 for 1.
    """
    out = np.zeros((len(keypoints), len(joints), *grid), dtype=np.uint8)
    for n, (points, (height, width)) in enumerate(zip(keypoints, frame_size, strict=True)):
        for k, rows in enumerate(joints):
            drawn = drawn_map(points[rows], int(height), int(width))
            out[n, k] = np.round(cv2.resize(drawn, grid[::-1], interpolation=cv2.INTER_AREA) * 255)
    return out
