"""The baseline that a network has to beat: colour histograms of horizontal stripes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stages.datasets.tracklet import Tracklet
from stages.frame_file import read_picture

BINS = (8, 4, 4)  # hue, saturation, value


def stripe_histograms(
    root: Path, tracklets: Sequence[Tracklet], stripes: int = 6, frames: int = 8
) -> np.ndarray:
    """Colour histograms of `stripes` equal horizontal stripes: float32 [N, stripes * 128].

    Each stripe's histogram over hue, saturation and value sums to 1 and enters by its square root, so that
    the squared Euclidean distance is twice the squared Hellinger distance. frames: at most this many frames
    of a tracklet, evenly spread; their mean is the tracklet's. Raises KeyReIDError for an unreadable frame.
    """
    features = np.empty((len(tracklets), stripes * int(np.prod(BINS))), np.float32)
    for row, tracklet in enumerate(tracklets):
        count = len(tracklet.frames)
        picked = sorted({int((i + 0.5) * count / frames) for i in range(frames)})
        features[row] = np.mean([_stripes(root / tracklet.frames[i], stripes) for i in picked], axis=0)
    return np.sqrt(features, out=features)


def _stripes(path: Path, stripes: int) -> np.ndarray:
    image = read_picture(path)
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    histograms = []
    for stripe in np.array_split(hsv, stripes):
        histogram = cv2.calcHist([stripe], [0, 1, 2], None, BINS, [0, 180, 0, 256, 0, 256]).ravel()
        histograms.append(histogram / max(histogram.sum(), 1))
    return np.concatenate(histograms)
