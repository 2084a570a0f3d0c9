"""Joint augmentation of a batch of frames and their part maps.

Both get the same geometry: flip, pad and crop, erase. A crop after padding by p is a shift by -p..p
pixels; a part map shifts by the same fraction of its own grid. Draws are keyed by sample.
"""

from dataclasses import dataclass

import numpy as np

from stages.reid.data.keyed import uniform
from stages.reid.train_config import AugmentConfig

ERASE_TRIES = 10  # a rectangle that does not fit is drawn again, at most so often
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


def augment_frames(
    frames: np.ndarray, draws: Draws, mean: tuple[float, ...], std: tuple[float, ...], fill: tuple[float, ...]
) -> np.ndarray:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], normalised by mean and std (of values in [0, 1]).

    Padding is black; fill is the value of erased pixels after normalising.
    """
    count, height, width, _ = frames.shape
    scale = np.array([1 / (255 * s) for s in std], dtype=np.float32)[:, None, None]
    black = np.array([-m / s for m, s in zip(mean, std, strict=True)], dtype=np.float32)[:, None, None]
    filled = np.array(fill, dtype=np.float32)[:, None, None]
    out = np.empty((count, 3, height, width), dtype=np.float32)
    jitter = bool((draws.gain != 1).any() or (draws.offset != 0).any())
    for n, frame in enumerate(frames):
        down, right = (int(v) for v in draws.shift[n])
        rows, columns = _window(down, height), _window(right, width)
        source = frame[:, ::-1] if draws.flip[n] else frame
        source = source[rows[1], columns[1]].transpose(2, 0, 1)
        target = out[n, :, rows[0], columns[0]]
        if jitter:
            source = np.clip(source * np.float32(draws.gain[n]) + np.float32(draws.offset[n]), 0, 255)
        np.multiply(source, scale, out=target)
        target += black
        if down or right:
            _outside(out[n], rows[0], columns[0], black)
        top, left, bottom, edge = draws.erased[n]
        if bottom:
            out[n, :, top:bottom, left:edge] = filled
    return out


def _window(shift: int, size: int) -> tuple[slice, slice]:
    """Target and source range along an axis whose content moves by `shift`."""
    return slice(max(shift, 0), size + min(shift, 0)), slice(max(-shift, 0), size - max(shift, 0))


def _outside(image: np.ndarray, rows: slice, columns: slice, value: np.ndarray) -> None:
    image[:, : rows.start] = value
    image[:, rows.stop :] = value
    image[:, :, : columns.start] = value
    image[:, :, columns.stop :] = value


def augment_maps(
    maps: np.ndarray, draws: Draws, size: tuple[int, int], flip_groups: np.ndarray, grid: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Part maps with the geometry of their frames.

    maps: uint8 [N, G, h, w], the groups of `PartGroups`. size: (height, width) of a frame in pixels.
    flip_groups: `PartGroups.flip`. grid: (height, width) of the result.
    Returns heat float32 [N, K, *grid] in [0, 1], and the share of each cell that shows the frame
    itself (not padding, not erased), float32 [N, 1, *grid] in [0, 1]. Heat is already scaled by it.
    """
    height, width = maps.shape[2:]
    count = len(flip_groups)
    unflipped = np.zeros(len(maps), dtype=bool)
    rows = _axis_matrices(height, grid[0], draws.shift[:, 0] / size[0], unflipped)
    columns = _axis_matrices(width, grid[1], draws.shift[:, 1] / size[1], draws.flip)
    order = np.where(draws.flip[:, None], flip_groups, np.arange(count))
    chosen = maps[np.arange(len(maps))[:, None], order].astype(np.float32)
    chosen *= np.float32(1 / 255)
    heat = rows[:, None] @ chosen @ columns[:, None].transpose(0, 1, 3, 2)
    shown = rows.sum(axis=2)[:, :, None] * columns.sum(axis=2)[:, None, :]
    for n in np.flatnonzero(draws.erased[:, 2]):
        top, left, bottom, right = draws.erased[n]
        covered = _coverage(top / size[0], bottom / size[0], grid[0])[:, None] * _coverage(
            left / size[1], right / size[1], grid[1]
        )
        heat[n] *= 1 - covered
        shown[n] *= 1 - covered
    return heat, shown[:, None]


def _axis_matrices(source: int, target: int, shift: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Linear resampling along one axis, float32 [N, target, source].

    shift: float [N], share of the axis by which content moves. What lies outside counts as zero.
    """
    ratio = source / target
    centre = (np.arange(target) + 0.5) * ratio - 0.5
    place = centre[None] - (shift * source)[:, None]
    distance = np.abs(place[:, :, None] - np.arange(source)[None, None])
    reach = max(ratio, 1.0)  # a shrunk map averages over the cells that it covers
    weights = np.clip(1 - distance / reach, 0, None) / reach
    weights = np.where(flip[:, None, None], weights[:, :, ::-1], weights)
    return weights.astype(np.float32)


def _coverage(start: float, stop: float, cells: int) -> np.ndarray:
    """Share of each of `cells` equal cells of [0, 1] that [start, stop] covers, float32."""
    edges = np.arange(cells + 1) / cells
    return (np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None) * cells).astype(
        np.float32
    )


def published_range(heat: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Heat in [0, 1] to the released loader's [-1, 1]; padded and erased cells get 0, which is half heat."""
    return 2 * heat - shown
