"""The losses of stage two, on features and logits of one batch.

Weights and shares are applied in `stages.reid.training.objective`. Label smoothing: Szegedy et al., CVPR
2016, section 7. Batch-hard triplets with a soft margin: Hermans et al., arXiv 1703.07737, eq. 5. Center
loss: Wen et al., ECCV 2016, eq. 2, without the factor 1/2 and as a mean over the batch.

All are computed in float32, under autocast too: autocast would cast a product of float32 matrices back to
bf16, and a distance is a small difference of such products.
"""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor, nn
from torch.nn import functional


def _in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keeps autocast out of a loss whose first argument is a tensor."""

    @wraps(loss)
    def exact(values: Tensor, *rest, **options) -> Tensor:
        with torch.autocast(values.device.type, enabled=False):
            return loss(values.float(), *rest, **options)

    return exact


@_in_float32
def identity_loss(logits: Tensor, persons: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy with label smoothing. logits: [B, C]; persons: int64 [B] in 0..C-1. A scalar."""
    return functional.cross_entropy(logits, persons, label_smoothing=smoothing)


@_in_float32
def pairwise_distances(features: Tensor) -> Tensor:
    """Euclidean distances [B, B] of features [B, D], with a gradient that is finite where two are equal."""
    squares = features.square().sum(dim=1)
    squared = squares[:, None] + squares[None] - 2 * features @ features.T
    return squared.clamp(min=1e-12).sqrt()


@_in_float32
def triplet_loss(features: Tensor, persons: Tensor, margin: float | None = None) -> Tensor:
    """Batch-hard triplet loss: farthest of the same person against nearest of another.

    features: [B, D], before the neck. persons: int64 [B]. margin: null for the soft margin log(1 + exp(x)).
    A batch of a single person has no triplet: nothing is nearest, so the loss is 0, and so is its gradient.
    """
    distances = pairwise_distances(features)
    same = persons[:, None] == persons[None]
    farthest = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
    if margin is None:
        return functional.softplus(farthest - nearest).mean()
    return functional.relu(farthest - nearest + margin).mean()


@_in_float32
def attention_loss(frame_weights: Tensor, hidden: Tensor) -> Tensor:
    """Mean over clips of -log(share of the temporal attention on what is to be seen).

    frame_weights: [B, T], sums to 1. hidden: float [B, T], the share of a frame's heat that is erased; 1 for
    a frame of another person. Clips whose frames are all hidden alike have no gradient.
    """
    return -(1 - (frame_weights * hidden).sum(dim=1)).clamp(min=1e-4).log().mean()


@_in_float32
def released_attention_loss(frame_scores: Tensor, erased: Tensor) -> Tensor:
    """Mean over clips of the sum over frames of temporal score x "this frame was erased".

    frame_scores: [B, T], after the second ReLU, before the softmax. erased: float [B, T], 0 or 1.
    """
    return (frame_scores * erased).sum(dim=1).mean()


class CenterLoss(nn.Module):
    """Mean squared distance of features [B, D] to the centers of their persons.

    The centers learn with the gradient of the unweighted loss, the features with `weight` times it:
    what dividing the centers' gradient by the weight amounts to, and it works for weight 0.
    """

    def __init__(self, num_persons: int, dim: int):
        super().__init__()
        self.centers = nn.Parameter(torch.randn(num_persons, dim))

    def forward(self, features: Tensor, persons: Tensor) -> Tensor:
        """The loss, a scalar."""
        return _squared(features, self.centers[persons])

    def weighted(self, features: Tensor, persons: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """(the loss without gradient, the term to add to the total: its value is weight x loss)."""
        own = self.centers[persons]
        for_features = weight * _squared(features, own.detach())
        for_centers = _squared(features.detach(), own)
        # the bracket is exactly 0: it only carries the gradient
        return for_centers.detach(), for_features + (for_centers - for_centers.detach())


@_in_float32
def _squared(features: Tensor, centers: Tensor) -> Tensor:
    return (features - centers).square().sum(dim=1).clamp(1e-12, 1e12).mean()
