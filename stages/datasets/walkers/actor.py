"""A person before the camera: clothes, pose and place in every frame of a tracklet."""

from dataclasses import dataclass

import numpy as np

from stages.datasets.walkers import body, figure
from stages.datasets.walkers.camera import View
from stages.datasets.walkers.draw import Canvas
from stages.datasets.walkers.wardrobe import Identity


def arm_styles(identity: Identity) -> tuple[str, str]:
    """How a person carries the left and the right arm."""
    left = right = "free"
    if identity.build.arms == "phone":
        right = "phone"
    elif identity.build.arms in ("pockets", "hold"):
        left = right = identity.build.arms
    if identity.clothes.bag == "handbag":
        left = "carry"
    return left, right


def skeleton(identity: Identity, phase: np.ndarray, gaze: np.ndarray) -> dict[str, np.ndarray]:
    """Points of body and clothes in metres, each [T, 3]. phase, gaze: [T], radians."""
    points = body.pose(identity.build, phase, arm_styles(identity), gaze)
    return points | figure.extra_points(identity, points)


@dataclass(frozen=True)
class Actor:
    """points: projected, each [T, 4] (see `View.project`). yaw, gaze [T] radians; spread [T] metres."""

    identity: Identity
    points: dict[str, np.ndarray]
    yaw: np.ndarray
    gaze: np.ndarray
    spread: np.ndarray

    @classmethod
    def seen(cls, identity: Identity, points: dict[str, np.ndarray], gaze: np.ndarray, view: View) -> "Actor":
        """points: those of `skeleton`."""
        projected = view.project(np.stack(list(points.values())))
        spread = figure.reach_of_legs(identity, points)
        return cls(identity, dict(zip(points, projected, strict=True)), view.yaw, gaze, spread)

    def at(self, frame: int) -> dict[str, np.ndarray]:
        return {name: place[frame] for name, place in self.points.items()}

    def draw(self, canvas: Canvas, frame: int, owner: int | None = None) -> list[figure.Limb]:
        """Draw shadow and figure; returns the limbs. owner: of all pixels, None: by limb."""
        feet = np.stack([self.points[f"{s}_{p}"][frame] for s in ("left", "right") for p in ("heel", "toe")])
        x, y, reach = feet[:, 0].mean(), feet[:, 1].max(), max(np.ptp(feet[:, 0]) * 0.62, 16.0)
        top = max(0, int(y - 14))
        rows, columns = canvas.ys[top:], canvas.xs
        distance = ((columns - x) / reach) ** 2 + ((rows - y + 2) / 9) ** 2
        canvas.picture[:, top:] *= 1 - 0.5 * np.maximum(0, 1 - distance)
        yaw, gaze = float(self.yaw[frame]), float(self.yaw[frame] + self.gaze[frame])
        spread = float(self.spread[frame])
        return figure.draw(canvas, self.identity, self.at(frame), yaw, gaze, spread, owner)
