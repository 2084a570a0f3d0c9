"""From an image to a network's input, and how boxes come back."""

import cv2
import numpy as np

from stages.tracks.detect.spec import DetectorSpec

_STRIDE = 32  # of the deepest features of all these networks
_GREY = 114  # what YOLOX and RTMDet pad with


def network_input(image: np.ndarray, spec: DetectorSpec) -> tuple[np.ndarray, tuple[float, float]]:
    """float32 [1, 3, H, W] of uint8 [h, w, 3] BGR, and input pixels per pixel of the image (x, y).

    The image lies in the upper left corner of the input.
    """
    height, width = image.shape[:2]
    if spec.fit == "stretch":
        inner = canvas = spec.size
    else:
        scale = min(spec.size[0] / width, spec.size[1] / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = spec.size if spec.fit == "pad" else tuple(-(-side // _STRIDE) * _STRIDE for side in inner)
    shrinks = inner[0] < width or inner[1] < height
    picture = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    picture = cv2.copyMakeBorder(
        picture, 0, canvas[1] - inner[1], 0, canvas[0] - inner[0], cv2.BORDER_CONSTANT, value=(_GREY,) * 3
    )
    if spec.channels == "rgb":
        picture = picture[..., ::-1]
    values = (picture.astype(np.float32) - np.float32(spec.mean)) / np.float32(spec.deviation)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), (inner[0] / width, inner[1] / height)
