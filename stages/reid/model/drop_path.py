"""Stochastic depth whose draws depend on the sample's key."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from collections.abc import Sequence

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from stages.reid.model.keyed_random import hashed_range, keyed_uniforms


class KeyedDropPath(nn.Module):
    """Drops the residual of whole frames with probability `rate`, and scales the others up.

    drawn: uniform numbers float32 [frames], set for the length of one forward pass; None draws from torch's
    generator.
    """

    def __init__(self, rate: float, salt: int):
        super().__init__()
        self.rate = rate
        self.salt = salt
        self.drawn: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        drawn = torch.rand(len(x), device=x.device) if self.drawn is None else self.drawn
        keep = (drawn >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * keep.view(-1, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}, salt={self.salt}"


def key_drop_paths(blocks: nn.Module) -> None:
    """Put a KeyedDropPath in the place of every timm DropPath, salted by its order."""
    places = [
        (parent, name, child)
        for parent in blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, DropPath)
    ]
    for salt, (parent, name, child) in enumerate(places):
        setattr(parent, name, KeyedDropPath(child.drop_prob, salt))


def drop_paths(module: nn.Module) -> tuple[KeyedDropPath, ...]:
    """Every KeyedDropPath below a module."""
    return tuple(child for child in module.modules() if isinstance(child, KeyedDropPath))


def draw_drops(paths: Sequence[KeyedDropPath], keys: Tensor | None) -> None:
    """Draw for all paths at once. keys: int64 [frames], of the current frames; None: discard the draws."""
    if keys is None or not paths:
        for path in paths:
            path.drawn = None
        return
    columns = keyed_uniforms(keys, 1 + max(path.salt for path in paths)).unbind(-1)
    for path in paths:
        path.drawn = columns[path.salt]


def frame_keys(keys: Tensor | None, frames: int) -> Tensor | None:
    """Keys of the frames of clips: int64 [B] -> [B * frames], frame by frame."""
    if keys is None:
        return None
    return hashed_range(keys, frames).flatten()
