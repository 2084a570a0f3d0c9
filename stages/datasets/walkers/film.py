"""Films one tracklet: frames, exact keypoints, what stood before the walker, what is hidden."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cache.manifest import COCO_JOINTS
from stages.datasets.tracklet import JUNK
from stages.datasets.walkers import backdrop, figure, occluders
from stages.datasets.walkers.actor import skeleton
from stages.datasets.walkers.camera import HEIGHT, WIDTH, Camera, Response, View, make_camera
from stages.datasets.walkers.disturbances import Disturbance, undisturbed
from stages.datasets.walkers.draw import OTHER, Canvas
from stages.datasets.walkers.hidden import hidden_shares
from stages.datasets.walkers.plan import TrackletPlan
from stages.datasets.walkers.record import FrameRecord
from stages.datasets.walkers.scene import Scene, stage


@dataclass(frozen=True)
class Occlusion:
    """What covers the walker in one frame: box in pixels of the frame, share of the figure's pixels."""

    kind: str
    box: tuple[float, float, float, float]
    covered: float


@dataclass(frozen=True)
class Film:
    """frames uint8 [T, 256, 128, 3] BGR; keypoints float32 [T, 17, 3]: x, y in pixels, COCO visibility.

    Keypoints are those of the person in the frame: the named one, or the stranger whom the tracker follows.
    """

    frames: np.ndarray
    keypoints: np.ndarray
    occlusions: tuple[Occlusion | None, ...]
    records: tuple[FrameRecord, ...]


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


def film(plan: TrackletPlan, camera: Camera, effect: float) -> Film:
    """Film one tracklet. effect: how strongly the camera changes colours, 0 to 4."""
    rng = np.random.default_rng(plan.seed)
    build, frames = plan.identity.build, plan.frames
    wrong = plan.disturbance or undisturbed(frames)
    time = np.cumsum(wrong.steps) - wrong.steps[0]
    phase = rng.uniform(0, 2 * np.pi) + build.cadence * time
    gaze = rng.normal(0, 0.12) + 0.18 * np.sin(rng.uniform(0, 6.3) + rng.uniform(0.1, 0.35) * time)
    yaw = (
        camera.heading
        + np.pi * plan.reverse
        + rng.normal(0, 0.20)
        + rng.normal(0, 0.012) * (time - frames / 2)
    )
    points = skeleton(plan.identity, phase, gaze)
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

    speed = 0.21 * build.height / 1.72 * build.cadence * scale * np.sin(yaw)
    strip = backdrop.strip(plan.seed[0], plan.camera)
    start, top = rng.uniform(0, strip.shape[2]), int(rng.integers(0, strip.shape[1] - HEIGHT))
    pan = start + 0.75 * np.cumsum(speed * wrong.steps)
    standing = None
    if plan.occluded:
        standing = occluders.choose(rng, frames, float(-1.2 * speed.sum() / width))
    response = Response(camera, rng, effect)
    offsets = rng.integers(0, 32, (frames, 2))

    place = Place(strip, pan, top, width, camera)
    scene = None if empty else stage(plan.identity, points, phase, gaze, view, width, wrong)
    return _shoot(place, scene, standing, wrong, response, offsets)


@dataclass(frozen=True)
class Place:
    """The backdrop of a tracklet: strip [3, h, w], where its window begins [T] and its upper edge."""

    strip: np.ndarray
    pan: np.ndarray
    top: int
    width: int
    camera: Camera

    def canvas(self, frame: int, shift: np.ndarray) -> Canvas:
        """An empty canvas; shift: by how much a wrong box moves the scene, in frame sizes."""
        top = int(np.clip(round(self.top - shift[1] * HEIGHT), 0, self.strip.shape[1] - HEIGHT))
        room = self.strip.shape[2] - self.width
        left = self.pan[frame] - shift[0] * self.width
        at = int(abs((left + room) % (2 * room) - room))  # the strip turns back at its ends
        window = self.strip[:, top : top + HEIGHT, at : at + self.width].copy()
        return Canvas(window, self.camera.light, self.camera.ambient)


