"""The plain formulation of both branches: whole blocks over all rows, once per part.

It shares its weights with the network under test and nothing else. `benchmarks/network.py`
measures against it too.
"""

import copy

import torch
from torch import Tensor, nn

from stages.reid.model import KeyReID


class PlainGlobalBranch(nn.Module):
    """The last block on all rows of every frame."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, tokens: Tensor, clip_length: int, **arguments) -> tuple[Tensor, Tensor, Tensor]:
        frames = self.branch.norm(self.branch.block(tokens, **arguments)[:, 0])
        return self.branch.pool(frames.unflatten(0, (-1, clip_length)))


class PlainLocalBranch(nn.Module):
    """One full pass of the wide block for every part."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, tokens: Tensor, weights: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        rows, heat = self.branch.rows(tokens, weights, keys)
        parts = heat.shape[1]
        features = []
        for k in range(parts):
            block = self.branch.blocks[k if len(self.branch.blocks) > 1 else 0]
            if self.branch.config.guidance == "published":
                out = block(torch.cat([rows[:, :1], rows[:, 1:] * heat[:, k, :, None]], dim=1))
            else:
                bias = torch.cat([torch.zeros_like(heat[:, k, :1]), (heat[:, k] + 1e-6).log()], dim=1)
                out = block(rows, attn_mask=bias[:, None, None])
            features.append(self.branch.norm(out[:, 0]))
        return torch.stack(features, dim=1), torch.zeros(len(rows), parts, rows.shape[1])


def plain(model: KeyReID) -> KeyReID:
    """The same network, weights shared, in the plain formulation."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    if model.global_branch is not None:
        twin.global_branch = PlainGlobalBranch(model.global_branch)
    if model.local_branch is not None:
        twin.local_branch = PlainLocalBranch(model.local_branch)
    return twin
