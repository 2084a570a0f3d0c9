"""Occluded pictures of persons: the same ones for the same seed, as whole data sets cannot be handed on.

A picture is covered by a rectangle of another picture, or by a cut-out thing of the walkers' scene (hedge,
car, bin, board, pole), so that about a stated share of it is hidden.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from stages.datasets.walkers import occluders
from stages.datasets.walkers.draw import OCCLUDER, Canvas

SHARES = (0.0, 0.15, 0.3, 0.45, 0.6)
SIDES = ("left", "right", "bottom")


@dataclass(frozen=True)
class Occluded:
    """picture uint8 [H, W, 3] BGR; hidden bool [H, W]; kind: of the occluder; share: asked for."""

    picture: np.ndarray
    hidden: np.ndarray
    kind: str
    share: float


def occlude(picture: np.ndarray, other: np.ndarray, name: str, seed: int) -> Occluded:
    """Cover a part of a picture; what and how much is a function of its name and the seed.

    other: a picture that a rectangle is cut from.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    share = SHARES[rng.integers(len(SHARES))]
    if share == 0:
        return Occluded(picture, np.zeros(picture.shape[:2], bool), "none", share)
    if rng.random() < 0.5:
        return _rectangle(rng, picture, other, share)
    return _cut_out(rng, picture, share)


def _rectangle(rng: np.random.Generator, picture: np.ndarray, other: np.ndarray, share: float) -> Occluded:
    """A side of the picture, or its lower part, from a part of another one of the same shape."""
    high, wide = picture.shape[:2]
    side = SIDES[rng.integers(len(SIDES))]
    rows, columns = (round(share * high), wide) if side == "bottom" else (high, round(share * wide))
    top = high - rows if side == "bottom" else 0
    left = wide - columns if side == "right" else 0
    zoom = rng.uniform(0.5, 1.0)
    source_rows, source_columns = (max(1, int(zoom * n)) for n in (rows, columns))
    y = rng.integers(other.shape[0] - min(source_rows, other.shape[0]) + 1)
    x = rng.integers(other.shape[1] - min(source_columns, other.shape[1]) + 1)
    # The nearest pixel, in whole numbers: no version of a library rounds it otherwise.
    from_rows = y + np.arange(rows) * min(source_rows, other.shape[0]) // rows
    from_columns = x + np.arange(columns) * min(source_columns, other.shape[1]) // columns
    covered, hidden = picture.copy(), np.zeros((high, wide), bool)
    covered[top : top + rows, left : left + columns] = other[np.ix_(from_rows, from_columns)]
    hidden[top : top + rows, left : left + columns] = True
    return Occluded(covered, hidden, "rectangle", share)


def _cut_out(rng: np.random.Generator, picture: np.ndarray, share: float) -> Occluded:
    """A thing with its own outline, before the middle of the picture."""
    kind = str(rng.choice(["hedge", "car", "bin", "board", "pole"]))
    width, top, bottom = {
        "hedge": (1.8, 1 - share - 0.03, 1.1),
        "car": (2.0, 1 - share, 1.1),
        "bin": (min(0.95, 1.6 * share), 1 - share / min(0.95, 1.6 * share), 1.0),
        "board": (min(0.95, 1.4 * share), 0.95 - share / min(0.95, 1.4 * share), 0.95),
        "pole": (share, -0.1, 1.1),
    }[kind]
    x, colour = np.array([rng.uniform(0.4, 0.6)]), rng.uniform(0.08, 0.8, 3)
    thing = occluders.Occluder(kind, width, top, bottom, x, colour, int(rng.integers(2**31)))
    before = picture.transpose(2, 0, 1).astype(np.float32) / 255
    canvas = Canvas(before.copy(), (0.0, 1.0), 1.0)
    occluders.draw(canvas, thing, 0)
    hidden = canvas.owner == OCCLUDER
    drawn = (255 * canvas.picture.transpose(1, 2, 0)).round().clip(0, 255).astype(np.uint8)
    return Occluded(np.where(hidden[..., None], drawn, picture), hidden, kind, share)
