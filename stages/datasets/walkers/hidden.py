"""How much of each part of a walker a frame does not show."""

import numpy as np

from stages.datasets.walkers.draw import OTHER, Canvas
from stages.datasets.walkers.figure import Limb
from stages.parts import PARTS

PART_NAMES = tuple(PARTS[6])
# Part of each limb's owner; a bag belongs to none.
_PART_OF = {
    "head": "head", "hair": "head", "neck": "head", "trunk": "torso", "pelvis": "torso", "skirt": "torso",
} | {
    f"{side}_{limb}": f"{side} {part}"
    for side in ("left", "right")
    for part, limbs in (("arm", ("upper_arm", "forearm", "hand")), ("leg", ("thigh", "shin", "foot")))
    for limb in limbs
}  # fmt: skip
_ALONG = np.linspace(0, 1, 9)
_ACROSS = np.array([-0.6, 0.0, 0.6])


def hidden_shares(
    canvas: Canvas, limbs: list[Limb], points: dict[str, np.ndarray]
) -> tuple[np.ndarray, float]:
    """Shares [6] of the parts, in the order of `PART_NAMES`, and of the whole body, 0 to 1.

    Hidden is what lies outside of the frame or behind a thing or another person; what the walker's own body
    hides is not. Sampled on 27 places of every limb, weighted by the limb's area.
    points: projected, each [4].
    """
    limbs = [limb for limb in limbs if limb.owner in _PART_OF]
    part = np.array([PART_NAMES.index(_PART_OF[limb.owner]) for limb in limbs])
    ends = np.array([[points[name] for name in limb.ends] for limb in limbs])  # [L, 2, 4]
    radii = np.array([limb.radii for limb in limbs]) * ends[..., 3]
    axis = ends[:, 1, :2] - ends[:, 0, :2]
    length = np.hypot(axis[:, 0], axis[:, 1])
    aside = np.stack([-axis[:, 1], axis[:, 0]], 1) / np.maximum(length, 1e-3)[:, None]
    middle = ends[:, None, 0, :2] + _ALONG[:, None] * axis[:, None]  # [L, 9, 2]
    radius = radii[:, :1] + _ALONG * (radii[:, 1:] - radii[:, :1])
    places = middle[:, :, None] + (radius[..., None] * _ACROSS)[..., None] * aside[:, None, None]
    column, row = np.floor(places + 0.5).astype(int).reshape(-1, 2).T
    inside = (column >= 0) & (column < canvas.width) & (row >= 0) & (row < canvas.height)
    hidden = ~inside
    hidden[inside] = canvas.owner[row[inside], column[inside]] >= OTHER
    area = (length + radii.sum(1)) * radii.sum(1)
    share = hidden.reshape(len(limbs), -1).mean(1)
    parts = np.bincount(part, area * share, len(PART_NAMES)) / np.bincount(part, area, len(PART_NAMES))
    return parts, float((area * share).sum() / area.sum())
