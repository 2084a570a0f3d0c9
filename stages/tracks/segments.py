"""Which boxes become which tracklet: clipped, filtered by size, split at gaps, filtered by length."""

from dataclasses import dataclass

import numpy as np

from cache.errors import KeyReIDError
from stages.tracks.config import CutConfig
from stages.tracks.motfile import Boxes


@dataclass(frozen=True)
class Segments:
    """Crops sorted by frame, and the tracklets they belong to.

    frame: int32 [N], ascending. box: int32 [N, 4], padded and clipped. segment: int32 [N].
    track, first, last, length: int64 [S], per tracklet: id, first and last frame, number of crops.
    left_out: why boxes were not used, and how many.
    """

    frame: np.ndarray
    box: np.ndarray
    segment: np.ndarray
    track: np.ndarray
    first: np.ndarray
    last: np.ndarray
    length: np.ndarray
    left_out: dict[str, int]


def clip_boxes(box: np.ndarray, width: int, height: int, pad_width: float, pad_height: float) -> np.ndarray:
    """int32 [N, 4] with the margins added (rounded down to whole pixels) and clipped to the frame."""
    sides = box[:, 2:] - box[:, :2]
    # The tiny term keeps 0.04 * 100 from being 3.999...
    margin = np.floor(sides * (pad_width, pad_height) + 1e-9).astype(np.int32)
    low = np.clip(box[:, :2] - margin, 0, (width, height))
    high = np.clip(box[:, 2:] + margin, 0, (width, height))
    return np.concatenate([low, high], axis=1).astype(np.int32)


def make_segments(boxes: Boxes, width: int, height: int, config: CutConfig) -> Segments:
    """Plan the tracklets of frames of the given size. Raises KeyReIDError when none is left."""
    left_out = dict(boxes.left_out)
    bare = clip_boxes(boxes.box, width, height, 0, 0)
    sides = bare[:, 2:] - bare[:, :2]
    # Boxes narrower than a pixel may be rounded to nothing; that alone is not outside.
    low, high = boxes.box[:, :2], np.maximum(boxes.box[:, 2:], boxes.box[:, :2] + 1)
    outside = ((high <= 0) | (low >= (width, height))).any(1)
    small = ~outside & (sides < (config.min_width, config.min_height)).any(1)
    for reason, rows in (
        ("outside the frame", outside),
        (f"smaller than {config.min_width}x{config.min_height} inside the frame", small),
    ):
        if rows.any():
            left_out[reason] = int(rows.sum())
    kept = np.flatnonzero(~(outside | small))
    kept = kept[np.lexsort((boxes.frame[kept], boxes.track[kept]))]
    frame, track = boxes.frame[kept].astype(np.int64), boxes.track[kept]
    starts = np.ones(len(kept), bool)
    starts[1:] = (track[1:] != track[:-1]) | (frame[1:] - frame[:-1] - 1 > config.max_gap)
    number = np.cumsum(starts) - 1
    length = np.bincount(number, minlength=0)
    long = length >= config.min_length
    if not long.all():
        left_out[f"in tracklets shorter than {config.min_length} frames"] = int(length[~long].sum())
    if not long.any():
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise KeyReIDError(
            f"no tracklet is left of {len(boxes.frame)} boxes in frames of {width}x{height}: {why}; loosen "
            "--min-length, --min-width, --min-height or --max-gap"
        )
    used = long[number]
    renumber = np.cumsum(long) - 1
    rows, segment = kept[used], renumber[number[used]]
    first = np.flatnonzero(starts)[long]
    last = first + length[long] - 1
    padded = clip_boxes(boxes.box[rows], width, height, config.pad_width, config.pad_height)
    by_frame = np.argsort(boxes.frame[rows], kind="stable")
    return Segments(
        frame=boxes.frame[rows][by_frame],
        box=padded[by_frame],
        segment=segment[by_frame].astype(np.int32),
        track=track[first],
        first=frame[first],
        last=frame[last],
        length=length[long],
        left_out=left_out,
    )
