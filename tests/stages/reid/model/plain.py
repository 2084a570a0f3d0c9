"""The plain formulation of both branches: whole blocks over all rows, once per part.

It shares its weights with the network under test and nothing else.
"""

import copy

import torch
from torch import Tensor, nn

from stages.reid.model import KeyReID, tcss


class PlainGlobalBranch(nn.Module):
    """The last block on all rows of every frame."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, tokens: Tensor, visibility: Tensor, **arguments) -> tuple[Tensor, Tensor, Tensor]:
        frames = self.branch.norm(self.branch.block(tokens, **arguments)[:, 0])
        return self.branch.pool(frames.unflatten(0, visibility.shape[:2]), visibility)


class PlainLocalBranch(nn.Module):
    """Guidance prior: the query of a part put before all rows, and whole blocks over them, part by part."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(
        self,
        tokens: Tensor,
        heat: Tensor,
        keys: Tensor | None,
        grid_size: int,
        kept: Tensor | None,
        frame_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        batch, frames, patches, _ = tokens.shape
        form = self.branch.config.tcss_mode, self.branch.config.tcss_shift
        rows, heat = tcss.mix(tokens, heat, *form, keys, self.branch.training, grid_size, kept)
        of_frame = torch.zeros(batch, frames) if frame_bias is None else frame_bias
        of_row = of_frame.repeat_interleave(patches, dim=1)
        features = [self.part(k, rows, heat, of_row) for k in range(heat.shape[1])]
        return torch.stack(features, dim=1), torch.zeros(batch, heat.shape[1], frames, patches)

    def part(self, k: int, rows: Tensor, heat: Tensor, of_row: Tensor) -> Tensor:
        branch, own = self.branch, k if self.branch.config.part_specific else 0
        bias = (heat[:, k] + 1e-6).log() + of_row
        if branch.config.part_depth:  # rows that are not the part's own: seen by nobody
            mine = torch.zeros_like(bias, dtype=torch.bool).scatter(1, branch.most_heat(heat)[:, k], True)
            bias = bias.masked_fill(~mine, float("-inf"))
            for block in branch.blocks[own]:
                rows = block(rows, attn_mask=bias[:, None, None])
        reader = branch.readers[own]
        query = branch.query[k].expand(len(rows), 1, -1)
        hidden = torch.full_like(bias[:, :1], float("-inf"))  # the query itself is not a row to be read
        mask = torch.cat([hidden, bias], dim=1)[:, None, None]
        read = reader.attn(reader.norm1(torch.cat([query, rows], dim=1)), attn_mask=mask)[:, 0]
        return branch.project(branch.norm(read + reader.mlp(reader.norm2(read))))


class PlainPublishedBranch(nn.Module):
    """Guidance published: one full pass of the wide block for every part."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, tokens: Tensor, weights: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        rows, heat = self.branch.rows(tokens, weights)
        features = []
        for k in range(heat.shape[1]):
            block = self.branch.blocks[k if len(self.branch.blocks) > 1 else 0]
            out = block(torch.cat([rows[:, :1], rows[:, 1:] * heat[:, k, :, None]], dim=1))
            features.append(self.branch.norm(out[:, 0]))
        return torch.stack(features, dim=1), torch.zeros(len(rows), heat.shape[1], rows.shape[1])


def plain(model: KeyReID) -> KeyReID:
    """The same network, weights shared, in the plain formulation."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    if model.global_branch is not None:
        twin.global_branch = PlainGlobalBranch(model.global_branch)
    if model.local_branch is not None:
        kind = PlainPublishedBranch if model.config.guidance == "published" else PlainLocalBranch
        twin.local_branch = kind(model.local_branch)
    return twin
