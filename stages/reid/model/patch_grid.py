"""The grid of patches that a file's position embedding belongs to, and the way to another grid.

A file holds one vector per patch in reading order and not the grid itself: 128 of them are 16x8 for a network
for persons, 256 are 16x16 for ImageNet or 32x8 for tall frames. Numbers alone do not decide; neighbours in
the right grid are alike, which a learnt embedding shows.
"""

import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]  # rows, columns
TALLEST = 4  # rows per column; frames of persons are 2:1 or 3:1


def likely_grid(positions: Tensor, ours: Grid) -> Grid | None:
    """The grid of position vectors [N, D] without those of class and register tokens; None where none fits.

    Grids are as tall as they are wide, or taller. Of several, the one in which each row resembles the next
    most; where that does not decide, a square, or our own, or the least tall.
    """
    count = len(positions)
    grids = [
        (count // wide, wide)
        for wide in range(1, count + 1)
        if count % wide == 0 and wide <= count // wide <= TALLEST * wide
    ]
    if len(grids) < 2:
        return grids[0] if grids else None
    alike = sorted(((_likeness(positions, wide), (high, wide)) for high, wide in grids), reverse=True)
    noise = 4 / (count * min(positions.shape[1], 64)) ** 0.5  # four deviations of unrelated vectors' likeness
    if alike[0][0] - alike[1][0] > noise:
        return alike[0][1]
    return min(grids, key=lambda grid: (grid[0] != grid[1], grid != ours, grid[0] / grid[1]))


def _likeness(positions: Tensor, wide: int) -> float:
    """Mean cosine between each vector and the one a row of `wide` further, about their common mean."""
    centred = positions.float() - positions.float().mean(dim=0)
    return float(F.cosine_similarity(centred[:-wide], centred[wide:], dim=1).mean())


def resample(positions: Tensor, old: Grid, new: Grid, bilinear: bool = False) -> Tensor:
    """Position vectors [h*w, D] of one grid, at the places of another: [H*W, D].

    Bicubic with antialiasing, as timm does it; bilinear: plainly, as released.
    """
    if old == new:
        return positions
    how = {"mode": "bilinear"} if bilinear else {"mode": "bicubic", "antialias": True}
    grid = positions.float().unflatten(0, old).permute(2, 0, 1)[None]
    moved = F.interpolate(grid, size=new, align_corners=False, **how)[0]
    return moved.permute(1, 2, 0).flatten(0, 1).to(positions.dtype)


def as_text(grid: Grid) -> str:
    """Rows x columns."""
    return f"{grid[0]}x{grid[1]}"
