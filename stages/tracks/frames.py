"""Frames of a video file or of a folder of images, one at a time, with exact numbers."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # damage is reported here, by file and frame

import cv2
import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.files import IMAGE_SUFFIXES

# How containers of video begin. FFmpeg would also open playlists and scripts, which can name other files and
# hosts, and draw any text as a film.
_BEGINNINGS = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),  # MP4, MOV
    *(
        (0, mark) for mark in (b"RIFF", b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"0&\xb2u")
    ),  # AVI, MKV, FLV, OGG, WMV
    *((0, mark) for mark in (b"\0\0\1", b"\0\0\0\1")),  # MPEG, bare H.264 and H.265
)
_PACKET = 188  # bytes of a transport stream's packet, each begins with "G"

_SLACK = 0.02  # a container's count of frames may be an estimate


class VideoFrames:
    """Decodes a video from its beginning, frame by frame: seeking is not exact in most formats.

    size: (width, height). count: frames as the file claims, 0 unknown. rate: frames/s, 0 unknown.
    """

    def __init__(self, path: Path, first: int = 1, count_frames: bool = False):
        self.path, self.first, self._count_frames = path, first, count_frames
        if not path.is_file():
            raise KeyReIDError(f"{path}: no such video; for a folder of images use --frames")
        self._capture = cv2.VideoCapture()
        if not (_is_video(path) and self._capture.open(str(path), cv2.CAP_FFMPEG) and self._capture.grab()):
            raise KeyReIDError(
                f"{path}: no frame can be read; the file is damaged or no video that OpenCV's FFmpeg knows"
            )
        self._start = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        image = self._decode(first)
        self.size = (image.shape[1], image.shape[0])
        self._image = image
        rate, count = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if 0 < rate < 1e4 else 0.0
        self.count = int(count) if 0 < count < 2**31 else 0

    def check_last(self, number: int, where: str) -> None:
        """Raises KeyReIDError, before any work, where the file cannot hold the frame `number`."""
        last = self.first + self.count - 1
        if self.count and number > last + max(10, _SLACK * self.count):
            raise self._too_short(f"has about {self.count} frames", last, number, where)

    def read(self, wanted: np.ndarray, where: str) -> Iterator[tuple[int, np.ndarray]]:
        """(number, uint8 [H, W, 3] in BGR) of the `wanted` numbers, ascending.

        Raises KeyReIDError where the video ends before, or its frames are not evenly spaced in time.
        """
        number, at = self.first, 0
        while at < len(wanted):
            if number > self.first:
                if not self._capture.grab():
                    about = f"ends after frame {number - 1}" + (
                        f", though it claims {self.count} frames" if self.count > number - self.first else ""
                    )
                    raise self._too_short(about, number - 1, int(wanted[-1]), where)
                self._check_time(number)
            if wanted[at] == number:
                yield number, self._image if number == self.first else self._decode(number)
                at += 1
            number += 1

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def _decode(self, number: int) -> np.ndarray:
        done, image = self._capture.retrieve()
        if not done or image is None or image.ndim != 3:
            raise KeyReIDError(f"{self.path}: frame {number} cannot be decoded; the file is damaged")
        size = getattr(self, "size", None)
        if size is not None and image.shape[1::-1] != size:
            raise KeyReIDError(
                f"{self.path}: frame {number} is {image.shape[1]}x{image.shape[0]}, those before "
                f"{size[0]}x{size[1]}; expected one size"
            )
        return image

    def _check_time(self, number: int) -> None:
        """A lost frame shifts all numbers after it, and so would put every box on the wrong picture."""
        time = self._capture.get(cv2.CAP_PROP_POS_MSEC) - self._start
        if self._count_frames or not self.rate or time <= 0:
            return
        found = time / 1000 * self.rate
        if abs(found - (number - self.first)) > 0.6:
            raise KeyReIDError(
                f"{self.path}: frame {number} has the time of frame {self.first + found:.1f} at "
                f"{self.rate:.3f} frames/s: frames are lost or the rate varies, so numbers are not exact; "
                "re-encode at a constant rate and track again, or use --count-frames if the tracker counted "
                "the frames of this very file"
            )

    def _too_short(self, about: str, last: int, number: int, where: str) -> KeyReIDError:
        return KeyReIDError(
            f"{self.path}: {about}, but {where} names frame {number}; the tracks are of another video or the "
            f"file is damaged: --last-frame {last} uses what is there"
        )


class FolderFrames:
    """Images of a folder in the order of the numbers at the end of their names.

    size: (width, height) of the first. count: images. rate: 0, unknown.
    """

    rate = 0.0

    def __init__(self, path: Path, first: int = 1):
        self.path, self.first = path, first
        if not path.is_dir():
            raise KeyReIDError(f"{path}: no such folder of frames; for a video file use --video")
        with os.scandir(path) as entries:
            names = [e.name for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES) and e.name[0] != "."]
        if not names:
            raise KeyReIDError(f"{path}: holds no image; expected {', '.join(IMAGE_SUFFIXES)}")
        numbered = sorted((_number(path, name), name) for name in names)
        for (number, name), (following, next_name) in pairwise(numbered):
            if following != number + 1:
                raise KeyReIDError(
                    f"{path}: {next_name} comes after {name}; expected one image for every frame, numbered "
                    "without a gap, as the tracker saw them"
                )
        self._names = [name for _, name in numbered]
        self.count = len(names)
        image = self._decode(0)
        self.size = (image.shape[1], image.shape[0])

    def check_last(self, number: int, where: str) -> None:
        """Raises KeyReIDError where there is no frame `number`."""
        if number >= self.first + self.count:
            last = self.first + self.count - 1
            raise KeyReIDError(
                f"{self.path}: its {self.count} images are frames {self.first}..{last}, but {where} names "
                f"frame {number}; give the tracks of these frames, or --last-frame {last}"
            )

    def read(self, wanted: np.ndarray, where: str) -> Iterator[tuple[int, np.ndarray]]:
        """(number, uint8 [H, W, 3] in BGR) of the `wanted` numbers, ascending."""
        for number in wanted.tolist():
            image = self._decode(number - self.first)
            if image.shape[1::-1] != self.size:
                raise KeyReIDError(
                    f"{self.path / self._names[number - self.first]}: is {image.shape[1]}x{image.shape[0]}, "
                    f"the first frame {self.size[0]}x{self.size[1]}; expected one size"
                )
            yield number, image

    def close(self) -> None:
        """Nothing is held open."""

    def _decode(self, index: int) -> np.ndarray:
        path = self.path / self._names[index]
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        except (OSError, cv2.error):
            image = None
        if image is None:
            raise KeyReIDError(f"{path}: is no readable picture; extract the frames again")
        return image


def _is_video(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            data = file.read(3 * _PACKET)
    except OSError as error:
        raise KeyReIDError(f"{path}: cannot be read: {error.strerror or error}") from error
    stream = any(data[at::step][:2] == b"GG" for at, step in ((0, _PACKET), (4, _PACKET + 4)))
    return stream or any(data.startswith(mark, at) for at, mark in _BEGINNINGS)


def _number(folder: Path, name: str) -> int:
    found = re.search(r"(\d{1,15})$", Path(name).stem, re.ASCII)
    if found is None:
        raise KeyReIDError(f"{folder / name}: has no frame number; expected names like 000001.jpg")
    return int(found[1])
