"""Training data of a small pose network: walkers of every kind, and the augmentation of frames."""

from dataclasses import dataclass, replace

import cv2
import joblib
import numpy as np

from stages.datasets.walkers.camera import make_camera
from stages.datasets.walkers.film import film
from stages.datasets.walkers.plan import TrackletPlan
from stages.datasets.walkers.wardrobe import Decks, Identity, draw_build, draw_clothes
from stages.interrupts import workers_unaware

# Joints that change places in a mirrored frame.
MIRROR = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
FRAMES = 4  # of one person before one camera
PERSONS = 12  # before one camera
# Visibility of a joint: COCO's 2 and 1, and nothing said about it, which costs nothing.
SEEN, HIDDEN, UNKNOWN = 2, 1, -1


@dataclass(frozen=True)
class Pool:
    """frames uint8 [N, H, W, 3] BGR; keypoints float32 [N, 17, 3]: x, y in pixels, visibility.

    Visibility 0: outside the frame, or SEEN, HIDDEN, UNKNOWN. Walkers are of 256x128.
    """

    frames: np.ndarray
    keypoints: np.ndarray


def _film_place(seed: int, place: int) -> Pool:
    """Films of different persons at one place: any view, any build, standing or walking, many colours."""
    cv2.setNumThreads(1)
    frames, keypoints = [], []
    decks = Decks(np.random.default_rng([seed, 23, place]))
    for person in range(1, PERSONS + 1):
        rng = np.random.default_rng([seed, 29, place, person])
        build = replace(
            draw_build(rng),
            girth=float(np.clip(rng.normal(1.1, 0.25), 0.75, 1.8)),
            stride=float(rng.uniform(0.25, 0.5) if rng.random() < 0.7 else rng.uniform(0.0, 0.25)),
            cadence=float(rng.uniform(0.9, 2.2)),  # few frames, unlike each other
            elbow=float(rng.uniform(0.05, 1.2)),
            lean=float(rng.uniform(-0.05, 0.2)),
            arms=str(rng.choice(["free", "free", "phone", "pockets", "hold"])),
        )
        camera = replace(
            make_camera(seed + place, 1 + place % 6, float(rng.uniform(0, 3.5))),
            heading=float(rng.uniform(-np.pi, np.pi)),
            elevation=float(rng.uniform(0.0, 0.6)),
            distance=float(rng.uniform(1.8, 5.0)),
        )
        plan = TrackletPlan(
            person, camera.number, 1, FRAMES, Identity(draw_clothes(rng, decks), build), False,
            bool(rng.random() < 0.3), True, (seed + place, 31, person),
        )  # fmt: skip
        made = film(plan, camera, float(rng.uniform(0, 3.5)))
        frames.append(made.frames)
        keypoints.append(made.keypoints)
    return Pool(np.concatenate(frames), np.concatenate(keypoints))


def make_pool(seed: int, size: int, workers: int = 1) -> Pool:
    """At least `size` frames of walkers unlike any data set's; the same bytes for any `workers`."""
    places = -(-size // (FRAMES * PERSONS))
    with workers_unaware():
        made = joblib.Parallel(n_jobs=workers)(joblib.delayed(_film_place)(seed, p) for p in range(places))
    return Pool(np.concatenate([p.frames for p in made]), np.concatenate([p.keypoints for p in made]))


def _random_box(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """An affine float64 [2, 3] within the frame's size (width, height): a looser, tighter or partial box."""
    extent, height = np.array(size), size[1]
    zoom = np.exp(rng.normal(0, 0.12) - 0.03)
    stretch = np.exp(rng.normal(0, 0.10))
    angle = rng.normal(0, 0.06)
    scale = np.array([zoom / stretch, zoom * stretch])
    centre = extent * (0.5 + rng.normal(0, 0.03, 2))
    if rng.random() < 0.2:  # a box that ends at the knees or hips, as when a person leaves the picture
        tall = rng.uniform(1.15, 1.9)
        scale *= [rng.uniform(1.0, 1.4), tall]
        centre[1] = height * 0.5 / tall + rng.uniform(-0.03, 0.03) * height
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn * scale[None, :]
    middle = (extent - 1) / 2
    return np.concatenate([linear, (middle - linear @ centre)[:, None]], 1)


def _recolour(rng: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """Other light, other lens, other resolution."""
    high, wide = frame.shape[:2]
    levels = np.linspace(0, 1, 256)[:, None] * np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.10, 3))
    levels = np.clip(levels, 0, 1) ** np.exp(rng.normal(0, 0.25))
    levels = (levels - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.05)
    if rng.random() < 0.3:
        levels = levels[:, rng.permutation(3)]
        frame = frame[..., rng.permutation(3)]
    frame = cv2.LUT(
        np.ascontiguousarray(frame), (255 * levels).clip(0, 255).astype(np.uint8).reshape(1, 256, 3)
    )
    if rng.random() < 0.2:
        frame = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    kind = rng.random()
    if kind < 0.25:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.4, 1.6))
    elif kind < 0.4:
        small = (int(wide * (share := rng.uniform(0.35, 0.8))), int(high * share))
        frame = cv2.resize(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), (wide, high))
    if rng.random() < 0.3:
        noise = rng.integers(-9, 10, (high, wide, 1), np.int16)
        frame = cv2.add(frame, np.broadcast_to(noise, frame.shape), dtype=cv2.CV_8U)
    return frame


def augment(
    rng: np.random.Generator, frame: np.ndarray, keypoints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One training example: mirrored, in another box, in other colours, partly erased.

    frame uint8 [H, W, 3], keypoints [17, 3]; returns the same. Joints that fall out of the frame get
    visibility 0, seen joints in an erased rectangle HIDDEN.
    """
    points = keypoints.copy()
    high, wide = frame.shape[:2]
    if rng.random() < 0.5:
        frame = frame[:, ::-1]
        points = points[MIRROR]
        points[:, 0] = wide - 1 - points[:, 0]
    if rng.random() < 0.8:
        affine = _random_box(rng, (wide, high))
        border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_REFLECT_101
        frame = cv2.warpAffine(np.ascontiguousarray(frame), affine, (wide, high), borderMode=border)
        points[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= [wide - 1, high - 1])).all(1)
        points[:, 2] *= inside
    if rng.random() < 0.8:
        frame = _recolour(rng, frame)
    if rng.random() < 0.25:
        height, width = int(rng.uniform(0.08, 0.35) * high), int(rng.uniform(0.15, 0.6) * wide)
        top, left = rng.integers(0, high - height), rng.integers(0, wide - width)
        frame = np.ascontiguousarray(frame).copy()
        frame[top : top + height, left : left + width] = rng.integers(0, 256, 3)
        x, y = points[:, 0] - left, points[:, 1] - top
        erased = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        points[:, 2] = np.where(erased, np.minimum(points[:, 2], HIDDEN), points[:, 2])
    return np.ascontiguousarray(frame), points
