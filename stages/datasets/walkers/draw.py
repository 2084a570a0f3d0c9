"""The rasteriser: shaded, tapered capsules with elliptic cross-section and a depth buffer."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BACKGROUND, OTHER, OCCLUDER = 0, 254, 255  # owners of pixels; OTHER: a person who is not the walker


@dataclass(frozen=True, slots=True)
class Surface:
    """The visible side of a capsule over its bounding box; all fields [h, w].

    along: metres from the first end, not clipped; across: -1 (left) to 1 (right) over the drawn width;
    out: the part of the normal that points at the camera.
    """

    along: np.ndarray
    across: np.ndarray
    out: np.ndarray


Paint = Callable[[Surface], np.ndarray]  # colours [3, h, w] or [3, 1, 1], BGR in [0, 1]


class Canvas:
    """A picture with depth and owner of every pixel. Draw the far before the near: edges are blended."""

    def __init__(self, picture: np.ndarray, light: tuple[float, float], ambient: float):
        """picture: float32 [3, H, W] BGR in [0, 1], drawn upon. light: direction (right, to the camera)."""
        self.picture = picture
        self.height, self.width = picture.shape[1:]
        self.depth = np.full((self.height, self.width), np.inf, np.float32)
        self.owner = np.zeros((self.height, self.width), np.uint8)
        self.xs = np.arange(self.width, dtype=np.float32)[None, :]
        self.ys = np.arange(self.height, dtype=np.float32)[:, None]
        self.light, self.ambient = light, ambient

    def capsule(
        self,
        ends: tuple[np.ndarray, np.ndarray],
        radii: tuple[float, float],
        owner: int,
        paint: Paint,
        bulge: float = 0.0,
        thickness: float = 1.0,
        cap: float = 1.0,
        dim: float = 1.0,
    ) -> None:
        """Draw one limb.

        ends: two projected points (x, y, depth, pixels per metre).
        radii: half the drawn width at them, metres.
        bulge: extra radius in the middle, metres. thickness: half the depth over half the width.
        cap: how flat the ends are; 1 round, larger flatter. dim: brightness.
        """
        (x0, y0, z0, m0), (x1, y1, z1, m1) = (e.tolist() for e in ends)
        scale = (m0 + m1) / 2
        r0, r1, extra = radii[0] * m0, radii[1] * m1, bulge * scale
        widest = max(r0, r1)
        reach0, reach1 = (widest, widest) if cap < 1 else (r0, r1)  # ends longer than round reach farther
        reach0, reach1 = reach0 + extra + 1, reach1 + extra + 1
        left, right = int(max(0, min(x0 - reach0, x1 - reach1))), int(max(x0 + reach0, x1 + reach1) + 2)
        top, bottom = int(max(0, min(y0 - reach0, y1 - reach1))), int(max(y0 + reach0, y1 + reach1) + 2)
        right, bottom = min(self.width, right), min(self.height, bottom)
        if left >= right or top >= bottom:
            return
        box = (slice(top, bottom), slice(left, right))
        length = max(math.hypot(x1 - x0, y1 - y0), 1e-3)
        ax, ay = (x1 - x0) / length, (y1 - y0) / length
        turn = -1 if ay > 0 else 1  # `side` grows to the right of the picture, whichever way the limb points
        dx, dy = self.xs[:, left:right] - x0, self.ys[top:bottom] - y0
        run = dx * ax + dy * ay
        side = dx * (-ay * turn) + dy * (ax * turn)
        at = np.minimum(np.maximum(run * (1 / length), 0), 1)
        over = run - at * length
        over *= cap
        radius = at * (r1 - r0)
        radius += r0
        if extra:
            radius += (4 * extra) * (at - at * at)
        over *= over
        over += side * side
        cover = radius - np.sqrt(over)
        cover += 0.5
        np.minimum(np.maximum(cover, 0, out=cover), 1, out=cover)
        over /= radius * radius
        out = np.sqrt(np.maximum(1 - over, 0))
        across = side / radius
        at *= z1 - z0
        at += z0
        radius *= out
        radius *= thickness
        at -= radius  # now the depth of the surface
        cover *= at < self.depth[box]
        shade = out * self.light[1]
        shade += across * (self.light[0] * abs(ay))
        np.maximum(shade, 0, out=shade)
        shade *= dim * (1 - self.ambient) * 1.12
        shade += dim * self.ambient
        run *= 1 / scale
        colours = paint(Surface(run, across, out)) * shade
        picture = self.picture[:, box[0], box[1]]
        colours -= picture
        colours *= cover
        picture += colours
        solid = cover > 0.5
        np.copyto(self.depth[box], at, where=solid)
        np.copyto(self.owner[box], owner, where=solid)

    def cover(self, mask: np.ndarray, colours: np.ndarray, top: int, left: int) -> None:
        """Draw over everything so far: mask float [h, w] in [0, 1], colours [3, h, w] or [3, 1, 1]."""
        box = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        picture = self.picture[:, box[0], box[1]]
        picture += mask * (colours - picture)
        solid = mask > 0.5
        np.copyto(self.owner[box], OCCLUDER, where=solid)
        np.copyto(self.depth[box], -np.inf, where=solid)
