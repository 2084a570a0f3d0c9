"""Global branch: the trunk's last block on every frame, then temporal attention over the clip."""

from typing import Any

from torch import Tensor, nn

from stages.reid.model.attention_pool import TemporalAttention
from stages.reid.model.class_row import class_row


class GlobalBranch(nn.Module):
    """block, norm: the last block and the final norm of the pretrained ViT."""

    def __init__(self, block: nn.Module, norm: nn.Module, width: int, attention_width: int):
        super().__init__()
        self.block = block
        self.norm = norm
        self.pool = TemporalAttention(width, attention_width)

    def forward(self, tokens: Tensor, clip_length: int, **arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [B*T, R, D], class token first -> feature [B, D], scores [B, T], weights [B, T].

        arguments: what the block takes besides tokens, for backbones with relative positions.
        """
        frames = self.norm(class_row(self.block, tokens, **arguments))
        return self.pool(frames.unflatten(0, (-1, clip_length)))
