"""The released arithmetic of the local branch, its quirks included. `guidance: published`.

What the released code does, and this file repeats:
1. Rows are a plain view. The tokens of a clip [T, 1+n, D] are read as [1+n, T*D], so a row holds T
   neighbouring tokens, nearly always of one frame, and "the class row" is the first T tokens of frame 0.
2. TCSS shifts and shuffles these rows, by five and in two halves, at training and test alike.
   Attention read at the class row does not depend on their order.
3. Part weights do not move along: weight p meets whatever row has come to place p.
4. A row is multiplied by its weight before the block's first norm, which divides most of it out:
   LN(w x) = s (x - mean) gamma + beta with s = w / sqrt(w^2 var + eps). Only whether a weight is
   negative, zero or positive matters much. No heat is -1 in the released maps, not 0.
5. In evaluation, part features are divided by the number of parts (as in `guidance: prior`).
The other departures are in `published_maps.py` (how maps are drawn, and that they came out empty)
and in `vit_weights.py` (the position embedding is resampled bilinearly).
"""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor

from cache.errors import KeyReIDError
from stages.reid.model import class_row, tcss
from stages.reid.model.config import ModelConfig
from stages.reid.model.local_branch import LocalBranch

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


class PublishedLocalBranch(LocalBranch):
    """The local branch with the released rows and the released way to weigh them."""

    def rows(self, tokens: Tensor, weights: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
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
