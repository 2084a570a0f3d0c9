"""Heat on the patch grid: pooled there, and which patches of a frame the trunk sees by it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cache.errors import KeyReIDError

NEAR = 0.5  # what the heat of a neighbour counts
TIE = 1e-4  # where heat says nothing, patches near the centre of the frame are kept


def pool_to_grid(part_maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean of each patch: [B, T, K, h, w] -> [B, T, K, n], n = rows x columns of the grid.

    Raises KeyReIDError unless h and w are multiples of the grid.
    """
    (height, width), (rows, columns) = part_maps.shape[-2:], grid
    if height % rows or width % columns:
        raise KeyReIDError(
            f"part maps of {height}x{width}: expected a multiple of the patch grid {rows}x{columns}"
        )
    if (height, width) == grid:
        return part_maps.flatten(-2)
    cells = part_maps.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1))  # [..., rows, h', columns, w']
    return cells.mean(dim=(-3, -1)).flatten(-2)


def kept_count(patches: int, keep: float) -> int:
    """Patches kept of a frame: the share `keep` of them, rounded, at least one."""
    return max(1, round(keep * patches))


def kept_patches(heat: Tensor, keep: float, grid: tuple[int, int]) -> Tensor:
    """The patches with the most heat of any part, the same number in every frame.

    heat: [F, K, n] of K parts on the n patches of a grid (rows, columns), row by row. A patch counts with its
    own heat or half of a neighbour's, whichever is more, on a grid of more than eight rows after blurring, so
    that the body between the joints is kept with them. Returns int64 [F, round(keep * n)], ascending.
    """
    score = heat.amax(dim=1).unflatten(-1, grid)[:, None]  # [F, 1, rows, columns]
    blur = 2 * reach_of(grid) - 1
    for _ in range(2):  # does nothing on eight rows
        score = F.avg_pool2d(score, blur, 1, blur // 2, count_include_pad=False)
    near = F.max_pool2d(score, 3, stride=1, padding=1)
    score = torch.maximum(score, NEAR * near).flatten(1)
    score = score - TIE * distance_to_centre(grid, score.device)
    count = kept_count(score.shape[1], keep)
    return score.topk(count, dim=1, sorted=False).indices.sort(dim=1).values


def reach_of(grid: tuple[int, int]) -> int:
    """Patches in an eighth of the frame's height, half of the way from shoulder to hip."""
    return max(1, round(grid[0] / 8))


def distance_to_centre(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Distance of every patch to the centre of the frame, in frames: [n], different for any two.

    Patches that mirror each other differ by more than float32 rounds, or devices would choose by chance.
    """
    rows, columns = (torch.arange(size, device=device) / max(size - 1, 1) - 0.5 for size in grid)
    distance = (rows[:, None].square() + 2 * columns.square()).sqrt()
    return (distance + 0.02 * rows[:, None] + 0.05 * columns).flatten()


def gather_patches(tokens: Tensor, kept: Tensor, prefix: int) -> Tensor:
    """Prefix tokens and kept patches: [F, prefix + n, D], int64 [F, k] -> [F, prefix + k, D]."""
    index = kept[:, :, None].expand(-1, -1, tokens.shape[-1])
    return torch.cat([tokens[:, :prefix], tokens[:, prefix:].gather(1, index)], dim=1)
