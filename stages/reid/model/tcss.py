"""Temporal clip shift and shuffle (TCSS): half of the channels of every token come from another one.

The patch tokens of a clip stand frame by frame. An order is int64 [.., tokens]: the token from which each one
takes. Whatever belongs to a token, such as its heat, travels with it.
"""

import torch
from torch import Tensor

from stages.reid.model.keyed_random import uniform

SALT = 1 << 20  # other than the salts of drop path, which count from 0


def interleaved(items: Tensor) -> Tensor:
    """Shuffle in two groups: first of each half, second of each half, and so on."""
    half = (len(items) + 1) // 2
    out = torch.empty_like(items)
    out[0::2], out[1::2] = items[:half], items[half:]
    return out


def sequence_order(tokens: int, shift: int, device: torch.device) -> Tensor:
    """The paper's reading: the whole sequence shifted cyclically, its halves interleaved. int64 [tokens]."""
    return interleaved(torch.arange(tokens, device=device).roll(-shift))


def clip_permutations(frames: int, device: torch.device) -> Tensor:
    """All cyclic shifts of the frames, each as it is and shuffled in two groups. [2T, T]."""
    shifted = [torch.arange(frames, device=device).roll(-shift) for shift in range(frames)]
    return torch.stack([*shifted, *map(interleaved, shifted)])


def time_frames(frames: int, patches: int, batch: int, keys: Tensor | None, device: torch.device) -> Tensor:
    """The frame each frame takes from, for every patch position of every clip: int64 [B, T, n].

    One of `clip_permutations` a position, drawn at random.
    """
    choices = clip_permutations(frames, device)
    drawn = uniform(keys, SALT, batch, (patches,), device)
    chosen = choices[(drawn * len(choices)).long().clamp_(max=len(choices) - 1)]  # [B, n, T]
    return chosen.transpose(1, 2)


def time_order(
    frames: int,
    patches: int,
    batch: int,
    keys: Tensor | None,
    device: torch.device,
    kept: Tensor | None,
) -> Tensor:
    """The same patch in another frame, for every token of a clip: int64 [B, T*k], tokens frame by frame.

    kept: int64 [B, T, k] of `patches` patches, ascending; None: all. A patch that the other frame has not
    kept stays where it is.
    """
    source = time_frames(frames, patches, batch, keys, device)  # [B, T, n]
    if kept is None:
        return (source * patches + torch.arange(patches, device=device)).flatten(1)
    count = kept.shape[-1]
    slots = torch.full((batch, frames, patches), -1, device=device)
    slots.scatter_(
        2, kept, torch.arange(count, device=device).expand_as(kept)
    )  # place of a patch in its frame
    source = source.gather(2, kept)  # [B, T, k]
    there = slots.flatten(1).gather(1, (source * patches + kept).flatten(1))
    here = torch.arange(frames * count, device=device).expand(batch, -1)
    return torch.where(there < 0, here, source.flatten(1) * count + there)


def mix(
    tokens: Tensor,
    heat: Tensor,
    mode: str,
    shift: int,
    keys: Tensor | None,
    training: bool,
    grid_size: int,
    kept: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Patch tokens of a clip as rows of width D; with TCSS, half of a row's channels are of another token.

    tokens [B, T, k, D], heat [B, T, K, k] of the kept patches, int64 [B, T, k] or None for all `grid_size`
    -> rows [B, T*k, D], frame by frame, and their heat [B, K, T*k], the mean of both tokens' where a row
    holds two. mode: `off`; `time`, in training alone: of the same patch in another frame, by `time_order`;
    `sequence`: of another token of the clip, by `sequence_order`.
    """
    batch, frames, patches, width = tokens.shape
    rows, heat = tokens.flatten(1, 2), heat.transpose(1, 2).flatten(2)
    if mode == "off" or (mode == "time" and not training) or frames == 1:
        return rows, heat
    if mode == "time":
        order = time_order(frames, grid_size, batch, keys, tokens.device, kept)
    else:
        order = sequence_order(frames * patches, shift, tokens.device).expand(batch, -1)
    half = width // 2
    other = rows[..., half:].gather(1, order[:, :, None].expand(-1, -1, width - half))
    moved = heat.gather(2, order[:, None].expand(-1, heat.shape[1], -1))
    return torch.cat([rows[..., :half], other], dim=-1), (heat + moved) / 2
