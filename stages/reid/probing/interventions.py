"""What a trained network is given instead of its heat, its temporal attention and its choice of patches.

Functions on part maps [B, T, K, h, w]; `empty` is the value of no heat (0, or -1 with guidance published) and
`clips` int64 [B] the number of each clip in the data set, so that what is drawn does not depend on batches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cache import PoseCache
from stages.datasets.tracklet import Tracklet
from stages.parts import Grouping, grouping, mirrored
from stages.reid.model.backbone import kept_count

Change = Callable[[Tensor, np.ndarray], Tensor]


def all_ones(maps: Tensor, clips: np.ndarray) -> Tensor:
    """Every part everywhere."""
    return torch.ones_like(maps)


def no_heat(empty: float) -> Change:
    """No part anywhere."""
    return lambda maps, clips: torch.full_like(maps, empty)


def another_part(maps: Tensor, clips: np.ndarray) -> Tensor:
    """Every part has the heat of the part before it, the first that of the last."""
    return maps.roll(1, dims=2)


def mirror_order(parts: Grouping) -> list[int]:
    """Position of each part's counterpart on the other side of the body; its own where there is none."""
    joints = [frozenset(j) for j in grouping(parts).values()]
    return [
        joints.index(other) if (other := frozenset(map(mirrored, own))) in joints else place
        for place, own in enumerate(joints)
    ]


def left_right(parts: Grouping) -> Change:
    """Left parts have the heat of right ones and the other way round."""
    order = mirror_order(parts)
    return lambda maps, clips: maps[:, :, order]


def moved(maps: Tensor, down: np.ndarray, right: np.ndarray, empty: float) -> Tensor:
    """Each map moved by whole cells, what comes in is `empty`; down, right: int, of shape [B, T, K]."""
    height, width = maps.shape[-2:]
    rows = torch.arange(height) - torch.from_numpy(down)[..., None]
    columns = torch.arange(width) - torch.from_numpy(right)[..., None]
    inside = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[
        ..., None, :
    ]
    index = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    moved = maps.flatten(-2).gather(-1, index.flatten(-2).to(maps.device)).unflatten(-1, (height, width))
    return torch.where(inside.to(maps.device), moved, torch.full_like(moved, empty))


def shifted(cells: int, empty: float, seed: int) -> Change:
    """All maps of a clip moved by this many cells to a side drawn for the clip, as in a wrong box."""

    def change(maps: Tensor, clips: np.ndarray) -> Tensor:
        sides = np.array([_drawn(seed, 1, clip).integers(4) for clip in clips])
        steps = cells * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])[sides]  # [B, 2]
        down, right = (np.broadcast_to(s[:, None, None], maps.shape[:3]) for s in steps.T)
        return moved(maps, down.copy(), right.copy(), empty)

    return change


def noisy(deviation: float, empty: float, seed: int) -> Change:
    """Each part in each frame moved on its own, normally with this deviation in cells, as bad poses would."""

    def change(maps: Tensor, clips: np.ndarray) -> Tensor:
        shape = (2, *maps.shape[1:3])
        drawn = np.stack([_drawn(seed, 2, clip).normal(size=shape) for clip in clips], 1)
        down, right = np.rint(deviation * drawn).astype(np.int64)
        return moved(maps, down, right, empty)

    return change


class OtherClips:
    """A pose cache that gives each tracklet the heat of another one, of another person where there is any.

    Frame i has the heat of frame i of the other tracklet, which starts over where it is shorter.
    """

    def __init__(self, cache: PoseCache, tracklets: Sequence[Tracklet], seed: int):
        self.cache, self.info, self.folder = cache, cache.info, cache.folder
        self._other: dict[str, str] = {}
        rng = np.random.default_rng([seed, 3])
        persons = np.array([t.person for t in tracklets])
        for number, tracklet in enumerate(tracklets):
            others = np.flatnonzero(persons != tracklet.person)
            others = others if len(others) else np.delete(np.arange(len(persons)), number)
            frames = tracklets[int(rng.choice(others))].frames if len(others) else tracklet.frames
            self._other |= {f: frames[i % len(frames)] for i, f in enumerate(tracklet.frames)}

    def missing(self, frames: Sequence[str]) -> list[str]:
        return self.cache.missing([self._other[f] for f in frames])

    def read_heatmaps(self, frames: Sequence[str]) -> np.ndarray:
        return self.cache.read_heatmaps([self._other[f] for f in frames])


class _UniformPool(nn.Module):
    """In the place of temporal attention: the mean over frames."""

    def forward(self, features: Tensor, *evidence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = features.new_zeros(features.shape[:2])
        return features.mean(dim=1), scores, scores.softmax(dim=-1)


@contextmanager
def uniform_attention(model: nn.Module, clips: np.ndarray) -> Iterator[None]:
    """Within, every frame of a clip counts alike in the network."""
    pool = model.global_branch.pool
    model.global_branch.pool = _UniformPool()
    try:
        yield
    finally:
        model.global_branch.pool = pool


@contextmanager
def random_patches(model: nn.Module, clips: np.ndarray, seed: int) -> Iterator[None]:
    """Within, the trunk sees patches of these clips drawn at random, as many as heat would choose."""
    plain, patches = model.forward, model.grid[0] * model.grid[1]
    count = kept_count(patches, model.config.kept_share)

    def forward(images: Tensor, *others, **more):
        drawn = np.stack([_drawn(seed, 4, clip).random((images.shape[1], patches)) for clip in clips])
        kept = np.sort(np.argsort(drawn, axis=2)[..., :count], axis=2)
        return plain(images, *others, kept=torch.from_numpy(kept).to(images.device), **more)

    model.forward = forward
    try:
        yield
    finally:
        del model.forward


def _drawn(seed: int, kind: int, clip: int) -> np.random.Generator:
    return np.random.default_rng([seed, kind, int(clip)])
