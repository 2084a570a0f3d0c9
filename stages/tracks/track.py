"""From videos to tracklets: detect persons, track them, cut crops, all in one pass over each video.

OUT/PERSON/CAMERA/FIRST-LAST/NUMBER.jpg is the `folder` layout. A track is a person as far as the tracker
knows, so PERSON is the video's tag and the track's number. Beside it, for each video:

TAG.txt          the tracks in MOTChallenge format
TAG.boxes.tsv    where each crop is from
TAG.times.tsv    when each tracklet was filmed
TAG.track.json   what was done, with what; written last
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from cache.border import saving
from cache.errors import KeyReIDError
from cache.files import make_folder, sha256_of
from cache.lock import lock_folder
from stages.datasets.times import TIMES, write_times, written
from stages.extras import TRACKING
from stages.tracks.associate import Associator
from stages.tracks.cameras import tags
from stages.tracks.config import CameraConfig, TrackConfig
from stages.tracks.detect import Detections, Detector, load_detector
from stages.tracks.detect.spec import load_detector_spec
from stages.tracks.install import begin, install, resume
from stages.tracks.record import RECORD, read_record
from stages.tracks.stream import VideoStream
from stages.tracks.tracklets import TrackletCutter

Progress = Callable[[int, int], None]
BOX_COLUMNS = ("frame", "number", "track", "left", "top", "width", "height")


@dataclass(frozen=True)
class _Video:
    """One file, and what its results depend on."""

    path: Path
    tag: str
    camera: CameraConfig
    start: datetime | None
    offset: float  # seconds before its first frame, where there is no clock time
    fingerprint: str
    sha256: str

    @classmethod
    def of(cls, path, tag, camera, start, offset, config, detector) -> "_Video":
        digest, offset = sha256_of(path), 0.0 if start else offset
        settings = {
            "config": config.model_dump(mode="json"),
            "camera": camera.model_dump(mode="json", exclude={"files", "start"}),
            "start": start and start.isoformat(),
            "offset": offset,
            "video": digest,
            "detector": detector.sha256,
        }
        fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        return cls(path, tag, camera, start, offset, fingerprint, digest)


@dataclass
class _Counts:
    """Frames done of all videos."""

    total: int
    report: Progress | None
    done: int = 0

    def add(self, frames: int) -> None:
        self.done += frames
        if self.report is not None:
            self.report(self.done, max(self.total, self.done))


def run(
    config: TrackConfig,
    cameras: Sequence[CameraConfig],
    out: Path,
    *,
    device: str = "auto",
    detector: Detector | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Track the persons in all videos of `cameras` into the folder `out`; returns it.

    A video already tracked with these settings and this content is skipped; one tracked with others is
    refused, or replaced with `force`. Each video's results appear whole or not at all.
    detector: instead of the one that config names. progress: called with frames done and in all.
    Memory: a frame and the boxes of unfinished tracklets, however long the video.
    Raises KeyReIDError.
    """
    TRACKING.check()
    scores = load_detector_spec(config.detector).scores
    detector = detector or load_detector(config.detector, device)
    make_folder(out)
    with lock_folder(out), saving(out):
        resume(out)
        # no tracklets into a folder of something else
        visible = [path for path in out.iterdir() if path.name[0] != "." and path.name != "lock"]
        if visible and not any(path.name.endswith(RECORD) for path in visible):
            raise KeyReIDError(f"{out}: holds something else ({visible[0].name}); name a new folder")
        count = _Counts(_frames(cameras), progress)
        for camera in cameras:
            start, offset = camera.start, 0.0
            for given, tag in zip(camera.files, tags(camera), strict=True):
                start = given.start or start
                video = _Video.of(given.file, tag, camera, start, offset, config, detector)
                record = _done(out, video, force)
                if record is None:
                    record = _track(config, video, out, detector, scores, count)
                else:
                    count.add(record["frames"])
                offset += record["seconds"]
                start = start and start + timedelta(seconds=record["seconds"])
    return out


def records(out: Path) -> list[dict]:
    """The records of a folder, one per video."""
    return [read_record(path) for path in sorted(out.glob(f"*{RECORD}"))]


def _frames(cameras: Sequence[CameraConfig]) -> int:
    """Frames of all videos, as their files claim; opens every video, so that a bad one is known at once."""
    total = 0
    for camera in cameras:
        for given in camera.files:
            stream = VideoStream(given.file)
            total += stream.count
            stream.close()
    return total


