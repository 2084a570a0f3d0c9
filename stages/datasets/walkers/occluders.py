"""Things that stand between the camera and the walker."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from stages.datasets.walkers.draw import Canvas

KINDS = ("pole", "bin", "hedge", "sign", "car", "board")


@dataclass(frozen=True)
class Occluder:
    """One thing of the scene, in fractions of the frame; it passes as the walker walks on."""

    kind: str
    width: float
    top: float
    bottom: float
    x: np.ndarray  # [T] centre
    colour: np.ndarray  # BGR in [0, 1]
    seed: int

    def in_box(self, shift: np.ndarray, zoom: float) -> "Occluder":
        """The thing in a wrong box: zoomed about the frame's middle, then moved right and down."""
        if zoom == 1 and not shift.any():
            return self
        x, (top, bottom) = self.x - 0.5, (np.array([self.top, self.bottom]) - 0.5) * zoom + 0.5 + shift[1]
        return replace(self, width=self.width * zoom, top=top, bottom=bottom, x=x * zoom + 0.5 + shift[0])


def choose(rng: np.random.Generator, frames: int, drift: float) -> Occluder:
    """An occluder that covers part of the walker in every frame.

    drift: how far the scene moves through the frame over the whole tracklet, in frame widths, signed.
    """
    kind = KINDS[rng.integers(len(KINDS))]
    width, top, bottom = {
        "pole": (rng.uniform(0.14, 0.26), -0.1, 1.1),
        "bin": (rng.uniform(0.45, 0.7), rng.uniform(0.5, 0.68), rng.uniform(0.97, 1.1)),
        "hedge": (1.8, rng.uniform(0.52, 0.75), 1.1),
        "sign": (rng.uniform(0.4, 0.6), rng.uniform(0.08, 0.3), rng.uniform(0.45, 0.62)),
        "car": (2.0, rng.uniform(0.52, 0.68), 1.1),
        "board": (rng.uniform(0.38, 0.55), rng.uniform(0.3, 0.42), rng.uniform(0.8, 1.1)),
    }[kind]
    span = float(np.clip(abs(drift), 0, 0.26)) * (np.sign(drift) or 1)
    x = 0.5 + rng.uniform(-0.1, 0.1) + span * np.linspace(-0.5, 0.5, frames)
    if kind == "pole":  # thin: stays on the walker
        x = 0.5 + rng.uniform(-0.05, 0.05) + 0.6 * span * np.linspace(-0.5, 0.5, frames)
    if kind == "bin" or kind == "board":
        x = x + float(rng.choice([-1, 1])) * rng.uniform(0, 0.14)
    return Occluder(kind, width, top, bottom, x, rng.uniform(0.08, 0.8, 3), int(rng.integers(2**31)))


def draw(canvas: Canvas, occluder: Occluder, frame: int) -> tuple[float, float, float, float]:
    """Draw it and return its box (left, top, right, bottom) in canvas pixels, clipped to the canvas."""
    w, h = canvas.width, canvas.height
    left, right = (occluder.x[frame] - occluder.width / 2) * w, (occluder.x[frame] + occluder.width / 2) * w
    top, bottom = occluder.top * h, occluder.bottom * h
    box = (max(0, round(left)), max(0, round(top)), min(w, round(right)), min(h, round(bottom)))
    if box[0] >= box[2] or box[1] >= box[3]:
        return (0.0, 0.0, 0.0, 0.0)
    rows, columns = box[3] - box[1], box[2] - box[0]
    mask = np.ones((rows, columns), np.float32)
    across = (np.arange(box[0], box[2], dtype=np.float32) - left) / (right - left)  # 0 to 1 over its width
    down = ((np.arange(box[1], box[3], dtype=np.float32) - top) / (bottom - top))[:, None]
    base = occluder.colour.astype(np.float32).reshape(3, 1, 1)
    shade = np.broadcast_to(0.75 + 0.35 * np.sqrt(np.maximum(0, 1 - (2 * across - 0.7) ** 2 / 3)), mask.shape)
    colours = base * shade
    if occluder.kind == "hedge":
        rng = np.random.default_rng(occluder.seed)
        leaves = cv2.resize(
            rng.random((24, 90)).astype(np.float32),
            (int(right - left) + 2, h),
            interpolation=cv2.INTER_LINEAR,
        )
        window = leaves[box[1] : box[3], int(box[0] - left) : int(box[0] - left) + columns]
        colours = np.array([0.14, 0.36, 0.18], np.float32).reshape(3, 1, 1) * (0.35 + 1.2 * window)
        ragged = 0.10 * leaves[0, int(box[0] - left) : int(box[0] - left) + columns]
        mask = (down > ragged).astype(np.float32)
    elif occluder.kind in ("bin", "trolley"):
        colours = np.where((across * 9) % 1 < 0.2, colours * 0.7, colours)
        colours = np.where(down < 0.09, base * 0.55, colours)
    elif occluder.kind == "sign":
        edge = (abs(across - 0.5) > 0.45) | (abs(down - 0.5) > 0.45)
        colours = np.where(edge, 0.9, np.where(abs(down - 0.5) < 0.12, 0.92, base))
    elif occluder.kind in ("car", "van"):
        window = (down < 0.38) & ((across * 5) % 1 > 0.12) & (down > 0.06)
        colours = np.where(window, 0.16, base * (1.1 - 0.5 * down))
    elif occluder.kind == "board":
        rng = np.random.default_rng(occluder.seed)
        lines = rng.random(12) < 0.45
        text = lines[(down * 12).astype(int).clip(0, 11)] & (abs(across - 0.5) < 0.36)
        colours = np.where(text, 0.15, base * (0.9 + 0.1 * across))
    canvas.cover(mask, colours, box[1], box[0])
    return tuple(float(v) for v in box)
