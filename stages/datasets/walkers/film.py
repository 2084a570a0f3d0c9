"""Films one tracklet: frames, exact keypoints and what stood before the walker."""

from dataclasses import dataclass

import cv2
import numpy as np

from cache.manifest import COCO_JOINTS
from stages.datasets.tracklet import JUNK
from stages.datasets.walkers import backdrop, body, figure, occluders
from stages.datasets.walkers.camera import Camera, Response, View, make_camera
from stages.datasets.walkers.draw import Canvas
from stages.datasets.walkers.plan import TrackletPlan

HEIGHT, WIDTH = 256, 128


@dataclass(frozen=True)
class Occlusion:
    """What covers the walker in one frame: box in pixels of the frame, share of the figure's pixels."""

    kind: str
    box: tuple[float, float, float, float]
    covered: float


@dataclass(frozen=True)
class Film:
    """frames uint8 [T, 256, 128, 3] BGR; keypoints float32 [T, 17, 3]: x, y in pixels, COCO visibility."""

    frames: np.ndarray
    keypoints: np.ndarray
    occlusions: tuple[Occlusion | None, ...]


def _arms(plan: TrackletPlan, rng: np.random.Generator) -> tuple[str, str]:
    left = right = "free"
    if plan.identity.build.arms == "phone":
        right = "phone"
    elif plan.identity.build.arms in ("pockets", "hold"):
        left = right = plan.identity.build.arms
    if plan.identity.clothes.bag == "handbag":
        left = "carry"
    return left, right


def _fit(rng: np.random.Generator, tracks: np.ndarray, middle: np.ndarray) -> tuple[float, np.ndarray, int]:
    """Scale, centres [T, 2] and canvas width that frame a walker as a detector's box would.

    tracks: [P, T, 2] metres, right and down, of all points; middle: [T] that of the trunk, right.
    """
    top, bottom = tracks[..., 1].min() - 0.11, tracks[..., 1].max() + 0.05
    scale = HEIGHT * rng.uniform(0.90, 0.985) / (bottom - top)
    left, right = tracks[..., 0].min(0), tracks[..., 0].max(0)
    centre = 0.5 * middle + 0.25 * (left + right)
    needed = 2 * scale * np.percentile(np.maximum(right - centre, centre - left) + 0.06, 80)
    width = int(np.clip(max(needed, WIDTH * rng.uniform(0.74, 1.0)), 92, 176))
    frames = len(middle)
    shake = np.cumsum(rng.normal(0, 0.6, (frames, 2)), 0) * [1, 0.5] + rng.normal(0, 0.7, (frames, 2))
    x = width / 2 - scale * centre
    y = HEIGHT / 2 - scale * (top + bottom) / 2 + rng.normal(0, 2.0)
    return scale, np.stack([x, np.full(frames, y)], 1) + shake - shake.mean(0), width


def _window(strip: np.ndarray, left: float, top: int, width: int) -> np.ndarray:
    """A copy of the strip from `left` on; it turns back at its ends."""
    room = strip.shape[2] - width
    at = int(abs((left + room) % (2 * room) - room))
    return strip[:, top : top + HEIGHT, at : at + width].copy()


def _shadow(canvas: Canvas, points: dict[str, np.ndarray], frame: int) -> None:
    feet = np.stack([points[f"{s}_{p}"][frame] for s in ("left", "right") for p in ("heel", "toe")])
    x, y, reach = feet[:, 0].mean(), feet[:, 1].max(), max(np.ptp(feet[:, 0]) * 0.62, 16.0)
    top = max(0, int(y - 14))
    rows, columns = canvas.ys[top:], canvas.xs
    distance = ((columns - x) / reach) ** 2 + ((rows - y + 2) / 9) ** 2
    canvas.picture[:, top:] *= 1 - 0.5 * np.maximum(0, 1 - distance)


