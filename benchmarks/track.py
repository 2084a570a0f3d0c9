"""Tracking against detection alone, and how good both are, with the detector that comes with the program.

    python -m benchmarks.track                                       # two videos of walkers who cross
    python -m benchmarks.track --video one-by-one.mp4 --boxes boxes.csv --sparse

Detection alone decodes every frame and looks for persons; `keyreid track` also tracks, cuts, and writes crops
and tables. Both use the same threads. The CPU clock counts what this process was given, which a busy machine
disturbs less than the wall clock. Recall is that of the detector at IoU 0.5, before tracking. Boxes: a
MOTChallenge file, or a CSV file with the columns video_frame (from 0), pid, x, y, w, h; `--sparse` judges
only frames that it names. Detection alone is the floor of tracking.
"""

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import floors
from stages.datasets.walkers.street import StreetConfig, make_videos
from stages.tracks.cameras import load_cameras
from stages.tracks.config import CameraConfig, TrackConfig
from stages.tracks.detect import Detector, load_detector
from stages.tracks.stream import VideoStream
from stages.tracks.track import records, run
from stages.tracks.truth import score_tracks


@dataclass
class Timed:
    """How long some frames took, in seconds of the wall clock and of the CPU clock of all threads."""

    frames: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.frames / self.wall


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="instead of walkers; with --boxes")
    parser.add_argument("--boxes", type=Path, help="its true boxes")
    parser.add_argument("--sparse", action="store_true", help="judge only frames that have true boxes")
    parser.add_argument("--persons", type=int, default=6, help="walkers in each made video")
    parser.add_argument("--detector", default=TrackConfig().detector, help="name or YAML file")
    parser.add_argument("--tracker", default=TrackConfig().tracker, help="bytetrack, sort, ocsort or botsort")
    parser.add_argument("--threads", type=int, default=1, help="of the detector")
    options = parser.parse_args(arguments)
    if (options.video is None) != (options.boxes is None):
        parser.error("--video goes with --boxes")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse(arguments)
    detector = load_detector(options.detector, "cpu", options.threads)
    config = TrackConfig(detector=options.detector, tracker=options.tracker)
    table = Table(
        "video", "frames", "recall", "IDF1", "HOTA", "MOTA", "switches", "detection", "tracking", "CPU ratio",
        title=f"{detector.name}, {options.tracker}, {options.threads} threads",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for camera, truth in _videos(options, Path(folder)):
            table.add_row(*_row(config, camera, truth, detector, options.sparse, Path(folder)))
    Console().print(table)
    print(f"{floors.peak_memory()}, {floors.busy()}")


def _videos(options, folder: Path) -> list[tuple[CameraConfig, Path]]:
    """Cameras of one video each, with their truth in MOTChallenge format."""
    if options.video is None:
        listed = make_videos(StreetConfig(persons=options.persons), folder)
        return [(camera, folder / f"{camera.name}.truth.txt") for camera in load_cameras(listed)]
    truth = options.boxes
    if truth.suffix == ".csv":
        truth = folder / "truth.txt"
        with options.boxes.open(newline="") as file:
            truth.write_text(
                "".join(
                    f"{int(r['video_frame']) + 1},{r['pid']},{r['x']},{r['y']},{r['w']},{r['h']},1,1,1\n"
                    for r in csv.DictReader(file)
                )
            )
    return [(CameraConfig(name="camera", files=[options.video]), truth)]


def _row(
    config: TrackConfig, camera: CameraConfig, truth: Path, detector: Detector, sparse: bool, folder: Path
) -> list[str]:
    detections, alone = _detect(camera.files[0].file, detector)
    started, cpu = time.perf_counter(), time.process_time()
    out = run(config, [camera], folder / f"tracks-{camera.name}", detector=detector)
    tracking = Timed(len(detections), time.perf_counter() - started, time.process_time() - cpu)
    (record,) = records(out)
    scores = score_tracks(truth, out / f"{record['tag']}.txt", sparse)
    return [
        camera.files[0].file.name,
        f"{len(detections):,}",
        f"{_recall(truth, detections):.3f}",
        *(f"{scores[name]:.3f}" for name in ("IDF1", "HOTA", "MOTA")),
        str(scores["switches"]),
        f"{alone.rate:.1f}/s",
        f"{tracking.rate:.1f}/s",
        f"{alone.cpu / tracking.cpu:.2f}",
    ]


def _detect(video: Path, detector: Detector) -> tuple[dict[int, np.ndarray], Timed]:
    """Boxes of every frame that are sure enough to be in a track, and the time it took."""
    for _, _, image in islice(VideoStream(video), 3):
        detector.detect(image)  # warm
    detections = {}
    started, cpu = time.perf_counter(), time.process_time()
    for number, _, image in VideoStream(video):
        detections[number] = detector.detect(image).boxes
    return detections, Timed(len(detections), time.perf_counter() - started, time.process_time() - cpu)


def _recall(truth: Path, detections: dict[int, np.ndarray]) -> float:
    """Share of true boxes (flagged 1) that overlap a detection of their own with an IoU of at least 0.5."""
    from scipy.optimize import linear_sum_assignment
    from trackers.eval import box_iou

    rows = np.loadtxt(truth, delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] != 0]
    true = defaultdict(list)
    for row in rows:
        left, top, width, height = row[2:6]
        true[int(row[0])].append((left, top, left + width, top + height))
    hits = 0
    for number, boxes in true.items():
        detected = detections[number].reshape(-1, 4).astype(float)
        overlaps = box_iou(np.array(boxes), detected, box_format="xyxy") >= 0.5
        hits += int(overlaps[linear_sum_assignment(overlaps, maximize=True)].sum())
    return hits / len(rows)


if __name__ == "__main__":
    main()
