"""The interface of detectors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Persons in one image.

    boxes: float32 [N, 4], left, top, right, bottom in pixels of the image, not clipped.
    scores: float32 [N] in [0, 1].
    """

    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: np.ndarray) -> "Detections":
        """The detections that a bool or index array selects."""
        return Detections(self.boxes[kept], self.scores[kept])


class Detector(Protocol):
    """A person detector."""

    name: str
    sha256: str  # of what decides its answers: the weights

    def detect(self, image: np.ndarray) -> Detections:
        """Persons in uint8 [H, W, 3] BGR, with every score from the spec's lowest on."""
        ...
