"""Disturbances of the tracklets of the hard look, decided before a pixel is drawn.

Passers-by and things that cross in front, the errors of a tracker (boxes that jitter, drift, cut off feet or
head, take in a neighbour; some frames of another person), blur, frames that were lost or repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.datasets.walkers.occluders import Occluder
from stages.datasets.walkers.wardrobe import Identity

# Shares of the tracklets in which each thing happens, independently of the others.
CROSSED, SWITCHED, BLURRED, REPEATED, LOST = 0.34, 0.19, 0.25, 0.15, 0.15
# Of a tracker's box errors a tracklet has one at most.
BOX_ERRORS = {"jitter": 0.22, "drift": 0.15, "feet": 0.14, "head": 0.08, "neighbour": 0.12}
BoxError = Literal["", "jitter", "drift", "feet", "head", "neighbour"]


@dataclass(frozen=True)
class Companion:
    """Another person in the picture beside the one who is named."""

    identity: Identity
    x: np.ndarray  # [T] place of the middle in frame widths, 0 the left edge of a right box, 1 its right edge
    nearer: float  # metres nearer to the camera than the walker; below 0: behind
    size: float  # pixels per metre over those of the walker
    yaw: float | None  # heading relative to the camera, radians; None: that of the walker
    phase: float  # of the gait at the first frame


@dataclass(frozen=True)
class Disturbance:
    """What goes wrong in one tracklet of T frames; without any of it, `undisturbed`.

    steps int [T]: how far the walk went on since the frame before, 1 as a rule, 0 in a repeated frame.
    shift float [T, 2]: by how much a wrong box moves the walker to the right and down, in frame sizes.
    zoom float [T]: size of the walker in the frame over that in a right box.
    blur, smear float [T]: out of focus by a deviation of this many pixels, motion blur over this many pixels.
    other bool [T]: frames in which the tracker follows `stranger` instead.
    thing, passer: what or who crosses in front. neighbour: who walks beside, in a box too wide.
    """

    steps: np.ndarray
    shift: np.ndarray
    zoom: np.ndarray
    blur: np.ndarray
    smear: np.ndarray
    other: np.ndarray
    stranger: Identity | None = None
    thing: Occluder | None = None
    passer: Companion | None = None
    neighbour: Companion | None = None

    @property
    def box_is_wrong(self) -> bool:
        return bool(self.shift.any() or (self.zoom != 1).any())


def undisturbed(frames: int) -> Disturbance:
    """A tracklet as the clean look has it."""
    zero = np.zeros(frames)
    return Disturbance(
        np.ones(frames, int), np.zeros((frames, 2)), np.ones(frames), zero, zero, np.zeros(frames, bool)
    )


def deal(
    rng: np.random.Generator, lengths: Sequence[int], own: Sequence[int], people: Sequence[Identity]
) -> list[Disturbance]:
    """Disturbances for tracklets of `lengths` frames.

    own: of each tracklet, the number of its person in `people`, or -1; all others may come into the picture.
    The shares of the tracklets hold as nearly as whole tracklets allow.
    """
    count = len(lengths)

    def some(share: float) -> set[int]:
        return set(rng.permutation(count)[: round(share * count)].tolist())

    crossed, switched, blurred, repeated, lost = map(some, (CROSSED, SWITCHED, BLURRED, REPEATED, LOST))
    order, errors = rng.permutation(count), [""] * count
    start = 0
    for error, share in BOX_ERRORS.items():
        stop = start + round(share * count)
        for index in order[start:stop]:
            errors[index] = error
        start = stop

    def somebody(index: int) -> Identity:
        others = [i for i in range(len(people)) if i != own[index]]
        return people[others[rng.integers(len(others))]]

    dealt = []
    for i, frames in enumerate(lengths):
        shift, zoom = _box(rng, errors[i], frames)
        blur, smear = np.zeros(frames), np.zeros(frames)
        if i in blurred:
            place = _some_frames(rng, frames, 2, 5)
            (blur if rng.random() < 0.5 else smear)[place] = rng.uniform(1.0, 2.2)
            smear *= 5.0
        other = np.zeros(frames, bool)
        if i in switched:
            other[_some_frames(rng, frames, 2, 5)] = True
        passer = thing = None
        if i in crossed and rng.random() < 0.55:
            passer = _passer(rng, somebody(i), frames)
        elif i in crossed:
            thing = _crossing_thing(rng, frames)
        steps = _steps(rng, frames, i in repeated, i in lost)
        neighbour = _neighbour(rng, somebody(i), shift) if errors[i] == "neighbour" else None
        stranger = somebody(i) if i in switched else None
        dealt.append(
            Disturbance(steps, shift, zoom, blur, smear, other, stranger, thing, passer, neighbour)
        )  # fmt: skip
    return dealt


def _some_frames(rng: np.random.Generator, frames: int, fewest: int, most: int) -> slice:
    """A run of `fewest` to `most` frames, but at most half of the tracklet."""
    length = min(int(rng.integers(fewest, most + 1)), frames // 2)
    start = int(rng.integers(0, frames - length + 1))
    return slice(start, start + length)


def _steps(rng: np.random.Generator, frames: int, repeated: bool, lost: bool) -> np.ndarray:
    steps = np.ones(frames, int)
    if frames < 2:
        return steps
    if lost:
        steps[rng.integers(1, frames)] += rng.integers(1, 5)
    if repeated:
        steps[rng.integers(1, frames, rng.integers(1, 3))] = 0
    return steps


def _box(rng: np.random.Generator, error: BoxError, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Shift [T, 2] and zoom [T] of a box with such an error."""
    shift, zoom = np.zeros((frames, 2)), np.ones(frames)
    if error == "jitter":
        shift = rng.normal(0, 1, (frames, 2)) * [0.06, 0.03]
        zoom = np.exp(rng.normal(0, 0.06, frames))
    elif error == "drift":  # the box is left behind, then caught up
        lag = np.clip(np.linspace(-0.4, 1.0, frames), 0, 1) * (rng.random() < 0.5 or -1)
        shift = lag[:, None] * [rng.uniform(0.22, 0.45), rng.uniform(-0.08, 0.08)]
    elif error in ("feet", "head"):
        # A share of the body lies beyond one edge; the rest fills the frame.
        lost = rng.uniform(0.15, 0.42) if error == "feet" else rng.uniform(0.10, 0.24)
        place = slice(None) if rng.random() < 0.35 else _some_frames(rng, frames, 3, 8)
        zoom[place] = 1 / (1 - lost)
        down = lost / (1 - lost) / 2  # the other edge stays where it is
        shift[place, 1] = down if error == "feet" else -down
        shift[place] += rng.normal(0, 0.015, shift[place].shape)
    elif error == "neighbour":
        place = slice(None) if rng.random() < 0.35 else _some_frames(rng, frames, 3, 8)
        side = rng.choice([-1.0, 1.0])
        zoom[place] = rng.uniform(0.74, 0.88)
        shift[:, 0] = side * rng.uniform(0.02, 0.05)
        shift[place, 0] = side * rng.uniform(0.14, 0.24)
    return shift, zoom