def _done(out: Path, video: _Video, force: bool) -> dict | None:
    """The record of a video whose results are all there. Raises KeyReIDError: other settings."""
    path = out / f"{video.tag}{RECORD}"
    if not path.is_file():
        return None
    record = read_record(path)
    if record["fingerprint"] != video.fingerprint:
        if force:
            return None
        raise KeyReIDError(
            f"{path}: {video.tag} was tracked with other settings, or from another video "
            f"({record['source']}); name another folder, or replace its tracklets with --force"
        )
    whole = all(
        sum(1 for _ in (out / name).glob("*.jpg")) == crops for name, crops in record["tracklets"].items()
    )
    return record if whole else None


def _track(config, video: _Video, out: Path, detector: Detector, scores, count: _Counts) -> dict:
    camera = video.camera
    limits = {key: getattr(camera, key) for key in ("min_width", "min_height") if getattr(camera, key)}
    config = config.model_copy(update=limits)
    region = np.array(camera.region, np.float32).reshape(-1, 1, 2)
    folder = begin(out, video.tag)
    stream = VideoStream(video.path, camera.fps)
    cutter = TrackletCutter(folder, video.tag, camera.name, config, config.max_length)
    tracker = Associator(config, scores, stream.rate)
    tracklets: dict[str, int] = {}
    times: list[tuple] = []
    number = 0
    try:
        with ExitStack() as files:
            mot = files.enter_context((folder / f"{video.tag}.txt").open("w"))
            table = csv.writer(
                files.enter_context(
                    (folder / f"{video.tag}.boxes.tsv").open("w", newline="", encoding="utf-8")
                ),
                delimiter="\t",
                lineterminator="\n",
            )
            table.writerow(BOX_COLUMNS)

            def keep() -> None:
                for tracklet in cutter.take():
                    tracklets[tracklet.name] = len(tracklet.boxes)
                    moments = (
                        written(video.start, video.offset + seconds)
                        for seconds in (tracklet.start, tracklet.end)
                    )
                    times.append((tracklet.name, camera.name, tracklet.first, tracklet.last, *moments))
                    for at, left, top, right, bottom in tracklet.boxes:
                        name = f"{tracklet.name}/{at:06d}.jpg"
                        table.writerow((name, at, tracklet.track, left, top, right - left, bottom - top))

            for number, seconds, image in stream:
                detections = detector.detect(image)
                detections = detections.where(_wanted(detections, image.shape[0], region, config))
                tracked, numbers = tracker.update(detections, image)
                for track, score, (left, top, right, bottom) in zip(
                    numbers.tolist(), tracked.scores.tolist(), tracked.boxes.tolist(), strict=True
                ):
                    sides = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
                    mot.write(f"{number},{track},{sides},{score:.4f},-1,-1,-1\n")
                cutter.add(number, seconds, image, tracked, numbers)
                keep()
                count.add(1)
            cutter.end()
            keep()
        write_times(folder / f"{video.tag}.{TIMES}", times)
        record = {
            "tag": video.tag,
            "camera": camera.name,
            "source": str(video.path),
            "sha256": video.sha256,
            "fingerprint": video.fingerprint,
            "detector": {"name": detector.name, "sha256": detector.sha256},
            "frames": number,
            "frame_size": stream.size,
            "frames_per_second": stream.rate,
            "seconds": seconds + 1 / stream.rate,
            "start": video.start and video.start.isoformat(),
            "tracks": len({name.split("/")[0] for name in tracklets}),
            "crops": sum(tracklets.values()),
            "left_out": cutter.left_out,
            "damaged_frames": stream.damaged,
            "damage": stream.said or None,
            "config": config.model_dump(mode="json"),
            "tracklets": tracklets,
        }
        (folder / f"{video.tag}{RECORD}").write_text(json.dumps(record, indent=1))
        before = out / f"{video.tag}{RECORD}"  # of an earlier run over this video, whose folders go
        replaced = read_record(before)["tracklets"] if before.is_file() else ()
        install(out, video.tag, sorted({name.split("/")[0] for name in replaced}))
    finally:
        stream.close()
        shutil.rmtree(folder, ignore_errors=True)  # where it is not installed
    return record


def _wanted(detections: Detections, height: int, region: np.ndarray, config: TrackConfig) -> np.ndarray:
    """Which detections are large enough and have their feet in the region: bool [N]."""
    boxes = detections.boxes
    kept = (boxes[:, 2:] - boxes[:, :2] >= (config.min_width, config.min_height)).all(axis=1)
    if len(region):
        for row in np.flatnonzero(kept):
            left, _, right, bottom = boxes[row].tolist()
            feet = ((left + right) / 2, min(bottom, height - 1.0))
            kept[row] = cv2.pointPolygonTest(region, feet, False) >= 0
    return kept
