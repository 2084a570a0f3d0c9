"""Frames and heat as small JPEG pictures inside the page."""

import base64
from pathlib import Path

import cv2
import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.pictures import read_rgb


class Pictures:
    """Makes data URIs; a frame is read and encoded once, however often it is shown."""

    def __init__(self, root: Path, height: int, quality: int) -> None:
        self.root, self.height, self.quality = root, height, quality
        self._frames: dict[str, np.ndarray] = {}
        self._encoded: dict[str, str] = {}

    def frame(self, name: str) -> str:
        """Data URI of a frame, by its path relative to the root."""
        if name not in self._encoded:
            self._encoded[name] = self._encode(self._small(name))
        return self._encoded[name]

    def heat(self, name: str, heat: np.ndarray, kept: np.ndarray | None = None) -> str:
        """Data URI of a frame with heat [h, w] in [0, 1] laid over it; the heat covers the whole frame.

        kept: bool, patches of a grid over the whole frame; those that are not are hatched. None: all are.
        """
        frame = self._small(name)
        height, width = frame.shape[:2]
        if kept is not None:
            left_out = cv2.resize((~kept).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            frame = np.where(left_out[..., None] > 0, hatched(frame), frame)
        heat = np.clip(cv2.resize(heat.astype(np.float32), (width, height)), 0, 1)
        colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
        share = (0.25 + 0.6 * heat)[:, :, None]
        return self._encode((frame * (1 - share) + colours * share).round().astype(np.uint8))

    def _small(self, name: str) -> np.ndarray:
        if name not in self._frames:
            frame = read_rgb(self.root / name)
            width = int(np.clip(frame.shape[1] * self.height / frame.shape[0], 1, 3 * self.height))
            self._frames[name] = cv2.resize(frame, (width, self.height), interpolation=cv2.INTER_AREA)
        return self._frames[name]

    def _encode(self, frame: np.ndarray) -> str:
        good, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        if not good:
            raise KeyReIDError(f"OpenCV could not encode a frame of shape {frame.shape} as JPEG")
        return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def hatched(frame: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3], darkened, with light slanting lines."""
    rows, columns = np.indices(frame.shape[:2])
    return np.where(((rows + columns) % 6 == 0)[..., None], 150, frame // 4).astype(np.uint8)
