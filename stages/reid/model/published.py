"""The released arithmetic, `guidance: published`: local branch, temporal attention, and a list of all quirks.

Of the local branch, in this file:
1. Rows are a plain view. The tokens of a clip [T, 1+n, D] are read as [1+n, T*D], so a row holds T
   neighbouring tokens, nearly always of one frame, and "the class row" is the first T tokens of frame 0:
   `stages.reid.model.published.PublishedLocalBranch.rows`. Register tokens have no place in it:
   `stages.reid.model.backbone.check_vit`.
2. TCSS shifts and shuffles these rows, by five and in two halves, at training and test alike, so their
   number must be even; attention read at the class row does not depend on their order:
   `stages.reid.model.published.released_order`, `stages.reid.model.published.check_patches`. It is what
   tcss means when left out, and has no other shift and no form along time:
   `stages.reid.model.config.ModelConfig`.
3. Part weights do not move along, weight p meets whatever row has come to place p:
   `stages.reid.model.published.PublishedLocalBranch.rows`.
4. A row is multiplied by its weight before the block's first norm, which divides most of it out:
   LN(w x) = s (x - mean) gamma + beta with s = w / sqrt(w^2 var + eps). Only whether a weight is
   negative, zero or positive matters much: `stages.reid.model.published.PublishedLocalBranch.read`.

Of the part maps:
5. They are Gaussians at the keypoints, each map scaled from its minimum and maximum:
   `stages.reid.model.published_maps.drawn_map`, `stages.reid.data.part_maps.gaussian_maps`.
6. The released script draws nothing. Nobody knows which maps the released weights saw, so empty ones can
   be had as well, `published_maps: empty`: `stages.reid.data.reader.DiskReader.read_maps`.
7. No heat is -1, not 0: `stages.reid.data.augment.published_range`, and for an exported network
   `stages.export.network.ClipEmbedding`. What is reported as visibility is in [0, 1] again:
   `stages.reid.scoring.embed_set.embed_tracklets`.
8. Padded and erased cells get 0, which is half heat: `stages.reid.data.augment.published_range`.

Of the weights:
9. A start file's position embedding is resampled bilinearly: `stages.reid.model.vit_weights.load_vit`.
10. The released file has the local block under two names, a ViT classifier and a last block that nothing
    reads, and axes of length 1: `stages.reid.model.published_weights`.

Of the global branch and the features:
11. Temporal scores pass a ReLU before the softmax, which soon gives 0 for every frame; their loss adds up
    the scores of erased frames: `stages.reid.model.published.TemporalAttention`,
    `stages.reid.training.objective.Objective.losses`.
12. Part features are divided by their number and not normalised: `stages.reid.model.keyreid.KeyReID.joined`.

The switch is also read where it only chooses among these: `stages.reid.model.keyreid.KeyReID`,
`stages.reid.data.loader.disk_reader`, `stages.reid.data.clip_batches.Clips`,
`stages.reid.probing.conditions.conditions`. Not repeated, under any guidance: flips that do not swap left
and right parts, and empty maps beside the repeated frames of a short last clip.
"""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from functools import partial

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn

from cache.errors import KeyReIDError
from stages.reid.model import class_row, tcss
from stages.reid.model.config import ModelConfig

SHIFT = 5


def check_patches(config: ModelConfig, grid: tuple[int, int]) -> None:
    """Raise KeyReIDError where a frame's patches, rows x columns of the grid, cannot be dealt as released."""
    patches = grid[0] * grid[1]
    dealt = config.guidance == "published" and config.tcss_mode == "sequence" and not config.global_only
    if dealt and (patches % 2 or patches < SHIFT):
        raise KeyReIDError(
            f"guidance published: {grid[0]}x{grid[1]} patches cannot be shifted by {SHIFT} and dealt in two "
            f"halves; expected an even number of at least {SHIFT}: change image_size or the backbone's "
            "patch_size, or set tcss off"
        )


def released_order(patches: int, shuffled: bool, device: torch.device) -> Tensor:
    """Where each row comes from, the class row first: int64 [1+n], for what check_patches lets pass."""
    rows = torch.arange(1 + patches, device=device)
    if not shuffled:
        return rows
    return torch.cat([rows[:1], tcss.interleaved(torch.cat([rows[SHIFT:], rows[1:SHIFT]]))])


class PublishedLocalBranch(nn.Module):
    """The released rows, T tokens wide, and the released way to weigh them."""

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

        tokens  [B, T, 1+n, D], class token first; weights [B, T, K, n], the maps of parts on patches;
        keys    nothing is drawn here.
        Returns features [B, K, T*D] and attention [B, K, 1+n] (mean over heads, class row first).
        """
        rows, guide = self.rows(tokens, weights)
        if len(self.blocks) == 1:
            features, attention = self.read(self.blocks[0], rows, guide)
        else:
            pairs = [self.read(block, rows, guide[:, k : k + 1]) for k, block in enumerate(self.blocks)]
            features, attention = (torch.cat(items, dim=1) for items in zip(*pairs, strict=True))
        return self.norm(features), attention.mean(dim=2).detach()

    def rows(self, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [B, 1+n, T*D] by quirks 1 and 2, weights [B, K, n] in their old places by quirk 3."""
        batch, frames, count, width = tokens.shape
        order = released_order(count - 1, self.config.tcss_mode == "sequence", tokens.device)
        rows = tokens.reshape(batch, count, frames * width)
        return rows[:, order], weights.mean(dim=1)

    def read(self, block: Block, rows: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
        """Quirk 4, for all parts at once.

        With y = (x - mean) / sqrt(var + eps) * gamma, which no part changes, LN(w x) is
        factor * y + beta, factor = w sqrt(var + eps) / sqrt(w^2 var + eps); the class row has w = 1.
        """
        norm = block.norm1
        normalised = F.layer_norm(rows, norm.normalized_shape, norm.weight, None, norm.eps)
        variance = rows.var(dim=-1, unbiased=False)[:, None, 1:]  # [B, 1, n]
        factor = heat * ((variance + norm.eps) / (heat.square() * variance + norm.eps)).sqrt()
        attended, attention = class_row.attend(
            block.attn,
            normalised[:, 0] + norm.bias,
            normalised,
            factor=F.pad(factor, (1, 0), value=1.0),
            offset=norm.bias,
        )
        return class_row.finish(block, rows[:, :1], attended), attention


class TemporalAttention(nn.Module):
    """Of the global branch: 1x1 convolution, ReLU, convolution over 3 frames, ReLU, softmax over the clip.

    Its last ReLU soon gives 0 for every frame.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.conv = nn.Linear(width, hidden)  # a 1x1 convolution
        self.tconv = nn.Conv1d(hidden, 1, kernel_size=3, padding=1)

    def forward(self, features: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, D] -> weighted sum [B, D], scores [B, T] (at least 0, before softmax), weights [B, T].

        visibility is not looked at.
        """
        hidden = self.conv(features).relu().transpose(1, 2)  # [B, hidden, T]
        scores = self.tconv(hidden).relu().squeeze(1)
        weights = scores.softmax(dim=-1)
        return (weights[:, :, None] * features).sum(dim=1), scores, weights