def _passer(rng: np.random.Generator, who: Identity, frames: int) -> Companion:
    """Somebody who crosses between camera and walker, right in front of the walker in some frame."""
    right = rng.choice([-1.0, 1.0])
    pace = rng.uniform(0.08, 0.22)  # frame widths a frame, relative to the walker whom the box follows
    meets = rng.uniform(0.15, 0.85) * (frames - 1)
    x = 0.5 + right * pace * (np.arange(frames) - meets)
    nearer, size = rng.uniform(0.6, 1.4), rng.uniform(1.02, 1.18)
    yaw = float(right * np.pi / 2 + rng.normal(0, 0.25))
    return Companion(who, x, nearer, size, yaw, rng.uniform(0, 2 * np.pi))


def _crossing_thing(rng: np.random.Generator, frames: int) -> Occluder:
    """A thing that moves through the picture, or that the walker passes behind."""
    kind = str(rng.choice(["van", "pillar", "trolley"]))
    width, top, bottom = {
        "van": (rng.uniform(0.7, 1.2), rng.uniform(0.2, 0.45), rng.uniform(0.97, 1.1)),
        "pillar": (rng.uniform(0.3, 0.55), -0.6, 1.6),
        "trolley": (rng.uniform(0.6, 0.9), rng.uniform(0.3, 0.5), rng.uniform(0.9, 1.1)),
    }[kind]
    pace = rng.choice([-1.0, 1.0]) * rng.uniform(0.12, 0.3)
    meets = rng.uniform(0.15, 0.85) * (frames - 1)
    x = 0.5 + pace * (np.arange(frames) - meets)
    return Occluder(kind, width, top, bottom, x, rng.uniform(0.08, 0.8, 3), int(rng.integers(2**31)))


def _neighbour(rng: np.random.Generator, who: Identity, shift: np.ndarray) -> Companion:
    """Somebody who walks along, on the side towards which the wrong box is too wide."""
    side = -np.sign(shift[0, 0])
    x = 0.5 + side * (rng.uniform(0.5, 0.68) + rng.normal(0, 0.012, len(shift)).cumsum())
    return Companion(who, x, -rng.uniform(0.2, 0.7), rng.uniform(0.92, 1.0), None, rng.uniform(0, 2 * np.pi))
