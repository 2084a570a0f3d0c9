"""Local branch: every body part reads the patches that its heat points at, in all frames of the clip."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from collections.abc import Sequence
from functools import partial

import torch
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn

from stages.reid.model import class_row, tcss
from stages.reid.model.config import ModelConfig

EPSILON = 1e-6  # heat of a patch that holds none of a part: log(1e-6) = -13.8

TIE = 1e-4  # share of its heat that the last row of a clip loses where only order decides


class LocalBranch(nn.Module):
    """Rows are the patch tokens of all frames, width D; a part reads them with a query of its own.

    weight of a row for part k = softmax(q_k . key / sqrt(d) + log(M_k + 1e-6)), M_k its heat of the part, so
    frames in which the part is hidden drop out by themselves. Before that, `part_depth` blocks let the tokens
    of a part with the most heat see each other and nothing else. No row holds the whole person, and none is
    added to what was read.
    """

    def __init__(self, config: ModelConfig, width: int, heads: int):
        super().__init__()
        self.config = config
        self.parts = len(config.part_names)
        sets = self.parts if config.part_specific else 1
        norm = partial(nn.LayerNorm, eps=1e-6)

        def blocks(depth: int) -> nn.ModuleList:
            made = [Block(width, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)]
            return nn.ModuleList(made)

        self.query = nn.Parameter(torch.empty(self.parts, width))
        self.blocks = nn.ModuleList(blocks(config.part_depth) for _ in range(sets))
        self.readers = blocks(sets)
        self.apply(init_weights_vit_timm)
        nn.init.trunc_normal_(self.query, std=0.02)
        self.norm = nn.LayerNorm(width)
        out = config.part_width or width
        self.project = nn.Identity() if out == width else nn.Linear(width, out, bias=False)

    def start_from(self, trunk: Sequence[nn.Module]) -> None:
        """Start the blocks of every part from the trunk's that follow the one parts are read at."""
        for blocks in self.blocks:
            for block, source in zip(blocks, trunk, strict=False):
                if block.state_dict().keys() == source.state_dict().keys():  # a plain block
                    block.load_state_dict(source.state_dict())

    def forward(
        self,
        tokens: Tensor,
        heat: Tensor,
        keys: Tensor | None,
        grid_size: int,
        kept: Tensor | None,
        frame_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One feature per part.

        tokens [B, T, k, D], patches; heat [B, T, K, k], of the parts on these patches; keys int64 [B] for
        what is drawn in training, or None; kept int64 [B, T, k], which patches of the grid, or None for all;
        frame_bias [B, T], added to the logits of a frame's tokens, or None.
        Returns features [B, K, part_width] and attention [B, K, T, k] (mean over heads, sums to 1).
        """
        frames, patches = tokens.shape[1:3]
        mode, shift = self.config.tcss_mode, self.config.tcss_shift
        rows, heat = tcss.mix(tokens, heat, mode, shift, keys, self.training, grid_size, kept)
        bias = (heat + EPSILON).log()  # [B, K, R]
        if frame_bias is not None:
            bias = bias + frame_bias.repeat_interleave(patches, dim=1)[:, None]
        if not self.config.part_depth:
            read, attention = self.read(rows, bias)
        else:
            chosen = self.most_heat(heat)  # [B, K, M]
            read, weights = self.read_own(self.own_rows(rows, chosen), bias.gather(2, chosen))
            attention = torch.zeros_like(bias).scatter(2, chosen, weights.to(bias.dtype))
        features = self.project(self.norm(read))
        return features, attention.unflatten(2, (frames, patches)).detach()

    def most_heat(self, heat: Tensor) -> Tensor:
        """The rows of each part with the most heat, `own_share` of all: int64 [B, K, M], ascending.

        Of rows that are alike, as all of a hidden part, the earlier: devices and ONNX choose alike.
        """
        count = max(1, round(self.config.own_share * heat.shape[2]))
        place = torch.arange(heat.shape[2], device=heat.device) / heat.shape[2]
        heat = heat * (1 - TIE * place) - TIE**2 * place
        return heat.topk(count, dim=2, sorted=False).indices.sort(dim=2).values

    def own_rows(self, rows: Tensor, chosen: Tensor) -> Tensor:
        """[B, R, D] and int64 [B, K, M] -> [B, K, M, D]."""
        index = chosen.flatten(1)[:, :, None].expand(-1, -1, rows.shape[-1])
        return rows.gather(1, index).unflatten(1, chosen.shape[1:])

    def read(self, rows: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """All parts read the same rows [B, R, D]: [B, K, D] and attention [B, K, R]."""
        if len(self.readers) == 1:
            return read_rows(self.readers[0], self.query[None], rows, bias)
        pairs = [
            read_rows(block, self.query[None, k : k + 1], rows, bias[:, k : k + 1])
            for k, block in enumerate(self.readers)
        ]
        read, attention = (torch.cat(items, dim=1) for items in zip(*pairs, strict=True))
        return read, attention

    def read_own(self, rows: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Every part reads rows of its own, [B, K, M, D], after they saw each other: as `read`."""
        if len(self.blocks) == 1:
            # shape, as export cannot follow len() of any number of clips
            query = self.query.repeat(rows.shape[0], 1)[:, None]  # [B*K, 1, D]
            pair = self._stack(0, query, rows.flatten(0, 1), bias.flatten(0, 1))
            read, attention = (item.unflatten(0, (-1, self.parts))[:, :, 0] for item in pair)
            return read, attention
        pairs = [
            self._stack(k, self.query[None, k : k + 1], rows[:, k], bias[:, k]) for k in range(self.parts)
        ]
        read, attention = (torch.cat(items, dim=1) for items in zip(*pairs, strict=True))
        return read, attention

    def _stack(self, part: int, query: Tensor, rows: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks[part]:
            rows = block(rows, attn_mask=bias[:, None, None].to(rows.dtype))
        return read_rows(self.readers[part], query, rows, bias[:, None])


def read_rows(block: Block, query: Tensor, rows: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One row per query: [B or 1, K, D] queries, rows [B, R, D], bias [B, K, R] -> [B, K, D], [B, K, R].

    A block whose residual around the attention is left out: what is read is all there is.
    """
    read, attention = class_row.attend(block.attn, block.norm1(query), block.norm1(rows), bias=bias)
    return read + block.mlp(block.norm2(read)), attention.mean(dim=2)