def _shoot(
    place: Place,
    scene: Scene | None,
    standing: occluders.Occluder | None,
    wrong: Disturbance,
    response: Response,
    offsets: np.ndarray,
) -> Film:
    """Draw the frames. scene: None where nobody is before the camera; standing: what stands before it."""
    frames, width = len(wrong.steps), place.width
    pictures = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    keypoints = np.zeros((frames, len(COCO_JOINTS), 3), np.float32)
    occlusions: list[Occlusion | None] = []
    records: list[FrameRecord] = []
    for t in range(frames):
        if wrong.steps[t] == 0:
            pictures[t], keypoints[t] = pictures[t - 1], keypoints[t - 1]
            occlusions.append(occlusions[-1])
            records.append(replace(records[-1], repeated=True, lost_before=0))
            continue
        canvas = place.canvas(t, wrong.shift[t])
        limbs = scene.draw_behind(canvas, t) if scene else []
        occlusion = _cover(canvas, t, standing, scene, wrong)
        hidden, body = (1.0,) * 6, 1.0
        if scene:
            here = scene.seen(t).at(t)
            keypoints[t] = _keypoints(canvas, here)
            if not wrong.other[t]:
                shares, body = hidden_shares(canvas, limbs, here)
                hidden = tuple(shares.tolist())
        occlusions.append(occlusion)
        shift = wrong.shift[t] * [WIDTH, HEIGHT]
        records.append(
            FrameRecord(
                hidden, body, (float(shift[0]), float(shift[1])), float(wrong.zoom[t]),
                bool(wrong.other[t]), bool(wrong.blur[t] or wrong.smear[t]), False, int(wrong.steps[t]) - 1,
            )
        )  # fmt: skip
        flat = cv2.convertScaleAbs(cv2.merge(tuple(canvas.picture)), alpha=255)
        flat = cv2.resize(
            flat, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if width > WIDTH else cv2.INTER_LINEAR
        )
        if wrong.blur[t]:
            flat = cv2.GaussianBlur(flat, (0, 0), wrong.blur[t])
        if wrong.smear[t]:
            flat = cv2.blur(flat, (round(wrong.smear[t]), 1))
        pictures[t] = response(flat, tuple(offsets[t]))
    return Film(pictures, keypoints, tuple(occlusions), tuple(records))


def _cover(
    canvas: Canvas,
    frame: int,
    standing: occluders.Occluder | None,
    scene: Scene | None,
    wrong: Disturbance,
) -> Occlusion | None:
    """Draw what stands or crosses before the walker; the kind and the box are those of what hides most."""

    def own() -> int:
        return int(((canvas.owner > 0) & (canvas.owner < OTHER)).sum())

    before = left = own()
    stretch = WIDTH / canvas.width
    most, kept = -1, None
    for thing in (standing, wrong.thing):
        if thing is not None:
            box = occluders.draw(canvas, thing.in_box(wrong.shift[frame], wrong.zoom[frame]), frame)
            if left - own() > most and (thing is standing or box[2] > box[0]):
                most, kept = left - own(), (thing.kind, box)
            left = own()
    if wrong.passer is not None and scene is not None:
        box = scene.draw_passer(canvas, frame)
        if box is not None and left - own() > max(most, 0):
            kept = ("person", box)
        left = own()
    if kept is None:
        return None
    kind, box = kept
    return Occlusion(kind, (box[0] * stretch, box[1], box[2] * stretch, box[3]), 1 - left / max(before, 1))


def _keypoints(canvas: Canvas, points: dict[str, np.ndarray]) -> np.ndarray:
    """[17, 3] in pixels of the frame; joints outside of it are (0, 0, 0), as in COCO."""
    flags = figure.visibility(canvas, points)
    places = np.stack([points[joint][:2] for joint in COCO_JOINTS])
    places[:, 0] = (places[:, 0] + 0.5) * (WIDTH / canvas.width) - 0.5
    return np.concatenate([places, flags[:, None]], 1) * (flags[:, None] > 0)


def film_by_number(plan: TrackletPlan, seed: int, effect: float) -> Film:
    """`film` with the camera made from its number; for workers."""
    return film(plan, make_camera(seed, plan.camera, effect), effect)
