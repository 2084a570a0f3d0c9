"""Heat maps of parts, pooled on the patch grid."""

from torch import Tensor

from cache.errors import KeyReIDError


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
