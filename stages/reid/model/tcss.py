"""Temporal clip shift and shuffle (TCSS), as the order in which tokens fill the rows.

The patch tokens of a clip, numbered frame by frame (token t*n + p is patch p of frame t), fill n
rows of T tokens. An order is int64 [1 or B, n, T]: the token in each slot of each row. Whatever
belongs to a token, such as its part weights, is gathered by the same order and travels with it.
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


def arrange(tokens: Tensor, weights: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Fill rows in the given order, tokens and weights together.

    tokens [B, T, n, D], weights [B, T, K, n], order [1 or B, n, T]
    -> rows [B, n, T*D], weights of the slots [B, K, n, T].
    """
    batch, frames, patches, width = tokens.shape
    starts = torch.arange(batch, device=tokens.device)[:, None, None] * (frames * patches)
    rows = tokens.reshape(-1, width)[(order + starts).flatten()]
    slots = weights.transpose(1, 2).flatten(2)  # [B, K, T*n]
    index = order.expand(batch, -1, -1).flatten(1)[:, None].expand(-1, slots.shape[1], -1)
    return rows.view(batch, patches, frames * width), slots.gather(2, index).unflatten(2, (patches, frames))
