"""Videos of walkers who cross each other before cameras, with the exact box of everybody in every frame.

What the track stage is tried on: two cameras film the same persons one after the other, each from its own
side and in its own colours. Deterministic by seed, up to the video encoder.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import MAXYEAR, datetime, timedelta
from itertools import combinations
from pathlib import Path

import av
import cv2
import numpy as np
from pydantic import Field, field_validator

from cache.errors import KeyReIDError
from cache.files import writing_folder
from stages.config import ClockTime, StrictModel
from stages.datasets.walkers import backdrop
from stages.datasets.walkers.actor import Actor, skeleton
from stages.datasets.walkers.camera import Camera, Response, View, make_camera
from stages.datasets.walkers.draw import Canvas
from stages.datasets.walkers.timetable import TRAVEL
from stages.datasets.walkers.wardrobe import Identity, draw_group

NAMES = ("door", "yard", "hall", "gate", "stairs", "lane")
START = datetime.fromisoformat("2026-11-26T08:00:00+01:00")
HIDDEN = 0.1  # below this visible share a box is flagged 0, ignore
_NARROW = 0.02  # of the frame's width: less of a person at its edge is flagged, too


class StreetConfig(StrictModel):
    """Who walks where."""

    seed: int = Field(0, ge=0, lt=2**31, description="all but the encoder follows from it")
    cameras: int = Field(2, ge=1, le=len(NAMES), description="each films all persons once")
    persons: int = Field(6, ge=2, le=200, description="two at a time come from both sides and cross")
    size: tuple[int, int] = Field((640, 360), description="(width, height) of the videos, px; even")
    rate: int = Field(10, ge=1, le=60, description="frames/s")
    pause: float = Field(4.0, ge=0.5, le=60, description="seconds from one pair to the next")
    travel: float = Field(60.0, ge=0, le=86400, description="seconds from one camera to the next")
    start: ClockTime = Field(
        START, description="clock time at which the first video starts, with its offset from UTC"
    )

    @field_validator("start")
    @classmethod
    def _others_are_dates_too(cls, start: datetime) -> datetime:
        if start.year == MAXYEAR:
            raise ValueError(f"expected a year before {MAXYEAR}: the other videos start later")
        return start


@dataclass(frozen=True)
class Frame:
    """image: uint8 [H, W, 3] BGR. seen: everybody in it."""

    image: np.ndarray
    seen: tuple["Seen", ...]


@dataclass(frozen=True)
class Seen:
    """A person (from 1) in a frame.

    box: left, top, right, bottom (the last two not included) of all pixels in the frame that would show the
    person alone. visible: the share of those pixels that nobody hides.
    """

    person: int
    box: tuple[int, int, int, int]
    visible: float


@dataclass(frozen=True)
class _Walk:
    """A person's way through the picture. first: the frame in which it begins; actor: of its own frames."""

    person: int
    first: int
    actor: Actor

    @property
    def frames(self) -> range:
        return range(self.first, self.first + len(self.actor.yaw))


