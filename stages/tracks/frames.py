"""Frames of a folder of images, one at a time, with exact numbers."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.files import IMAGE_SUFFIXES
from stages.frame_file import decoder_warning, load, read_picture


class FolderFrames:
    """Images of a folder in the order of the numbers at the end of their names.

    size: (width, height) of the first. count: images. The rest is as in VideoFrames: rate unknown, damaged
    the numbers of JPEGs that decode with a warning, said the first warning.
    """

    rate = 0.0

    def __init__(self, path: Path, first: int = 1):
        self.path, self.first = path, first
        self.damaged: set[int] = set()
        self.said = ""
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
        """Nothing to close: images are opened one at a time."""

    def _decode(self, index: int) -> np.ndarray:
        path = self.path / self._names[index]
        image, warning = read_picture(path), decoder_warning(load(path))
        if warning:
            self.damaged.add(self.first + index)
            self.said = self.said or warning
        return image


def _number(folder: Path, name: str) -> int:
    digits = re.search(r"(\d{1,15})$", Path(name).stem, re.ASCII)
    if digits is None:
        raise KeyReIDError(f"{folder / name}: has no frame number; expected names like 000001.jpg")
    return int(digits[1])
