"""Which frames of a tracklet make a clip."""

import numpy as np

from stages.reid.data.config import ClipConfig


def training_clips(lengths: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One random frame from each of T equal segments; the last segment takes the remainder.

    lengths: int [B], frames of each tracklet, at least 1. draws: [B, T] in [0, 1).
    Returns int64 [B, T], positions in the tracklet, ascending. A tracklet of fewer than T frames
    gives all of them, some repeated.
    """
    lengths = np.asarray(lengths, dtype=np.int64)[:, None]
    segments = draws.shape[1]
    order = np.arange(segments)[None]
    size = lengths // segments
    width = np.where(order == segments - 1, lengths - size * (segments - 1), size)
    picked = order * size + (draws * width).astype(np.int64)
    return np.where(lengths < segments, order * lengths // segments, picked)


def consecutive_clips(
    length: int, frames: int, stride: int | None = None, cap: int | None = None
) -> np.ndarray:
    """Every clip of a tracklet for testing: int64 [C, frames], positions in the tracklet.

    Clips start every `stride` frames (default: `frames`, so they touch and do not overlap) and
    together reach the last frame (a stride above `frames` leaves out what lies between). A last clip
    that runs out of frames repeats its own from the start. cap: at most this many clips, the first ones.
    """
    stride = stride or frames
    count = min(1 + max(0, -(-(length - frames) // stride)), -(-length // stride))
    starts = np.arange(count if cap is None else min(count, cap), dtype=np.int64) * stride
    available = np.minimum(length - starts, frames)
    return starts[:, None] + np.arange(frames)[None] % available[:, None]


def spread_clips(length: int, frames: int, cap: int | None = None) -> np.ndarray:
    """Every clip of a tracklet for testing, each spanning it: int64 [C, frames], ascending positions.

    Clip c of C takes positions c, c + C, c + 2C, ..., so every frame is in one clip. A clip that runs out of
    frames repeats its own from the start. cap: at most this many clips, the first ones.
    """
    count = -(-length // frames)
    starts = np.arange(count if cap is None else min(count, cap), dtype=np.int64)
    available = -(-(length - starts) // count)
    return starts[:, None] + count * (np.arange(frames)[None] % available[:, None])


def test_clips(length: int, config: ClipConfig, trained: int) -> np.ndarray:
    """The clips of a tracklet that a config asks for: int64 [C, T]. trained: clip length of the network."""
    frames = config.clip_length or trained
    if config.clip_order == "spread":
        return spread_clips(length, frames, config.clip_cap)
    return consecutive_clips(length, frames, config.clip_stride, config.clip_cap)


test_clips.__test__ = False  # not a test, whatever its name
