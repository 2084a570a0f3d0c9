"""Decoding of frames, as cheap as the pixels used allow."""

import struct
from pathlib import Path

import cv2
import numpy as np

from cache.errors import KeyReIDError

# Stored pixels, as stage one reads them: an orientation in the EXIF data would turn frames but not heat.
FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
# start-of-frame markers of JPEG: all of C0..CF but DHT (C4), JPG (C8) and DAC (CC)
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from the header of a JPEG, or None for anything else (ITU T.81, annex B)."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_MARKERS:
            return struct.unpack_from(">HH", data, at + 5)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def reduction(stored: tuple[int, int], wanted: tuple[int, int]) -> int:
    """1, 2, 4 or 8: the largest factor by which a JPEG may be decoded smaller for a wanted size.

    The decoder drops high frequencies instead of computing them. Only exact divisors are used, so
    the small picture covers the same area as the large one and part maps stay aligned.
    """
    for factor in (8, 4, 2):
        exact = all(side % factor == 0 for side in stored)
        if exact and all(s // factor >= w for s, w in zip(stored, wanted, strict=True)):
            return factor
    return 1


def read_whole(path: Path) -> np.ndarray | None:
    """A picture in its own size, uint8 [h, w, 3], BGR; None where it is missing or OpenCV cannot read it."""
    try:
        return cv2.imdecode(np.fromfile(path, np.uint8), FLAGS)
    except (OSError, cv2.error):  # OpenCV's: an empty file, or a header that declares more than it takes
        return None


def read_frame(path: Path | str, size: tuple[int, int]) -> np.ndarray:
    """A frame as uint8 [height, width, 3], RGB, resized to `size` (height, width). Errors as `decode`."""
    return cv2.cvtColor(decode(path, size), cv2.COLOR_BGR2RGB)


def read_planes(path: Path | str, out: np.ndarray) -> None:
    """Fill out, uint8 [3, height, width], with a frame's planes in that size, RGB. Errors as `decode`."""
    cv2.split(decode(path, out.shape[1:]), [out[2], out[1], out[0]])


def decode(path: Path | str, size: tuple[int, int]) -> np.ndarray:
    """A frame in OpenCV's order, uint8 [height, width, 3], BGR, resized to `size`.

    Raises KeyReIDError for a file that is missing, empty, cut short or no image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise KeyReIDError(
            f"{path}: cannot be read ({error.strerror}); check the data set with keyreid doctor"
        ) from None
    flags, stored = FLAGS, jpeg_size(data)
    if stored is not None:
        if b"\xff\xd9" not in data[-1024:]:
            raise KeyReIDError(
                f"{path}: the JPEG is cut short ({len(data)} bytes, no end mark); copy it again"
            )
        flags |= _REDUCED.get(reduction(stored, size), 0)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags) if data else None
    except cv2.error:  # a header that declares more pixels than OpenCV takes
        image = None
    if image is None:
        what = "is empty" if not data else f"is not an image that OpenCV reads ({len(data)} bytes)"
        raise KeyReIDError(f"{path}: {what}; copy it again")
    if image.shape[:2] != tuple(size):
        shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return image
