"""A detector in an ONNX file, run by onnxruntime on the CPU or a CUDA device."""

from pathlib import Path

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from stages.extras import TRACKING
from stages.tracks.detect.base import Detections, Detector
from stages.tracks.detect.input import network_input
from stages.tracks.detect.output import READ, drop_overlapping
from stages.tracks.detect.spec import DetectorSpec, detector_file, load_detector_spec

DEFAULT = "centernet-mobilenetv3"


class OnnxDetector:
    """The network of a spec. threads: of onnxruntime, 0 for one per core."""

    def __init__(self, spec: DetectorSpec, device: str = "auto", threads: int = 0):
        path, self.sha256 = detector_file(spec)
        self.name, self.spec = spec.name, spec
        self._session = _session(path, device, threads)
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._read = READ[spec.output]

    def detect(self, image: np.ndarray) -> Detections:
        """Persons in uint8 [H, W, 3] BGR, with every score from the spec's lowest on."""
        values, scale = network_input(image, self.spec)
        given = {self._inputs[0]: values}
        if self.spec.output == "dfine":
            given[self._inputs[1]] = np.array([image.shape[1::-1]], np.int64)
            scale = (1.0, 1.0)
        output = dict(zip(self._outputs, self._session.run(None, given), strict=True))
        try:
            boxes, scores = self._read(output, self.spec.person, self.spec.scores.lowest, values.shape[:1:-1])
        except (KeyError, IndexError, ValueError) as error:
            shapes = {name: value.shape for name, value in output.items()}
            raise KeyReIDError(
                f"detector {self.name}: {self.spec.file} puts out {shapes}; expected what output: "
                f"{self.spec.output} in its YAML file stands for"
            ) from error
        boxes = boxes.astype(np.float32) / np.float32((*scale, *scale))
        sound = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        detections = Detections(boxes[sound], scores[sound].astype(np.float32))
        if self.spec.overlap < 1 and len(detections):
            detections = detections.where(
                drop_overlapping(detections.boxes, detections.scores, self.spec.overlap)
            )
        return detections


def load_detector(name: str = DEFAULT, device: str = "auto", threads: int = 0) -> Detector:
    """The detector of that name in configs/detect/, or of a YAML file.

    device: cpu, cuda or auto (CUDA where onnxruntime has it). Raises KeyReIDError where the file, or
    onnxruntime, is missing.
    """
    return OnnxDetector(load_detector_spec(name), device, threads)


def _session(path: Path, device: str, threads: int):
    with TRACKING.imported():
        import onnxruntime
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not cuda):
        raise KeyReIDError(
            f"--device {device}: expected cpu, cuda or auto"
            + ("; this onnxruntime has no CUDA: pip install onnxruntime-gpu" if device == "cuda" else "")
        )

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    providers = ["CUDAExecutionProvider"] if cuda and device != "cpu" else []
    providers.append("CPUExecutionProvider")
    with reading(path, "a network that onnxruntime can load"):
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