def film(plan: TrackletPlan, camera: Camera, effect: float) -> Film:
    """Film one tracklet. effect: how strongly the camera changes colours, 0 to 4."""
    rng = np.random.default_rng(plan.seed)
    build, frames = plan.identity.build, plan.frames
    time = np.arange(frames)
    phase = rng.uniform(0, 2 * np.pi) + build.cadence * time
    gaze = rng.normal(0, 0.12) + 0.18 * np.sin(rng.uniform(0, 6.3) + rng.uniform(0.1, 0.35) * time)
    yaw = (
        camera.heading
        + np.pi * plan.reverse
        + rng.normal(0, 0.20)
        + rng.normal(0, 0.012) * (time - frames / 2)
    )
    points = body.pose(build, phase, _arms(plan, rng), gaze)
    points |= figure.extra_points(plan.identity, points)
    spread = figure.reach_of_legs(plan.identity, points)
    elevation = float(np.clip(camera.elevation + rng.normal(0, 0.04), 0.02, 0.6))

    empty = plan.person == JUNK and rng.random() < 0.35
    unit = View(
        yaw,
        elevation,
        camera.distance * build.height,
        np.ones(frames),
        np.zeros((frames, 2)),
        build.height / 2,
    )
    names, places = list(points), np.stack(list(points.values()))
    tracks = unit.project(places)[..., :2]
    trunk = (tracks[names.index("pelvis")] + tracks[names.index("neck")])[:, 0] / 2
    scale, centre, width = _fit(rng, tracks, trunk)
    if plan.person == JUNK:  # a box that missed: parts of a walker, or none
        zoom = rng.uniform(1.3, 2.2)
        centre = centre * 0 + [width / 2, HEIGHT / 2] + rng.uniform(-0.5, 0.5, 2) * [width, HEIGHT * zoom]
        scale *= zoom
    wobble = scale * np.exp(rng.normal(0, 0.008, frames))
    view = View(yaw, elevation, unit.distance, wobble, centre, unit.middle)
    tracked = dict(zip(names, view.project(places), strict=True))

    speed = 0.21 * build.height / 1.72 * build.cadence * scale * np.sin(yaw)
    strip = backdrop.strip(plan.seed[0], plan.camera)
    start, top = rng.uniform(0, strip.shape[2]), int(rng.integers(0, strip.shape[1] - HEIGHT))
    pan = start + 0.75 * np.cumsum(speed)
    thing = None
    if plan.occluded:
        thing = occluders.choose(rng, frames, float(-1.2 * speed.sum() / width))
    response = Response(camera, rng, effect)
    offsets = rng.integers(0, 32, (frames, 2))

    pictures = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    keypoints = np.zeros((frames, len(COCO_JOINTS), 3), np.float32)
    occlusions: list[Occlusion | None] = []
    for t in range(frames):
        canvas = Canvas(_window(strip, pan[t], top, width), camera.light, camera.ambient)
        here = {name: p[t] for name, p in tracked.items()}
        if not empty:
            _shadow(canvas, tracked, t)
            turned = float(yaw[t]), float(yaw[t] + gaze[t])
            figure.draw(canvas, plan.identity, here, *turned, float(spread[t]))
        occlusion = None
        if thing is not None:
            before = int((canvas.owner > 0).sum())
            box = occluders.draw(canvas, thing, t)
            after = int(((canvas.owner > 0) & (canvas.owner < 255)).sum())
            stretch = WIDTH / width
            occlusion = Occlusion(
                thing.kind, (box[0] * stretch, box[1], box[2] * stretch, box[3]), 1 - after / max(before, 1)
            )
        if not empty:
            keypoints[t] = _keypoints(canvas, here)
        occlusions.append(occlusion)
        flat = cv2.convertScaleAbs(cv2.merge(tuple(canvas.picture)), alpha=255)
        flat = cv2.resize(
            flat, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if width > WIDTH else cv2.INTER_LINEAR
        )
        pictures[t] = response(flat, tuple(offsets[t]))
    return Film(pictures, keypoints, tuple(occlusions))


def _keypoints(canvas: Canvas, points: dict[str, np.ndarray]) -> np.ndarray:
    """[17, 3] in pixels of the frame; joints outside of it are (0, 0, 0), as in COCO."""
    flags = figure.visibility(canvas, points)
    places = np.stack([points[joint][:2] for joint in COCO_JOINTS])
    places[:, 0] = (places[:, 0] + 0.5) * (WIDTH / canvas.width) - 0.5
    return np.concatenate([places, flags[:, None]], 1) * (flags[:, None] > 0)


def film_by_number(plan: TrackletPlan, seed: int, effect: float) -> Film:
    """`film` with the camera made from its number; for workers."""
    return film(plan, make_camera(seed, plan.camera, effect), effect)
