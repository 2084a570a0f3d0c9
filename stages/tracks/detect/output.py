"""What detection networks put out, read as boxes [N, 4] (left, top, right, bottom) and scores [N].

centernet  heat [1, 1, h, w] and sides [1, 4, h, w]: a person at each local maximum of the heat (Zhou et al.,
           Objects as Points, 2019); sides are left, top, right, bottom in px of the input, a cell is 4 px
yolox      [1, N, 5 + classes] before decoding (Ge et al., YOLOX, 2021): offsets and log sizes in cells of
           8, 16 and 32 px, probability of an object, of each class
boxes      dets [1, N, 5] (left, top, right, bottom, score) and labels [1, N], in px of the input: what
           mmdeploy exports for RTMDet and YOLOX
dfine      labels [1, N], boxes [1, N, 4] and scores [1, N], in px of the image, whose size is a second input
detr       boxes [1, N, 4] (centre, size; shares of the input) and class logits [1, N, classes]: RF-DETR
"""

from collections.abc import Callable

import cv2
import numpy as np

_CELL = 4
_PEAK = np.ones((3, 3), np.uint8)

Output = dict[str, np.ndarray]
Read = Callable[[Output, int, float, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def centernet(output: Output, person: int, lowest: float, size: tuple[int, int]):
    heat, sides = output["heat"][0, person], output["sides"][0]
    rows, columns = np.nonzero((heat == cv2.dilate(heat, _PEAK)) & (heat >= lowest))
    left, top, right, bottom = sides[:, rows, columns]
    x, y = _CELL * columns, _CELL * rows
    return np.stack([x - left, y - top, x + right, y + bottom], axis=1), heat[rows, columns]


def yolox(output: Output, person: int, lowest: float, size: tuple[int, int]):
    (values,) = output.values()
    values = values[0]
    cells, strides = [], []
    for stride in (8, 16, 32):
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full(x.size, stride, np.float32))
    stride = np.concatenate(strides)[:, None]
    scores = values[:, 4] * values[:, 5 + person]
    kept = scores >= lowest
    centre = ((values[:, :2] + np.concatenate(cells)) * stride)[kept]
    half = (np.exp(values[kept, 2:4]) * stride[kept]) / 2
    return np.concatenate([centre - half, centre + half], axis=1), scores[kept]


def boxes(output: Output, person: int, lowest: float, size: tuple[int, int]):
    dets, labels = output["dets"][0], output["labels"][0]
    kept = (labels == person) & (dets[:, 4] >= lowest)
    return dets[kept, :4], dets[kept, 4]


def dfine(output: Output, person: int, lowest: float, size: tuple[int, int]):
    scores = output["scores"][0]
    kept = (output["labels"][0] == person) & (scores >= lowest)
    return output["boxes"][0][kept], scores[kept]


def detr(output: Output, person: int, lowest: float, size: tuple[int, int]):
    scores = 1 / (1 + np.exp(-output["labels"][0][:, person]))
    kept = scores >= lowest
    centre, half = output["dets"][0][kept, :2], output["dets"][0][kept, 2:] / 2
    shares = np.concatenate([centre - half, centre + half], axis=1)
    return shares * np.float32((*size, *size)), scores[kept]


READ: dict[str, Read] = {f.__name__: f for f in (centernet, yolox, boxes, dfine, detr)}


def drop_overlapping(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of the boxes that no better box covers with an IoU above `overlap`."""
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.int64).reshape(-1)
