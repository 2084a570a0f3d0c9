"""The neck between a feature and its classifier: batch normalisation without a learned bias."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from cache.errors import KeyReIDError


class Neck(nn.BatchNorm1d):
    """BatchNorm whose bias stays as it is (0, unless weights with another are loaded).

    Its statistics are those of the features of all processes, so that a batch divided among
    processes trains like the same batch in one.
    """

    def __init__(self, width: int):
        super().__init__(width)
        self.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """[B, F] -> [B, F]. Training needs at least two clips in all: KeyReIDError."""
        features = features.float()
        if not self.training:
            return super().forward(features)
        everyone, start = features, 0
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            everyone = torch.cat(all_gather(features))
            start = dist.get_rank() * len(features)
        if len(everyone) < 2:
            raise KeyReIDError("batch of 1 clip: batch normalisation needs at least 2 clips to train")
        return super().forward(everyone)[start : start + len(features)]
