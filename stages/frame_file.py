"""Frames on disk: the one reader of doctor, stage one, stage two and every import, with one rule.

A frame is a regular file whose content is a whole JPEG, PNG, BMP or WebP picture (whatever its name says)
of at most MAX_PIXELS, no side longer than MAX_SIDE. Bytes after the picture's end, as phones write them,
are ignored. The EXIF orientation is applied. The size is read from the header before anything is decoded.
"""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from cache.border import way_in
from cache.errors import KeyReIDError
from cache.files import read_regular
from stages.terminal import one_line

MAX_BYTES = 2**28  # of a file
MAX_PIXELS = 2**25  # of a frame; 8K video has fewer
MAX_SIDE = 2**15 - 1  # OpenCV's remapping counts pixels in 16 bits
_JPEG = b"\xff\xd8"
FORMATS = "JPEG, PNG, BMP or WebP"
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
# start-of-frame markers of JPEG: all of C0..CF but DHT (C4), JPG (C8) and DAC (CC)
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})  # without a length: TEM, RST0..RST7


class FrameError(KeyReIDError):
    """A frame that cannot be read: which, and why. missing: there is no such file."""

    def __init__(self, path: Path | str, reason: str, missing: bool = False, advice: str = ""):
        if missing:
            advice = "check the data set with keyreid doctor"
        super().__init__(f"{path}: {reason}; {advice or 'copy it again, or convert it'}")
        self.reason, self.missing = reason, missing
        self._made = path, reason, missing, advice

    def __reduce__(self) -> tuple:
        """From a worker process, it arrives as what it was."""
        return FrameError, self._made


