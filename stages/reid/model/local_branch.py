"""Local branch: one wide row per patch position, read once for every body part."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from functools import partial

import torch
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn

from stages.reid.model import class_row, tcss
from stages.reid.model.config import ModelConfig

EPSILON = 1e-6  # heat of a patch that holds none of a part: log(1e-6) = -13.8


class LocalBranch(nn.Module):
    """Rows are the T tokens of a patch side by side; heat is a prior on the attention to them.

    The class row, the T class tokens side by side, attends with softmax(q.k / sqrt(d) + bias),
    bias log(M + 1e-6) for a row whose mean heat of the part is M, and 0 for the class row itself:
    a part without any heat falls back on the class row.
    """

    def __init__(self, config: ModelConfig, width: int, heads: int):
        super().__init__()
        self.config = config
        row_width = config.clip_length * width
        norm = partial(nn.LayerNorm, eps=1e-6)
        blocks = len(config.part_names) if config.part_specific else 1
        self.blocks = nn.ModuleList(
            Block(row_width, heads, qkv_bias=True, norm_layer=norm) for _ in range(blocks)
        )
        self.blocks.apply(init_weights_vit_timm)
        self.norm = nn.LayerNorm(row_width)

    def forward(self, tokens: Tensor, weights: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        """One feature per part.

        tokens  [B, T, 1+n, D], class token first; weights [B, T, K, n], the heat of parts on patches;
        keys    int64 [B] for what is drawn in training, or None.
        Returns features [B, K, T*D] and attention [B, K, 1+n] (mean over heads, class row first).
        """
        rows, guide = self.rows(tokens, weights, keys)
        if len(self.blocks) == 1:
            features, attention = self.read(self.blocks[0], rows, guide)
        else:
            pairs = [self.read(block, rows, guide[:, k : k + 1]) for k, block in enumerate(self.blocks)]
            features, attention = (torch.cat(items, dim=1) for items in zip(*pairs, strict=True))
        return self.norm(features), attention.mean(dim=2).detach()

    def rows(self, tokens: Tensor, weights: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        """Class row and patch rows [B, 1+n, T*D], and the mean heat of each patch row [B, K, n]."""
        class_tokens, patch_tokens = tokens[:, :, 0], tokens[:, :, 1:]
        rows, slots = tcss.arrange(patch_tokens, weights, self.order(patch_tokens, keys))
        return torch.cat([class_tokens.flatten(1)[:, None], rows], dim=1), slots.mean(dim=-1)

    def order(self, patch_tokens: Tensor, keys: Tensor | None) -> Tensor:
        """The order of the config's TCSS: form `time` draws in training only."""
        batch, frames, patches, _ = patch_tokens.shape
        mode, device = self.config.tcss_mode, patch_tokens.device
        if mode == "sequence":
            return tcss.sequence_order(frames, patches, self.config.tcss_shift, device)
        if mode == "time" and self.training:
            return tcss.time_order(frames, patches, batch, keys, device)
        return tcss.in_order(frames, patches, device)

    def read(self, block: Block, rows: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
        """Row 0 of the block for each part: [B, K, T*D] and the attention [B, K, H, 1+n]."""
        bias = torch.nn.functional.pad((heat + EPSILON).log(), (1, 0))  # class row: bias 0
        normalised = block.norm1(rows)
        attended, attention = class_row.attend(block.attn, normalised[:, 0], normalised, bias=bias)
        return class_row.finish(block, rows[:, :1], attended), attention
