"""Who is in the picture: the walker or whom the tracker follows instead, who walks beside, who crosses."""

from dataclasses import dataclass, replace

import numpy as np

from stages.datasets.walkers.actor import Actor, skeleton
from stages.datasets.walkers.camera import HEIGHT, View
from stages.datasets.walkers.disturbances import Companion, Disturbance
from stages.datasets.walkers.draw import OTHER, Canvas
from stages.datasets.walkers.figure import Limb
from stages.datasets.walkers.wardrobe import Identity


@dataclass(frozen=True)
class Scene:
    """The persons of a tracklet. other: bool [T], where `stranger` is in the walker's place."""

    walker: Actor
    other: np.ndarray
    stranger: Actor | None
    neighbour: Actor | None
    passer: Actor | None

    def seen(self, frame: int) -> Actor:
        """The person whom the tracker follows in this frame."""
        return self.stranger if self.other[frame] else self.walker

    def draw_behind(self, canvas: Canvas, frame: int) -> list[Limb]:
        """Draw the neighbour and before him the person of the frame; returns the limbs of the latter."""
        if self.neighbour is not None:
            self.neighbour.draw(canvas, frame, OTHER)
        return self.seen(frame).draw(canvas, frame)

    def draw_passer(self, canvas: Canvas, frame: int) -> tuple[float, float, float, float] | None:
        """Draw who crosses in front; returns the box in canvas pixels, None outside of the canvas."""
        x, y = np.array([p[:2] for p in self.passer.at(frame).values()]).T
        left, right = max(0.0, x.min()), min(float(canvas.width), x.max())
        if left >= right:
            return None
        self.passer.draw(canvas, frame, OTHER)
        return left, max(0.0, y.min()), right, min(float(canvas.height), y.max())


def stage(
    identity: Identity,
    points: dict[str, np.ndarray],
    phase: np.ndarray,
    gaze: np.ndarray,
    view: View,
    width: int,
    wrong: Disturbance,
) -> Scene:
    """Place everybody, as right boxes would show them, then in the boxes that the tracker gave.

    points: the walker's, of `skeleton`; phase: the gait's [T]; view: of the walker; width: of the canvas.
    """
    size = np.array([width, HEIGHT])

    def in_box(right: View) -> View:
        if not wrong.box_is_wrong:
            return right
        centre = (right.centre - size / 2) * wrong.zoom[:, None] + size / 2 + wrong.shift * size
        return replace(right, scale=right.scale * wrong.zoom, centre=centre)

    def beside(who: Companion | None) -> Actor | None:
        if who is None:
            return None
        build, walked = who.identity.build, phase - phase[0]
        scale = view.scale * who.size
        # Both stand on the ground; who is nearer stands lower in the picture.
        tilt, ahead = np.cos(view.elevation), np.sin(view.elevation) * who.nearer
        feet = view.centre[:, 1] + view.scale * (view.middle * tilt + ahead)
        centre = np.stack([who.x * width, feet - scale * build.height / 2 * tilt], 1)
        yaw = view.yaw if who.yaw is None else np.full(len(phase), who.yaw)
        gait = who.phase + build.cadence / identity.build.cadence * walked
        straight = np.zeros(len(phase))
        there = View(yaw, view.elevation, view.distance, scale, centre, build.height / 2)
        actor = Actor.seen(who.identity, skeleton(who.identity, gait, straight), straight, in_box(there))
        nearer = {name: p - [0, 0, who.nearer, 0] * p[:, 3:] for name, p in actor.points.items()}
        return replace(actor, points=nearer)

    stranger = None
    if wrong.stranger is not None:
        ratio = identity.build.height / wrong.stranger.build.height
        middle = wrong.stranger.build.height / 2
        there = replace(in_box(view), scale=in_box(view).scale * ratio, middle=middle)
        stranger = Actor.seen(wrong.stranger, skeleton(wrong.stranger, phase + 1.7, gaze), gaze, there)
    walker = Actor.seen(identity, points, gaze, in_box(view))
    return Scene(walker, wrong.other, stranger, beside(wrong.neighbour), beside(wrong.passer))
