"""Global branch: the trunk's last block on every frame, then temporal attention over the clip."""

from typing import Any

from torch import Tensor, nn

from stages.reid.model.class_row import class_row


class GlobalBranch(nn.Module):
    """block, norm: the last block and the final norm of the pretrained ViT. pool: temporal attention."""

    def __init__(self, block: nn.Module, norm: nn.Module, pool: nn.Module):
        super().__init__()
        self.block = block
        self.norm = norm
        self.pool = pool

    def forward(self, tokens: Tensor, visibility: Tensor, **arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [B*T, R, D], class token first -> feature [B, D], scores [B, T], weights [B, T].

        visibility: [B, T, K], the highest heat of each part in each frame.
        arguments: what the block takes besides tokens, for backbones with relative positions.
        """
        frames = self.norm(class_row(self.block, tokens, **arguments))
        return self.pool(frames.unflatten(0, visibility.shape[:2]), visibility)
