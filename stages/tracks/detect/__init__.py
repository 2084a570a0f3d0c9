"""Person detectors behind one interface: a BGR image in, boxes and scores of persons out."""

from stages.tracks.detect.base import Detections, Detector
from stages.tracks.detect.network import load_detector

__all__ = ["Detections", "Detector", "load_detector"]
