"""All frames of a video, one after the other, with their times: for trackers that run on the fly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.tracks.decode import Decoder

_RATE = 25.0  # frames/s where neither file nor user says


class VideoStream:
    """Frames numbered from 1 as they come; each has its own time, so a varying rate is accepted.

    rate: frames/s. count: frames as the file claims, 0 unknown. fps: takes the place of the file's own times.
    damaged: how many frames or pieces FFmpeg complained of so far; said: its words for the first.
    size: (width, height), known from the first frame on.
    """

    def __init__(self, path: Path, fps: float | None = None):
        self.path, self._fps = path, fps
        self.damaged, self.said = 0, ""
        self.size: tuple[int, int] | None = None
        if not path.is_file():
            raise KeyReIDError(f"{path}: no such video")
        self._decoder = Decoder(path)
        self.rate, self.count = fps or self._decoder.rate or _RATE, self._decoder.count

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """(number, seconds since the first frame, uint8 [H, W, 3] in BGR). Raises KeyReIDError."""
        number, first, seconds = 0, None, 0.0
        for decoded in self._decoder:
            if decoded.said:
                self.damaged += 1
                self.said = self.said or decoded.said
            if decoded.frame is None:
                continue
            number += 1
            even = seconds + 1 / self.rate if number > 1 else 0.0
            if first is None:
                first = decoded.time
            known = self._fps is None and decoded.time is not None and first is not None
            # A clip's times may jump back (joined files); the order of frames is what holds.
            seconds = max(decoded.time - first, seconds) if known else even
            yield number, seconds, self._image(decoded.frame, number)
        if not number:
            raise self._decoder.no_frame()

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def _image(self, frame, number: int) -> np.ndarray:
        image = self._decoder.image(frame, number, "the file is damaged: copy it again from its source")
        size = image.shape[1::-1]
        if self.size is None:
            self.size = size
        elif size != self.size:
            raise KeyReIDError(
                f"{self.path}: frame {number} is {size[0]}x{size[1]}, those before "
                f"{self.size[0]}x{self.size[1]}; expected one size: split the file there"
            )
        return image
