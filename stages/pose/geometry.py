"""Where things are: pixels of a frame, pixels of the network's input, cells of the heat grid.

Pixel and cell coordinates are indices: (0, 0) is the centre of the first one. A frame of width W covers
-0.5 .. W - 0.5. A grid of w cells over it has cell c centred at (c + 0.5) W / w - 0.5. An affine is
float64 [2, 3]: (x, y) -> A @ (x, y, 1).
"""

import cv2
import numpy as np
import torch

Size = tuple[int, int]  # width, height
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def frame_to_input(frame: Size, target: Size, padding: float = 1.0) -> np.ndarray:
    """The affine that puts a whole frame into the input: centred, proportions kept, grown by `padding`.

    The frame's box is widened or heightened to the input's proportions, then grown by `padding`, then scaled
    to fill the input (mmpose's GetBBoxCenterScale and TopdownAffine for a box that is the whole frame).
    """
    scale = 1.0 / (padding * max(frame[0] / target[0], frame[1] / target[1]))
    shift = [(t - 1) / 2 - scale * (f - 1) / 2 for f, t in zip(frame, target, strict=True)]
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The affine that does `before`, then `after`."""
    return after @ np.vstack([before, [0.0, 0.0, 1.0]])


def invert(affine: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(affine)


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., 2] mapped by an affine."""
    return points @ affine[:, :2].T + affine[:, 2]


def grid_to_frame(frame: Size, grid: Size) -> np.ndarray:
    """Cell index of a grid that covers the whole frame -> pixel of the frame."""
    scale = np.array(frame) / np.array(grid)
    return np.array([[scale[0], 0.0, scale[0] / 2 - 0.5], [0.0, scale[1], scale[1] / 2 - 0.5]])


def input_to_heatmap(scale_factor: np.ndarray) -> np.ndarray:
    """Pixel of the input -> index in the network's heatmap; scale_factor as mmpose's codec states it."""
    return np.array([[1 / scale_factor[0], 0.0, 0.0], [0.0, 1 / scale_factor[1], 0.0]])


def warp_frame(image: np.ndarray, affine: np.ndarray, target: Size) -> np.ndarray:
    """uint8 [H,W,3] drawn into an input of size `target`; zero outside the frame."""
    if image.shape[1::-1] == target and (affine == IDENTITY).all():
        return image
    height, width = image.shape[:2]
    if affine[0, 0] == target[0] / width and affine[1, 1] == target[1] / height:
        return cv2.resize(image, target, interpolation=cv2.INTER_LINEAR)  # the same, faster
    return cv2.warpAffine(image, affine, target, flags=cv2.INTER_LINEAR)


def shift_right(heat: torch.Tensor, cells: float) -> torch.Tensor:
    """Heat [..., h, w] moved by any share of cells, by linear interpolation; the border's value follows."""
    width = heat.shape[-1]
    places = (torch.arange(width, device=heat.device) - cells).clamp(0, width - 1)
    left = places.floor().long()
    share = (places - left).to(heat.dtype)
    return heat[..., left] * (1 - share) + heat[..., (left + 1).clamp(max=width - 1)] * share


def sampling_grid(affines: np.ndarray, grid: Size, heatmap: Size) -> torch.Tensor:
    """Where each cell looks in the heatmap, for `torch.nn.functional.grid_sample` with align_corners.

    affines [N,2,3]: cell index -> heatmap index. Returns float32 [N, grid height, grid width, 2] in [-1, 1].
    Up to half a heatmap cell beyond the border takes the border's value; farther out there is no heat.
    """
    x, y = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]))
    cells = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float64)
    places = np.einsum("yxk,nik->nyxi", cells, affines)
    last = np.array(heatmap, np.float64) - 1
    inside = np.clip(places, 0, last)
    places = np.where(np.abs(places - inside) <= 0.5 + 1e-9, inside, 1e6)
    return torch.from_numpy((2 * places / last - 1).astype(np.float32))


def near_weights(grid: torch.Tensor, heatmap: Size) -> torch.Tensor | None:
    """Weights [4,h w] of a cell, the next, the one below and that one's next, where `grid` needs no others.

    So it is for frames that fill the input and heatmaps of the grid's size; None for others.
    """
    if grid.shape[2:0:-1] != heatmap or (grid != grid[:1]).any():
        return None
    x, y = ((grid[0, ..., i] + 1) * ((heatmap[i] - 1) / 2) for i in (0, 1))
    right, down = x - torch.arange(heatmap[0]), y - torch.arange(heatmap[1])[:, None]
    if not ((right >= 0) & (right < 1) & (down >= 0) & (down < 1)).all():
        return None
    left, up = 1 - right, 1 - down
    return torch.stack([left * up, right * up, left * down, right * down]).flatten(1)


def warp_heat(heat: torch.Tensor, grid: torch.Tensor, near: torch.Tensor | None = None) -> torch.Tensor:
    """Network heat [N,J,h,w] on the frame's grid, by bilinear sampling; [N,J,grid height,grid width].

    near: `near_weights`; on a CPU they make the same heat, to the bit, in a third of the time.
    """
    if near is not None:
        cells, width = heat.reshape(-1, near.shape[1]), heat.shape[-1]
        last = len(cells) - 1
        warped = cells * near[0]
        for ahead, weights in zip((1, width, width + 1), near[1:], strict=True):
            # What lies beyond a row or a joint has no weight, and beyond the last joint there is nothing.
            others = cells.as_strided((last, cells.shape[1]), cells.stride(), cells.storage_offset() + ahead)
            warped[:last].addcmul_(others, weights)
            warped[last, :-ahead].addcmul_(cells[last, ahead:], weights[:-ahead])
        return warped.view(heat.shape)
    return torch.nn.functional.grid_sample(
        heat, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
