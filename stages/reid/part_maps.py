"""From seventeen joints to part maps: heat of the cache, or Gaussians as the released code means them."""

# No torch: the loader and the pictures import this.

from dataclasses import dataclass

import cv2
import numpy as np

from stages.reid.model.parts import JOINTS, Grouping, grouping, mirrored


@dataclass(frozen=True)
class PartGroups:
    """A grouping with what a flip needs.

    joints: rows of the joints of each group; the first `count` groups are the parts themselves, the
    rest are mirror images that are no part of their own. flip[k]: the group that is part k after a flip.
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


PUBLISHED_SIZE = (256, 128)  # of the released part maps, pixels
PUBLISHED_SCORE = 0.1  # keypoints that score no more are left out


def gaussian_maps(
    keypoints: np.ndarray, frame_size: np.ndarray, joints: tuple[np.ndarray, ...], grid: tuple[int, int]
) -> np.ndarray:
    """Part maps drawn from keypoints, as the released code intends and its map script fails to do.

    A Gaussian at each keypoint, cut at radius int(w / 11) with a standard deviation of (2 radius + 1) / 4;
    the maximum over a part's joints; resized to 256x128; scaled per part so that its maximum is 1.
    keypoints: [N, 17, 3], x and y in pixels of the frame, score. frame_size: [N, 2], height and width.
    grid: (height, width) of the result, divisors of 256 and 128. Returns uint8 [N, G, *grid], 255 for 1.
    """
    out = np.zeros((len(keypoints), len(joints), *grid), dtype=np.uint8)
    for n, (points, (height, width)) in enumerate(zip(keypoints, frame_size, strict=True)):
        blobs = [_blob(x, y, score, int(height), int(width)) for x, y, score in points]
        for k, rows in enumerate(joints):
            canvas = np.zeros((int(height), int(width)), dtype=np.float32)
            for place, values in (blobs[row] for row in rows if blobs[row] is not None):
                np.maximum(canvas[place], values, out=canvas[place])
            if canvas.shape != PUBLISHED_SIZE:
                canvas = cv2.resize(canvas, PUBLISHED_SIZE[::-1], interpolation=cv2.INTER_LINEAR)
            if (peak := canvas.max()) > 0:  # the minimum is 0: no blob covers a frame
                pooled = cv2.resize(canvas / peak, grid[::-1], interpolation=cv2.INTER_AREA)
                out[n, k] = np.round(pooled * 255)
    return out


def _blob(x: float, y: float, score: float, height: int, width: int) -> tuple[tuple, np.ndarray] | None:
    """Where a keypoint's Gaussian lies on the frame, and its values; None where it has none."""
    radius = width // 11
    column, row = int(x), int(y)
    if score <= PUBLISHED_SCORE or not (0 <= column < width and 0 <= row < height):
        return None
    deviation = (2 * radius + 1) / 4
    rows = np.arange(max(0, row - radius), min(height, row + radius + 1))
    columns = np.arange(max(0, column - radius), min(width, column + radius + 1))
    down = np.exp(-((rows - row) ** 2) / (2 * deviation**2))
    across = np.exp(-((columns - column) ** 2) / (2 * deviation**2))
    place = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return place, (down[:, None] * across).astype(np.float32)