def film_street(config: StreetConfig, camera: int) -> Iterator[Frame]:
    """The frames of a camera (from 1), all of its persons one pair after the other."""
    place = make_camera(config.seed, camera, 1.0)
    rng = np.random.default_rng([config.seed, 29, camera])
    people, _ = draw_group(np.random.default_rng([config.seed, 31]), config.persons, 0.0)
    walks = [_walk(config, place, number, identity, rng) for number, identity in enumerate(people)]
    walks.sort(key=lambda walk: walk.actor.points["pelvis"][0, 3])  # the far before the near
    width = config.size[0]
    strip = backdrop.strip(config.seed, camera)
    start = int(rng.integers(0, strip.shape[2] - width))
    scene = np.stack([cv2.resize(plane[:, start : start + width], config.size) for plane in strip])
    response = Response(place, rng, 1.0)
    for number in range(max(walk.frames.stop for walk in walks)):
        here = [walk for walk in walks if number in walk.frames]
        canvas = Canvas(scene.copy(), place.light, place.ambient)
        outlines = []
        for owner, walk in enumerate(here, start=1):
            walk.actor.draw(canvas, number - walk.first, owner)
            outlines.append(canvas.owner == owner)
        seen = [
            Seen(walk.person, _box(outline), float((canvas.owner == owner).sum() / outline.sum()))
            for owner, (walk, outline) in enumerate(zip(here, outlines, strict=True), start=1)
            if outline.any()
        ]
        flat = cv2.convertScaleAbs(cv2.merge(tuple(canvas.picture)), alpha=255)
        yield Frame(_recorded(response, flat, rng), tuple(seen))


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def make_videos(config: StreetConfig, out: Path) -> Path:
    """Write NAME.mp4 and NAME.truth.txt (MOTChallenge) of each camera, travel.yaml, cameras.yaml (returned).

    A person has one number in all truth files. travel.yaml, of two cameras or more: how long persons are on
    the way. Nothing is in `out` before all is made. Raises KeyReIDError where it holds something or cannot be
    written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KeyReIDError(f"{out}: is not empty; name a new folder")
    with writing_folder(out) as partial:
        _write_videos(config, partial)
    return out / "cameras.yaml"


def _write_videos(config: StreetConfig, out: Path) -> None:
    lines = ["cameras:"]
    passed: list[dict[int, tuple[float, float]]] = []  # of each camera: person -> from when to when, seconds
    for camera, name in enumerate(NAMES[: config.cameras], start=1):
        rows, here = [], {}
        with av.open(str(out / f"{name}.mp4"), "w") as video:
            stream = video.add_stream(
                "libx264", rate=config.rate, options={"crf": "20", "preset": "veryfast"}
            )
            stream.width, stream.height = config.size
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(film_street(config, camera), start=1):
                video.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="bgr24")))
                rows += [_row(number, one, config.size[0]) for one in frame.seen]
                now = (camera - 1) * config.travel + (number - 1) / config.rate
                here |= {one.person: (here.get(one.person, (now, now))[0], now) for one in frame.seen}
            video.mux(stream.encode())
        passed.append(here)
        (out / f"{name}.truth.txt").write_text("".join(rows))
        moment = config.start + timedelta(seconds=(camera - 1) * config.travel)
        lines += [f"  - name: {name}", f"    files: [{name}.mp4]", f"    start: {moment.isoformat()}"]
    if config.cameras > 1:
        (out / TRAVEL).write_text(_travel_times(passed))
    (out / "cameras.yaml").write_text("\n".join(lines) + "\n")


def _travel_times(passed: list[dict[int, tuple[float, float]]]) -> str:
    """Text of travel.yaml: whole seconds, true for everybody in whatever pieces they are tracked."""
    lines = ["travel:  # seconds from one camera to the other"]
    for (name, one), (other_name, other) in combinations(zip(NAMES, passed, strict=False), 2):
        both = sorted(one.keys() & other.keys())
        least = math.floor(min(max(0, other[person][0] - one[person][1]) for person in both))
        greatest = math.ceil(max(other[person][1] - one[person][0] for person in both))
        lines.append(f"  - {{cameras: [{name}, {other_name}], least: {least}, greatest: {greatest}}}")
    return "\n".join(lines) + "\n"


def _walk(
    config: StreetConfig, camera: Camera, number: int, identity: Identity, rng: np.random.Generator
) -> _Walk:
    """Person `number` (from 0): the even come from the left, the odd towards them."""
    width, height = config.size
    to_right = number % 2 == 0
    nearer = rng.uniform(-0.5, -0.1) if to_right else rng.uniform(0.1, 0.5)
    scale = height * 0.32 * (1 + 0.25 * nearer)  # px per metre: somebody of 1.72 m fills 0.55 of the height
    turn = float(np.deg2rad(rng.uniform(5, 15) + 10 * (camera.number % 3)))
    yaw = np.pi / 2 - turn if to_right else -np.pi / 2 - turn
    build = identity.build
    step = 0.21 * build.height / 1.72 * build.cadence * scale * abs(np.sin(yaw))
    room = 0.4 * scale
    frames = max(2, int((width + 2 * room) / step))
    time = np.arange(frames)
    x = -room + step * time if to_right else width + room - step * time
    elevation = camera.elevation * 0.5
    feet = height * (0.86 + 0.16 * nearer)
    middle = build.height / 2
    y = np.full(frames, feet - scale * middle * np.cos(elevation))
    straight = np.zeros(frames)
    view = View(
        np.full(frames, yaw), elevation, 8.0, np.full(frames, scale), np.stack([x, y], axis=1), middle
    )
    phase = rng.uniform(0, 2 * np.pi) + build.cadence * time
    actor = Actor.seen(identity, skeleton(identity, phase, straight), straight, view)
    points = {name: p - [0, 0, 4 * nearer, 0] * p[:, 3:] for name, p in actor.points.items()}
    first = round(number // 2 * config.pause * config.rate)
    return _Walk(number + 1, first, replace(actor, points=points))


def _recorded(response: Response, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the camera's response makes of a picture that is larger than its sheet of noise."""
    height, width = picture.shape[:2]
    out = cv2.LUT(cv2.transform(picture, response.matrix), response.table)
    out = cv2.GaussianBlur(out, (0, 0), response.blur)
    rows, columns = response.grain.shape[:2]
    grain = np.tile(response.grain, (-(-height // rows), -(-width // columns), 1))[:height, :width]
    return cv2.add(out, np.roll(grain, tuple(rng.integers(0, 128, 2)), (0, 1)), dtype=cv2.CV_8U)


def _row(number: int, one: Seen, width: int) -> str:
    """A line of nine columns, flagged 0 (ignore) where hardly anything of the person is to be seen."""
    left, top, right, bottom = one.box
    counts = one.visible >= HIDDEN and right - left >= _NARROW * width
    sides = f"{left},{top},{right - left},{bottom - top}"
    return f"{number},{one.person},{sides},{int(counts)},1,{one.visible:.3f}\n"
