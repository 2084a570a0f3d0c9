"""Tracklets cut while they are tracked: crops go to disk at once, only boxes stay until a tracklet ends."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages.tracks.config import CropConfig
from stages.tracks.crops import write_crop
from stages.tracks.detect.base import Detections
from stages.tracks.segments import clip_boxes


@dataclass
class Tracklet:
    """A tracklet, finished or not. boxes: (number of the frame, left, top, right, bottom)."""

    track: int
    folder: Path
    start: float
    end: float = 0.0
    score: float = 0.0
    name: str = ""
    boxes: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.boxes[0][0]

    @property
    def last(self) -> int:
        return self.boxes[-1][0]


class TrackletCutter:
    """Cuts the tracklets of one video into root/PERSON/CAMERA/FIRST-LAST/NUMBER.jpg.

    person: what precedes the number of the track. left_out: why boxes were not used, how many.
    Memory: the boxes of unfinished tracklets, at most max_length each; finished ones wait for `take`.
    """

    def __init__(self, root: Path, person: str, camera: str, config: CropConfig, max_length: int):
        self._root, self._person, self._camera = root, person, camera
        self._config, self._max_length = config, max_length
        self._open: dict[int, Tracklet] = {}
        self._finished: list[Tracklet] = []
        self.left_out: dict[str, int] = {}

    def add(
        self, number: int, seconds: float, image: np.ndarray, detections: Detections, tracks: np.ndarray
    ) -> None:
        """The tracked boxes of a frame. Frames come in ascending order."""
        config, (height, width) = self._config, image.shape[:2]
        whole = np.rint(detections.boxes).astype(np.int64)
        bare = clip_boxes(whole, width, height, 0, 0)
        padded = clip_boxes(whole, width, height, config.pad_width, config.pad_height)
        for track, score, inside, box in zip(tracks.tolist(), detections.scores, bare, padded, strict=True):
            if (inside[2:] - inside[:2] < (config.min_width, config.min_height)).any():
                self._leave_out(f"smaller than {config.min_width}x{config.min_height} inside the frame", 1)
                continue
            tracklet = self._open.get(track)
            if tracklet and (
                number - tracklet.last - 1 > config.max_gap or len(tracklet.boxes) >= self._max_length
            ):
                self._close(track)
                tracklet = None
            if tracklet is None:
                folder = self._root / f"{self._person}-{track:04d}" / self._camera / f"{number:06d}-"
                folder.mkdir(parents=True)
                tracklet = self._open[track] = Tracklet(track, folder, seconds)
            write_crop(tracklet.folder / f"{number:06d}.jpg", image, box, config)
            tracklet.boxes.append((number, *box.tolist()))
            tracklet.end = seconds
            tracklet.score += float(score)
        for track in [t for t, open_ in self._open.items() if number - open_.last > config.max_gap]:
            self._close(track)

    def end(self) -> None:
        """End of the video: finish all tracklets."""
        for track in list(self._open):
            self._close(track)

    def take(self) -> list[Tracklet]:
        """The tracklets that were finished since the last call, in the order in which they ended."""
        finished, self._finished = self._finished, []
        return finished

    def _close(self, track: int) -> None:
        tracklet = self._open.pop(track)
        camera = tracklet.folder.parent
        if len(tracklet.boxes) < self._config.min_length:
            reason = f"in tracklets shorter than {self._config.min_length} frames"
            self._leave_out(reason, len(tracklet.boxes))
            shutil.rmtree(tracklet.folder)
            if not any(camera.iterdir()):
                camera.rmdir()
                camera.parent.rmdir()
            return
        final = camera / f"{tracklet.first:06d}-{tracklet.last:06d}"
        tracklet.folder = tracklet.folder.rename(final)
        tracklet.name = final.relative_to(self._root).as_posix()
        self._finished.append(tracklet)

    def _leave_out(self, reason: str, count: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + count
