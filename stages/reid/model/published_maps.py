"""Part maps as the released code makes them. `guidance: published` only. numpy and OpenCV.

The released recipe: a Gaussian at each keypoint whose score is above 0.1, the maximum over a
part's joints, resized to the network's input, scaled per part from its minimum and maximum to
[0, 1], then to [-1, 1]. So no heat is -1, and what is filled in as 0 (padding, erased areas) is
half heat. The released script cuts its kernel one row and one column short and then draws
nothing: its maps are -1 throughout. Nobody knows which of the two the released weights saw.
"""

import cv2
import numpy as np

MIN_SCORE = np.float32(0.1)  # as the cache holds scores, so that 0.1 itself is not above it
RADIUS_DIVISOR = 11  # radius of a Gaussian: int(frame width / 11) pixels
SIZE = (256, 128)  # height and width of the maps, pixels


def drawn_map(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The map of one part in a frame: float32 [*SIZE] in [0, 1]; what the network gets is twice that less 1.

    points: the part's joints [J, 3], x and y in pixels of the frame, and the score. height, width: of the
    frame, in pixels. A part without a joint that is sure enough has 0 everywhere.
    """
    drawn = gaussians(points, height, width)
    if drawn.shape != SIZE:
        drawn = cv2.resize(drawn, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    low, high = drawn.min(), drawn.max()
    return (drawn - low) / (high - low) if high > low else np.zeros(SIZE, np.float32)


def gaussians(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maximum of Gaussians at the points [J, 3] that are sure enough: float32 [height, width].

    Radius r = int(width / 11), kernel of 2r + 1 pixels, standard deviation a quarter of the kernel,
    peak 1 at the pixel that holds the point. What lies outside the kernel or the frame is 0.
    """
    drawn = np.zeros((height, width), dtype=np.float32)
    radius = width // RADIUS_DIVISOR
    spread = (2 * radius + 1) / 4
    for x, y, score in points:
        if not score > MIN_SCORE or not np.isfinite((x, y)).all():
            continue
        along_x = _bell(np.floor(x), width, radius, spread)
        along_y = _bell(np.floor(y), height, radius, spread)
        np.maximum(drawn, along_y[:, None] * along_x, out=drawn)
    return drawn


def _bell(centre: float, length: int, radius: int, spread: float) -> np.ndarray:
    """A Gaussian along one axis, cut off at `radius` pixels from its centre: float32 [length]."""
    distance = np.arange(length, dtype=np.float32) - np.float32(centre)
    bell = np.exp(-(distance**2) / np.float32(2 * spread**2))
    return np.where(np.abs(distance) <= radius, bell, np.float32(0))
