"""Joint augmentation of a batch of frames and their part maps.

Both get the same geometry: flip, pad and crop, erase. A crop after padding by p is a shift by -p..p
pixels; a part map shifts by the same fraction of its own grid. Draws are keyed by sample.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.reid.data.config import AugmentConfig
from stages.reid.data.keyed import uniform

ERASE_TRIES = 10  # tries at a rectangle that fits into the frame
_COLUMNS = 6 + 4 * ERASE_TRIES  # flip, down, right, gain, offset, whether to erase, rectangles
_SALT = 1


@dataclass(frozen=True)
class Draws:
    """What happens to each of N frames of H x W pixels.

    flip: bool [N]. shift: int [N, 2], pixels down and right. erased: int [N, 4], rows and columns
    (top, left, bottom, right) of the erased rectangle, all zero for none. gain, offset: float [N],
    of the colour jitter.
    """

    flip: np.ndarray
    shift: np.ndarray
    erased: np.ndarray
    gain: np.ndarray
    offset: np.ndarray


def identity(count: int) -> Draws:
    """Leaves every frame as it is; used at test time."""
    return Draws(
        np.zeros(count, dtype=bool),
        np.zeros((count, 2), dtype=np.int64),
        np.zeros((count, 4), dtype=np.int64),
        np.ones(count),
        np.zeros(count),
    )


def draw(keys: np.ndarray, frames: int, config: AugmentConfig, size: tuple[int, int]) -> Draws:
    """Draws for B clips of `frames` frames, clip after clip. keys: int64 [B]; size: (height, width), px."""
    per_clip = 1 if config.per == "clip" else frames
    u = uniform(keys, _SALT, per_clip * _COLUMNS).reshape(len(keys), per_clip, _COLUMNS)
    u = np.broadcast_to(u, (len(keys), frames, _COLUMNS)).reshape(-1, _COLUMNS)
    pad = round(config.pad * size[0] / 256)
    shift = np.floor(u[:, 1:3] * (2 * pad + 1)).astype(np.int64) - pad
    erased = _rectangles(u[:, 6:].reshape(-1, ERASE_TRIES, 4), config, size)
    erased[u[:, 5] >= config.erase] = 0
    return Draws(
        flip=u[:, 0] < config.flip,
        shift=shift,
        erased=erased,
        gain=1 + config.jitter * (2 * u[:, 3] - 1),
        offset=255 * config.jitter * (u[:, 4] - 0.5),
    )


def _rectangles(u: np.ndarray, config: AugmentConfig, size: tuple[int, int]) -> np.ndarray:
    """The first of several tries that fits into the image, int [N, 4]; all zero where none does."""
    area = (
        (config.erase_area[0] + u[..., 0] * (config.erase_area[1] - config.erase_area[0])) * size[0] * size[1]
    )
    aspect = config.erase_aspect[0] + u[..., 1] * (config.erase_aspect[1] - config.erase_aspect[0])
    height = np.round(np.sqrt(area * aspect)).astype(np.int64)
    width = np.round(np.sqrt(area / aspect)).astype(np.int64)
    fits = (height >= 1) & (width >= 1) & (height < size[0]) & (width < size[1])
    first = np.argmax(fits, axis=1)
    row = np.arange(len(u))
    height, width, u = height[row, first], width[row, first], u[row, first]
    top = np.floor(u[:, 2] * (size[0] - height + 1)).astype(np.int64)
    left = np.floor(u[:, 3] * (size[1] - width + 1)).astype(np.int64)
    return np.stack([top, left, top + height, left + width], axis=1) * fits.any(axis=1)[:, None]


def move_frames(frames: np.ndarray, draws: Draws) -> np.ndarray:
    """Flip, shift and jitter of frames, uint8 [N, 3, H, W] -> the same; padding is black.

    Erasing comes with `normalise`, since its fill is stated in normalised values.
    """
    out = np.zeros_like(frames)
    height, width = frames.shape[2:]
    jitter = bool((draws.gain != 1).any() or (draws.offset != 0).any())
    for n, frame in enumerate(frames):
        if jitter:
            table = np.arange(256) * draws.gain[n] + draws.offset[n]
            frame = cv2.LUT(frame, np.clip(np.round(table), 0, 255).astype(np.uint8))
        if draws.flip[n]:
            frame = cv2.flip(frame.reshape(-1, frame.shape[-1]), 1).reshape(frame.shape)
        (to_rows, from_rows), (to_columns, from_columns) = (
            _window(int(shift), side) for shift, side in zip(draws.shift[n], (height, width), strict=True)
        )
        out[n, :, to_rows, to_columns] = frame[:, from_rows, from_columns]
    return out


def _window(shift: int, size: int) -> tuple[slice, slice]:
    """Target and source range along an axis whose content moves by `shift`."""
    return slice(max(shift, 0), size + min(shift, 0)), slice(max(-shift, 0), size - max(shift, 0))


def normalise(
    frames: Tensor,
    erased: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    fill: tuple[float, ...],
) -> Tensor:
    """uint8 [..., 3, H, W] -> float32, (value / 255 - mean) / std, with the erased rectangles filled.

    erased: int64 [N, 4], N the product of the leading axes. fill: value of erased pixels after normalising.
    Works where frames and erased are, so that a device gets bytes and not floats.
    """
    factors = [(1 / (255 * s), -m / s) for m, s in zip(mean, std, strict=True)]
    if frames.device.type == "cpu":  # frame by frame, so that each stays in the processor's cache
        images = torch.empty(frames.shape)
        scale, shift = torch.tensor(factors).T[..., None]
        planes = (-1, len(factors), frames.shape[-2] * frames.shape[-1])
        for frame, image in zip(frames.reshape(planes), images.view(planes), strict=True):
            image.copy_(frame).mul_(scale).add_(shift)
    else:  # by channel, as a tensor of factors would have to be uploaded
        images = frames.to(torch.float32)
        for channel, (factor, term) in enumerate(factors):
            images[..., channel, :, :].mul_(factor).add_(term)
    fill_in = fill_one_by_one if frames.device.type == "cpu" else fill_together
    fill_in(images.view(-1, *images.shape[-3:]), erased, fill)
    return images


def fill_one_by_one(images: Tensor, rectangles: Tensor, fill: tuple[float, ...]) -> None:
    """Fill rectangles int64 [N, 4] of images [N, 3, H, W]; touches nothing else."""
    for n in rectangles[:, 2].nonzero()[:, 0].tolist():
        top, left, bottom, right = rectangles[n].tolist()
        for channel, value in enumerate(fill):
            images[n, channel, top:bottom, left:right] = value


def fill_together(images: Tensor, rectangles: Tensor, fill: tuple[float, ...]) -> None:
    """`fill_one_by_one` in a few operations, whatever the number of rectangles; reads nothing from a GPU."""
    top, left, bottom, right = rectangles[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
    for channel, value in enumerate(fill):  # a tensor of values would have to be uploaded
        images[:, channel].masked_fill_(inside, value)


def move_maps(
    maps: np.ndarray,
    draws: Draws,
    size: tuple[int, int],
    flip_groups: np.ndarray,
    grid: tuple[int, int],
    pool: tuple[int, int] = (1, 1),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Part maps with the geometry of their frames.

    maps: uint8 [N, G, h, w], the groups of `PartGroups`. size: (height, width) of a frame in pixels.
    flip_groups: `PartGroups.flip`. grid: (height, width) on which maps are moved. pool: cells of the grid,
    down and across, of which the mean is returned; the same as pooling the result, for less work.
    Returns heat float32 [N, K, h', w'] in [0, 1], and the share of each cell that shows the frame itself
    (not padding, not erased), float32 [N, 1, h', w'] in [0, 1]. Heat is already scaled by it. And the share
    of each frame's heat that was erased, float32 [N] in [0, 1].
    """
    order = np.where(draws.flip[:, None], flip_groups, np.arange(len(flip_groups)))
    chosen = maps[np.arange(len(maps))[:, None], order].astype(np.float32)
    rows, columns = (
        np.stack([_resampling(maps.shape[2 + axis], grid[axis], shift / size[axis]) for shift in shifts])
        for axis, shifts in enumerate(draws.shift.T.tolist())
    )
    columns[draws.flip] = columns[draws.flip, :, ::-1]
    heat, shown = _separable(_pooled(rows, pool[0]), chosen, _pooled(columns, pool[1]))
    some = np.flatnonzero(draws.erased[:, 2])
    lost = np.zeros(len(maps), np.float32)
    if len(some):
        # a rectangle is separable too: what it covers is taken away
        top, left, bottom, right = draws.erased[some].T
        rows = rows[some] * _coverage(top / size[0], bottom / size[0], grid[0])[:, :, None]
        columns = columns[some] * _coverage(left / size[1], right / size[1], grid[1])[:, :, None]
        gone = _separable(_pooled(rows, pool[0]), chosen[some], _pooled(columns, pool[1]))
        whole = heat[some].sum(axis=(1, 2, 3))
        lost[some] = np.clip(gone[0].sum(axis=(1, 2, 3)) / np.maximum(whole, 1e-6), 0, 1)
        heat[some] -= gone[0]
        shown[some] -= gone[1]
    # subtracting what was erased may leave rounding errors below zero
    return np.maximum(heat * np.float32(1 / 255), 0, out=heat), np.maximum(shown, 0, out=shown), lost


