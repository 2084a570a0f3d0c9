"""Detections of one frame after another joined into tracks, by the library `trackers`."""

import numpy as np

from stages.extras import TRACKING
from stages.tracks.config import TrackConfig
from stages.tracks.detect.base import Detections
from stages.tracks.detect.spec import Scores

_CLASSES = {
    "bytetrack": "ByteTrackTracker",
    "sort": "SORTTracker",
    "ocsort": "OCSORTTracker",
    "botsort": "BoTSORTTracker",
}
# Least overlap with the place where a track is expected. The library's 0.1 swaps more persons who cross:
# IDF1 0.61 and 0.66 on the two videos of benchmarks/track.py, 0.78 and 0.73 with 0.3.
_OPTIONS = {"bytetrack": {"minimum_iou_threshold": 0.3}}
_BUFFER_RATE = 30  # frames/s in which the library counts how long a track may be lost


class Associator:
    """A tracker of TrackConfig. rate: frames/s. scores: thresholds of the detector.

    Raises KeyReIDError where the library is not installed.
    """

    def __init__(self, config: TrackConfig, scores: Scores, rate: float):
        with TRACKING.imported():
            import supervision
            import trackers
        self._detections = supervision.Detections
        lost = max(1, round(config.lost * _BUFFER_RATE))
        options = {"lost_track_buffer": lost, "frame_rate": rate, **_OPTIONS.get(config.tracker, {})}
        if config.tracker != "ocsort":
            options["track_activation_threshold"] = scores.start
        if config.tracker != "sort":
            options["high_conf_det_threshold"] = scores.sure
        self._tracker = getattr(trackers, _CLASSES[config.tracker])(**options)
        self._looks = config.tracker == "botsort"  # at the frame, for the camera's own motion

    def update(self, detections: Detections, image: np.ndarray) -> tuple[Detections, np.ndarray]:
        """The detections that belong to a track, and its number from 1: int64 [N]. Call for every frame."""
        given = self._detections(xyxy=detections.boxes.reshape(-1, 4), confidence=detections.scores)
        tracked = self._tracker.update(given, image if self._looks else None)
        if not len(tracked):
            return detections.where(np.zeros(len(detections), bool)), np.zeros(0, np.int64)
        kept = tracked.tracker_id >= 0
        boxes, scores = tracked.xyxy[kept], tracked.confidence[kept]
        return Detections(boxes, scores), tracked.tracker_id[kept].astype(np.int64) + 1