def read_picture(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """A frame, uint8 [height, width, 3], BGR, upright; resized to `size`, (height, width). Or FrameError."""
    return pixels(path, load(path), size)


def read_planes(path: Path | str, out: np.ndarray) -> None:
    """Fill out, uint8 [3, height, width], with a frame's planes in that size, RGB. Raises FrameError."""
    cv2.split(read_picture(path, out.shape[1:]), [out[2], out[1], out[0]])


def read_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of a frame, upright; as a rule from its header alone. Raises FrameError."""
    data = load(path)
    with _frame(path):
        size, may_turn = _read_header(data)
        return decode(data).shape[:2] if may_turn else size


def load(path: Path | str) -> bytes:
    """The bytes of a frame's file. Raises FrameError for what is missing, empty, huge or no regular file."""
    with _frame(path):
        data = read_regular(path, MAX_BYTES)
    if not data:
        raise FrameError(path, "is empty (zero bytes)")
    return data


def pixels(path: Path | str, data: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    """`decode` of the bytes of a frame's file. Raises FrameError."""
    with _frame(path):
        return decode(data, size)


@contextlib.contextmanager
def _frame(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        missing = isinstance(error, FileNotFoundError)
        raise FrameError(path, "missing" if missing else reason, missing, way_in(error)) from None


def decode(data: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    """A picture file's pixels, uint8 [height, width, 3], BGR, upright; resized to `size` (height, width).

    A JPEG is decoded at a half, a quarter or an eighth where that is exact and not below `size`.
    Raises ValueError saying why it is not a frame.
    """
    (stored, may_turn), jpeg, factor = _read_header(data), data[:2] == _JPEG, 1
    if size is not None and jpeg:
        factor = reduction(stored, size)
        if may_turn:
            factor = min(factor, reduction(stored, size[::-1]))
    image = _plain_jpeg(data, stored, factor) if jpeg and not may_turn else None
    if image is None:
        try:
            flags = cv2.IMREAD_COLOR | _REDUCED.get(factor, 0)
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise ValueError(f"is damaged: OpenCV cannot decode it ({len(data)} bytes)")
    if size is not None and image.shape[:2] != tuple(size):
        shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return image


def _plain_jpeg(data: bytes, stored: tuple[int, int], factor: int) -> np.ndarray | None:
    """The pixels that OpenCV decodes, to the bit, in two thirds of its time; None: CMYK, or a warning.

    factor: that `stored`, (height, width), is divided by; orientation is not applied.
    """
    height, width = (-(-side // factor) for side in stored)
    image = np.empty((height, width, 3), dtype=np.uint8)
    wanted = {"min_height": height, "min_width": width, "buffer": image, "strict": True}
    try:
        return simplejpeg.decode_jpeg(data, "BGR", **wanted)
    except ValueError:
        return None


def decoder_warning(data: bytes) -> str:
    """What libjpeg says about a JPEG file that it decodes nevertheless: some pixels may be wrong. "" nothing.

    A JPEG has no checksum, so many a changed bit goes unnoticed. Damaged PNGs are refused; BMP and WebP have
    nothing to tell damage by.
    """
    if data[:2] != _JPEG:
        return ""
    said = _jpeg_error(data, strict=True)
    return said if said and not _jpeg_error(data, strict=False) else ""  # CMYK is an error either way


def _jpeg_error(data: bytes, strict: bool) -> str:
    try:
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, min_height=1, min_width=1, strict=strict)
    except ValueError as error:
        return one_line(error)
    return ""


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


def check_header(data: bytes) -> tuple[int, int]:
    """(height, width) as stored. Raises ValueError: another format, cut short, or too large to decode."""
    return _read_header(data)[0]


def _read_header(data: bytes) -> tuple[tuple[int, int], bool]:
    """What `check_header` returns, and whether there may be an EXIF orientation, which OpenCV applies."""
    may_turn = False
    try:
        if data[:2] == _JPEG:
            size, may_turn = _jpeg_header(data)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            size = _png_size(data)
        elif data[:2] == b"BM":
            size = _bmp_size(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            size = _webp_size(data)
        else:
            raise ValueError(f"is not a picture that can be read; expected the content of a {FORMATS} file")
    except (struct.error, IndexError):
        raise ValueError(f"is cut short ({len(data)} bytes)") from None
    height, width = size
    if not height or not width:
        raise ValueError(f"has {width} x {height} pixels")
    check_size(height, width)
    return size, may_turn or (data[:2] != _JPEG and (b"eXIf" in data or b"EXIF" in data))


def check_size(height: int, width: int) -> None:
    """Raises ValueError for a picture that is too large to decode."""
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        raise ValueError(
            f"has {width} x {height} pixels; at most {MAX_PIXELS / 1e6:.0f} million are read, "
            f"and {MAX_SIDE} along a side"
        )


def _jpeg_header(data: bytes) -> tuple[tuple[int, int], bool]:
    """Size, and whether there is EXIF; the end mark must come after the scan header (ITU T.81, annex B)."""
    at, size, exif = 2, None, False
    while True:
        at = data.find(b"\xff", at)  # as libjpeg does, skip what is not a marker
        if at < 0:
            raise IndexError
        marker = data[at + 1]
        if marker == 0xFF or marker in _LONE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_MARKERS and size is None:
            size = struct.unpack_from(">HH", data, at + 5)
        exif |= marker == 0xE1 and data.startswith(b"Exif\0\0", at + 4)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:
            break
    if size is None or data.rfind(b"\xff\xd9", at) < 0:
        raise ValueError(f"is a JPEG that is cut short ({len(data)} bytes, no end mark)")
    return size, exif


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    if data.rfind(b"IEND") < 0:
        raise ValueError(f"is a PNG that is cut short ({len(data)} bytes, no end mark)")
    return height, width


def _bmp_size(data: bytes) -> tuple[int, int]:
    kind = struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<HH" if kind == 12 else "<ii", data, 18)
    if len(data) < struct.unpack_from("<I", data, 2)[0]:
        raise ValueError(f"is a BMP that is cut short ({len(data)} bytes)")
    return abs(height), abs(width)


def _webp_size(data: bytes) -> tuple[int, int]:
    if len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise ValueError(f"is a WebP that is cut short ({len(data)} bytes)")
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return height, width