def _separable(rows: np.ndarray, maps: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rows [N, r, h] and columns [N, c, w] applied to maps [N, K, h, w], and to a map of ones."""
    across = np.ascontiguousarray(columns.transpose(0, 2, 1))
    shown = rows.sum(axis=2)[:, None, :, None] * columns.sum(axis=2)[:, None, None, :]
    return (rows[:, None] @ maps) @ across[:, None], shown


def _pooled(matrices: np.ndarray, cells: int) -> np.ndarray:
    """Means over runs of `cells` rows: [N, t, s] -> [N, t / cells, s]."""
    if cells == 1:
        return matrices
    total = matrices[:, ::cells].copy()
    for place in range(1, cells):
        total += matrices[:, place::cells]
    return np.divide(total, np.float32(cells), out=total)


@functools.lru_cache(maxsize=1024)  # more than the whole numbers of pixels by which a frame is moved
def _resampling(source: int, target: int, shift: float) -> np.ndarray:
    """Linear resampling along one axis, float32 [target, source].

    shift: share of the axis by which content moves. What lies outside counts as zero. A shrunk map averages
    over the cells that it covers.
    """
    ratio = source / target
    reach = max(ratio, 1.0)
    place = (np.arange(target) + 0.5) * ratio - 0.5 - shift * source
    cells = np.ceil(place - reach).astype(np.int64)[:, None] + np.arange(2 * int(np.ceil(reach)))
    weights = np.clip(1 - np.abs(place[:, None] - cells) / reach, 0, None) / reach
    weights[(cells < 0) | (cells >= source)] = 0
    out = np.zeros((target, source), dtype=np.float32)
    row, tap = np.nonzero(weights)
    out[row, cells[row, tap]] = weights[row, tap]
    return out


def _coverage(start: np.ndarray, stop: np.ndarray, cells: int) -> np.ndarray:
    """Share of each of `cells` equal cells of [0, 1] that [start, stop] covers, float32 [N, cells]."""
    edges = np.arange(cells + 1) / cells
    covered = np.minimum(edges[1:], stop[:, None]) - np.maximum(edges[:-1], start[:, None])
    return (np.clip(covered, 0, None) * cells).astype(np.float32)


def published_range(heat: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Heat in [0, 1] to the released loader's [-1, 1]; padded and erased cells get 0, which is half heat."""
    return 2 * heat - shown
