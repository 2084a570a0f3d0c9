"""Temporal clip shift and shuffle (TCSS), as the order in which tokens fill the rows.

The patch tokens of a clip are numbered frame by frame: token t*n + p is patch p of frame t. An order is
int64 [1 or B, n, T]: the token in each slot (p, t). Whatever belongs to a token, such as its heat, travels
with it.
"""

import torch
from torch import Tensor

from stages.reid.model.keyed_random import uniform

SALT = 1 << 20  # apart from the salts of drop path, which count from 0


def interleaved(items: Tensor) -> Tensor:
    """Shuffle in two groups: first of each half, second of each half, and so on."""
    half = (len(items) + 1) // 2
    out = torch.empty_like(items)
    out[0::2], out[1::2] = items[:half], items[half:]
    return out


def in_order(frames: int, patches: int, device: torch.device) -> Tensor:
    """No TCSS: row p holds patch p of all frames, in time order. [1, n, T]."""
    return torch.arange(frames * patches, device=device).view(1, frames, patches).transpose(1, 2)


def sequence_order(frames: int, patches: int, shift: int, device: torch.device) -> Tensor:
    """The paper's reading: the whole sequence shifted cyclically, its halves interleaved. [1, n, T]."""
    sequence = interleaved(torch.arange(frames * patches, device=device).roll(-shift))
    return sequence.view(1, frames, patches).transpose(1, 2)


def clip_permutations(frames: int, device: torch.device) -> Tensor:
    """All cyclic shifts of the frames, each as it is and shuffled in two groups. [2T, T]."""
    shifted = [torch.arange(frames, device=device).roll(-shift) for shift in range(frames)]
    return torch.stack([*shifted, *map(interleaved, shifted)])


def time_order(frames: int, patches: int, batch: int, keys: Tensor | None, device: torch.device) -> Tensor:
    """One of `clip_permutations` for every patch position of every clip, drawn at random. [B, n, T]."""
    choices = clip_permutations(frames, device)
    drawn = uniform(keys, SALT, batch, (patches,), device)
    frame = choices[(drawn * len(choices)).long().clamp_(max=len(choices) - 1)]  # [B, n, T]
    return frame * patches + torch.arange(patches, device=device)[:, None]


def mix(
    tokens: Tensor, heat: Tensor, mode: str, shift: int, keys: Tensor | None, training: bool
) -> tuple[Tensor, Tensor]:
    """Patch tokens of a clip as rows of width D; with TCSS, half of a row's channels are of another token.

    tokens [B, T, n, D], heat [B, T, K, n] -> rows [B, T*n, D], frame by frame, and their heat [B, K, T*n],
    the mean of both tokens' where a row holds two. mode: `off`; `time`, in training alone: a token of the
    same patch in another frame, by `time_order`; `sequence`: another token of the clip, by `sequence_order`.
    """
    batch, frames, patches, width = tokens.shape
    rows, heat = tokens.flatten(1, 2), heat.transpose(1, 2).flatten(2)
    if mode == "off" or (mode == "time" and not training) or frames == 1:
        return rows, heat
    if mode == "time":
        order = time_order(frames, patches, batch, keys, tokens.device)
    else:
        order = sequence_order(frames, patches, shift, tokens.device)
    order = order.transpose(1, 2).flatten(1).expand(batch, -1)  # [B, T*n]: the token that fills each slot
    half = width // 2
    other = rows[..., half:].gather(1, order[:, :, None].expand(-1, -1, width - half))
    moved = heat.gather(2, order[:, None].expand(-1, heat.shape[1], -1))
    return torch.cat([rows[..., :half], other], dim=-1), (heat + moved) / 2
