"""A crop: cut from a frame, resized, written as JPEG."""

from pathlib import Path

import cv2
import numpy as np

from stages.tracks.config import CropConfig


def write_crop(path: Path, image: np.ndarray, box: np.ndarray, config: CropConfig) -> None:
    """box: left, top, right, bottom inside uint8 [H, W, 3] BGR; the last two not included."""
    left, top, right, bottom = box.tolist()
    crop = resize(image[top:bottom, left:right], config.size)
    data = cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, config.quality))[1]
    path.write_bytes(data.tobytes())


def resize(crop: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Area averaging where the crop shrinks, bilinear where it grows."""
    if size is None or crop.shape[1::-1] == size:
        return crop
    shrinks = crop.shape[1] >= size[0] and crop.shape[0] >= size[1]
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
