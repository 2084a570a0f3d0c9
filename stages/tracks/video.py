"""Frames of a video file, one at a time, with exact numbers; damage is named."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from cache.errors import KeyReIDError
from stages.tracks.decode import ERRORS, Decoded, Decoder, count_packets

_SLACK = 0.02  # a container's count of frames may be an estimate
_REORDERED = 16  # frames that a decoder may hold back


class VideoFrames:
    """Decodes a video from its beginning, frame by frame: seeking is not exact in most formats.

    size: (width, height). count: frames as the file claims, 0 unknown. rate: frames/s, 0 unknown.
    damaged: numbers of the frames read so far that FFmpeg reported as damaged, but delivered; what it made up
    stays in the frames after them up to the next key frame, and in some before where frames are reordered.
    said: its words for the first.
    """

    def __init__(self, path: Path, first: int = 1, count_frames: bool = False):
        self.path, self.first, self._count_frames = path, first, count_frames
        self.damaged: set[int] = set()
        self.said = self._lost = ""
        self._lost_number = first
        self._start: float | None = None
        self.size: tuple[int, int] | None = None
        if not path.is_file():
            raise KeyReIDError(f"{path}: no such video; for a folder of images use --frames")
        self._decoder = Decoder(path)
        self.rate, self.count = self._decoder.rate, self._decoder.count
        self._decoded = iter(self._decoder)
        with contextlib.ExitStack() as opened:
            opened.callback(self.close)
            self._frame = self._next(first)
            if self._frame is None:
                raise self._decoder.no_frame()
            self.size = self._image(self._frame, first).shape[1::-1]
            opened.pop_all()  # stays open

    def check_last(self, number: int, where: str) -> None:
        """Raises KeyReIDError, before any work, where the file cannot hold the frame `number`."""
        if not self.count or number <= self._reach(self.count):
            return
        with contextlib.suppress(*ERRORS):  # of damage: reading the frames will say where
            self.count = max(self.count, count_packets(self.path))  # some headers are wrong
        if number > self._reach(self.count):
            last = self.first + self.count - 1
            raise self._too_short(f"has about {self.count} frames", last, number, where)

    def _reach(self, count: int) -> float:
        """The highest frame number that a video of about this many frames may have."""
        return self.first + count - 1 + max(10, _SLACK * count)

    def read(self, wanted: np.ndarray, where: str) -> Iterator[tuple[int, np.ndarray]]:
        """(number, uint8 [H, W, 3] in BGR) of the `wanted` numbers, ascending.

        Raises KeyReIDError where the video ends before, or its frames are not evenly spaced in time, and
        ValueError after close().
        """
        number, at, frame = self.first, 0, self._frame
        while at < len(wanted):
            if number > self.first:
                frame = self._next(number)
            if frame is None:
                about = f"ends after frame {number - 1}" + (
                    f", though it claims {self.count} frames" if self.count > number - self.first else ""
                )
                raise self._too_short(about, number - 1, int(wanted[-1]), where)
            if wanted[at] == number:
                yield number, self._image(frame, number)
                at += 1
            number += 1

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def _next(self, number: int) -> av.VideoFrame | None:
        reports = []  # kept until the frame: the first frame tells at what time the numbers start
        for decoded in self._decoded:
            if decoded.said:
                reports.append(decoded)
            if decoded.frame is not None:
                if number == self.first:
                    self._start = decoded.time
                self._note(reports, number)
                self._check_time(number, decoded.time)
                return decoded.frame
        self._note(reports, number)
        if self._lost and number > self.first and not self._count_frames:
            raise self._undecodable(number)
        return None

    def _note(self, reports: list[Decoded], number: int) -> None:
        for report in reports:
            actual, time = number, report.time
            if report.frame is None and time is not None and self._start is not None and self.rate:
                actual = self.first + round((time - self._start) * self.rate)
                actual = min(max(actual, number), number + _REORDERED)
            self.damaged.add(actual)
            self.said = self.said or report.said
            if report.lost:  # or only held back, where the decoder reorders
                self._lost, self._lost_number = report.said, max(actual, self._lost_number)

    def _check_time(self, number: int, time: float | None) -> None:
        """A lost frame shifts all numbers after it, and so would put every box on the wrong picture."""
        if self._count_frames:
            return
        if self._start is None or not self.rate:
            if self._lost and number > self.first:
                raise self._undecodable(number)
            self._lost = ""  # what came before the first frame has no number
        if self._start is None or time is None or not self.rate:
            return
        actual = (time - self._start) * self.rate
        if abs(actual - (number - self.first)) > 0.6:
            if self._lost:
                raise self._undecodable(number)
            raise KeyReIDError(
                f"{self.path}: frame {number} has the time of frame {self.first + actual:.1f} at "
                f"{self.rate:.3f} frames/s: frames are lost or the rate varies, so numbers are not exact; "
                "re-encode at a constant rate and track again, or use --count-frames if the tracker counted "
                "the frames of this very file"
            )
        if number >= self._lost_number:
            self._lost = ""  # it was not lost

    def _image(self, frame: av.VideoFrame, number: int) -> np.ndarray:
        remedy = f"the file is damaged: --last-frame {number - 1} uses what is before"
        image = self._decoder.image(frame, number, remedy)
        if self.size is not None and image.shape[1::-1] != self.size:
            raise KeyReIDError(
                f"{self.path}: frame {number} is {image.shape[1]}x{image.shape[0]}, those before "
                f"{self.size[0]}x{self.size[1]}; expected one size"
            )
        return image

    def _undecodable(self, number: int) -> KeyReIDError:
        reason, before = self._lost, number - 1
        return KeyReIDError(
            f"{self.path}: frame {number} cannot be decoded ({reason}); the file is damaged: copy it again "
            f"from its source, or use what is before with --last-frame {before}"
        )

    def _too_short(self, about: str, last: int, number: int, where: str) -> KeyReIDError:
        return KeyReIDError(
            f"{self.path}: {about}, but {where} names frame {number}; the tracks are of another video or the "
            f"file is damaged: --last-frame {last} uses what is there"
        )
