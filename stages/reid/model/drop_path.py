"""Stochastic depth whose draws depend on the sample's key."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from timm.layers import DropPath
from torch import Tensor, nn

from stages.reid.model.keyed_random import hashed_range, uniform


class KeyedDropPath(nn.Module):
    """Drops the residual of whole frames with probability `rate`, and scales the others up.

    keys: int64 [frames], set for the length of one forward pass; None draws from torch's generator.
    """

    def __init__(self, rate: float, salt: int):
        super().__init__()
        self.rate = rate
        self.salt = salt
        self.keys: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        drawn = uniform(self.keys, self.salt, len(x), (), x.device)
        keep = (drawn >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * keep.view(-1, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}, salt={self.salt}"


def key_drop_paths(blocks: nn.Module) -> None:
    """Put a KeyedDropPath in the place of every timm DropPath, salted by its order."""
    found = [
        (parent, name, child)
        for parent in blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, DropPath)
    ]
    for salt, (parent, name, child) in enumerate(found):
        setattr(parent, name, KeyedDropPath(child.drop_prob, salt))


def set_keys(module: nn.Module, keys: Tensor | None) -> None:
    """Hand the keys of the current frames to every KeyedDropPath below `module`."""
    for child in module.modules():
        if isinstance(child, KeyedDropPath):
            child.keys = keys


def frame_keys(keys: Tensor | None, frames: int) -> Tensor | None:
    """Keys of the frames of clips: int64 [B] -> [B * frames], frame by frame."""
    if keys is None:
        return None
    return hashed_range(keys, frames).flatten()
