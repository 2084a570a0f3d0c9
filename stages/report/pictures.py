"""Frames and heat as small JPEG pictures inside the page."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stages.reid.scoring.pictures import read_rgb
from stages.sheet import cell_width, heat_over, jpeg, sheet


class Pictures:
    """Makes data URIs; a frame is read and encoded once, however often it is shown."""

    def __init__(self, root: Path, height: int, quality: int) -> None:
        self.root, self.height, self.quality = root, height, quality
        self._frames: dict[str, np.ndarray] = {}
        self._encoded: dict[str, str] = {}
        self.sheets: dict[tuple[str, ...], tuple[str, int]] = {}  # data URI and width of a cell, by frames

    def frame(self, name: str) -> str:
        """Data URI of a frame, by its path relative to the root."""
        if name not in self._encoded:
            self._encoded[name] = self._encode(self._small(name))
        return self._encoded[name]

    def sheet(self, names: Sequence[str]) -> int:
        """Number in `sheets` of frames side by side, for the player."""
        key = tuple(names)
        if key not in self.sheets:
            width = cell_width(self._small(key[0]), self.height)
            cells = sheet([self._small(name) for name in key], self.height, width)
            self.sheets[key] = self._encode(cells), width
        return list(self.sheets).index(key)

    def heat(self, name: str, heat: np.ndarray, kept: np.ndarray | None = None) -> str:
        """Data URI of a frame with heat [h, w] in [0, 1] laid over it, see `stages.sheet.heat_over`."""
        return self._encode(heat_over(self._small(name), heat, kept))

    def _small(self, name: str) -> np.ndarray:
        if name not in self._frames:
            frame = read_rgb(self.root / name)
            width = int(np.clip(frame.shape[1] * self.height / frame.shape[0], 1, 3 * self.height))
            self._frames[name] = cv2.resize(frame, (width, self.height), interpolation=cv2.INTER_AREA)
        return self._frames[name]

    def _encode(self, frame: np.ndarray) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(jpeg(frame, self.quality)).decode()
