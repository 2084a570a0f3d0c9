"""The released temporal attention, of `guidance: published`. Its last ReLU soon gives 0 for every frame."""

from torch import Tensor, nn


class TemporalAttention(nn.Module):
    """1x1 convolution, ReLU, convolution over three frames, ReLU, softmax over the clip."""

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
