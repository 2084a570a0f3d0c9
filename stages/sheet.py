"""Frames of a tracklet as small pictures: a sheet of equal cells side by side, heat laid over a frame."""

from collections.abc import Sequence

import cv2
import numpy as np

from cache.errors import KeyReIDError

PADDING = 24  # grey level beside a frame that is narrower or lower than its cell


def fitted(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame uint8 [H, W, 3] as large as it fits in [height, width, 3], in the middle of it."""
    scale = min(height / frame.shape[0], width / frame.shape[1])
    size = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    down, across = height - size[1], width - size[0]
    edges = (down // 2, down - down // 2, across // 2, across - across // 2)
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=[PADDING] * 3)


def cell_width(frame: np.ndarray, height: int) -> int:
    """Width of the cells of a tracklet with such a frame: its own shape, at least 1 to 4, at most 1 to 1."""
    return round(float(np.clip(frame.shape[1] * height / frame.shape[0], height / 4, height)))


def sheet(frames: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Frames uint8 [H, W, 3] of any sizes side by side, uint8 [height, n * width, 3]."""
    return np.concatenate([fitted(frame, height, width) for frame in frames], axis=1)


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of 0..count-1, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)).tolist()


def heat_over(frame: np.ndarray, heat: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """A frame uint8 [H, W, 3], RGB, with heat [h, w] in [0, 1] laid over all of it.

    kept: bool, patches of a grid over the whole frame; those that are not are hatched. None: all are.
    """
    height, width = frame.shape[:2]
    if kept is not None:
        left_out = cv2.resize((~kept).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        frame = np.where(left_out[..., None] > 0, hatched(frame), frame)
    heat = np.clip(cv2.resize(heat.astype(np.float32), (width, height)), 0, 1)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = (0.25 + 0.6 * heat)[:, :, None]
    return (frame * (1 - share) + colours * share).round().astype(np.uint8)


def hatched(frame: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3], darkened, with light slanting lines."""
    rows, columns = np.indices(frame.shape[:2])
    return np.where(((rows + columns) % 6 == 0)[..., None], 150, frame // 4).astype(np.uint8)


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A picture uint8 [H, W, 3], RGB, as the bytes of a JPEG file."""
    good, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise KeyReIDError(f"OpenCV could not encode a frame of shape {picture.shape} as JPEG")
    return data.tobytes()
