"""Global branch: the trunk's last block on every frame, then temporal attention over the clip."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.reid.model.class_row import class_row

SCALE = 30.0  # of the evidence, which differs by tenths: a score lower by 0.7 is half of the weight


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


class FrameAttention(nn.Module):
    """Weights of frames from what they show, how visible the person is, and whether they agree.

    score_t = MLP(LN(f_t)) + w . 30 [visibility of the parts in frame t, agreement of frame t]
    agreement = cosine of f_t and the mean of the clip's other frames, low for a frame of someone else
    weights = softmax over frames. Starts uniform.
    """

    def __init__(self, width: int, hidden: int, parts: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.look = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.evidence = nn.Linear(parts + 1, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.evidence.weight)

    def forward(self, features: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted sum [B, D], scores [B, T] before the softmax, weights [B, T].

        features: [B, T, D]. visibility: [B, T, K] in [0, 1], the highest heat of each part in the frame.
        """
        evidence = SCALE * torch.cat([visibility, agreement(features)[..., None]], dim=-1)
        look = self.score(F.gelu(self.look(self.norm(features))))
        scores = look + self.evidence(evidence.to(features.dtype))
        scores = scores.squeeze(-1).float()
        weights = scores.softmax(dim=-1)
        return (weights[:, :, None] * features).sum(dim=1), scores, weights


def agreement(features: Tensor) -> Tensor:
    """Cosine of each frame and the mean of the others: [B, T, D] -> [B, T] in [-1, 1]; a single frame: 1."""
    if features.shape[1] == 1:
        return torch.ones_like(features[..., 0])
    unit = F.normalize(features.float(), dim=-1)
    others = unit.sum(dim=1, keepdim=True) - unit
    return F.cosine_similarity(unit, others, dim=-1)
