"""The rasteriser: shaded, tapered capsules with elliptic cross-section and a depth buffer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BACKGROUND, OCCLUDER = 0, 255


@dataclass(frozen=True, slots=True)
class Surface:
    """The visible side of a capsule over its bounding box; all fields [h, w].

    along: metres from the first end, not clipped; across: -1 (left) to 1 (right) over the drawn width;
    up: the part of the normal that points along the capsule; out: the part that points at the camera.
    """

    along: np.ndarray
    across: np.ndarray
    up: np.ndarray
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
        (x0, y0, z0, m0), (x1, y1, z1, m1) = (map(float, e) for e in ends)
        r0, r1, extra = radii[0] * m0, radii[1] * m1, bulge * (m0 + m1) / 2
        reach = max(r0, r1) + extra + 1
        left, right = int(max(0, min(x0, x1) - reach)), int(min(self.width, max(x0, x1) + reach + 2))
        top, bottom = int(max(0, min(y0, y1) - reach)), int(min(self.height, max(y0, y1) + reach + 2))
        if left >= right or top >= bottom:
            return
        box = (slice(top, bottom), slice(left, right))
        length = max(np.hypot(x1 - x0, y1 - y0), 1e-3)
        ax, ay = (x1 - x0) / length, (y1 - y0) / length
        dx, dy = self.xs[:, left:right] - x0, self.ys[top:bottom] - y0
        run = dx * ax + dy * ay
        side = dx * -ay + dy * ax
        if ay > 0:  # a limb that hangs down: let `across` grow to the right of the picture
            side = -side
        at = np.clip(run / length, 0, 1)
        over = (run - at * length) * cap
        radius = r0 + (r1 - r0) * at
        if extra:
            radius += 4 * extra * at * (1 - at)
        away = np.sqrt(side * side + over * over)
        cover = np.clip(radius - away + 0.5, 0, 1)
        across, up = side / radius, over / radius
        out = np.sqrt(np.maximum(1 - across * across - up * up, 0))
        depth = z0 + (z1 - z0) * at - thickness * radius * out
        cover *= depth < self.depth[box]
        # `across` runs to the right of a limb that hangs; the light's x is turned with the limb.
        facing = across * (self.light[0] * abs(ay)) + out * self.light[1]
        shade = (dim * self.ambient) + (dim * (1 - self.ambient) * 1.12) * np.maximum(facing, 0)
        metres = run * (2 / (m0 + m1))
        colours = paint(Surface(metres, across, up, out)) * shade
        picture = self.picture[:, box[0], box[1]]
        picture += cover * (colours - picture)
        solid = cover > 0.5
        np.copyto(self.depth[box], depth, where=solid)
        self.owner[box][solid] = owner

    def cover(self, mask: np.ndarray, colours: np.ndarray, top: int, left: int) -> None:
        """Put something before everything: mask float [h, w] in [0, 1], colours [3, h, w] or [3, 1, 1]."""
        box = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        picture = self.picture[:, box[0], box[1]]
        picture += mask * (colours - picture)
        solid = mask > 0.5
        self.owner[box][solid] = OCCLUDER
        self.depth[box][solid] = -np.inf
