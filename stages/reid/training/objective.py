"""Network and losses as one module: a batch in, one number to minimise out. This is what DDP wraps.

Label smoothing: Szegedy et al., CVPR 2016, section 7. Batch-hard triplets with a soft margin: Hermans et
al., arXiv 1703.07737, eq. 5. Center loss: Wen et al., ECCV 2016, eq. 2, without the factor 1/2 and as a mean
over the batch.

All losses are computed in float32, under autocast too: autocast would cast a product of float32 matrices
back to bf16, and a distance is a small difference of such products.
"""

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional

from stages.reid.model import KeyReID
from stages.reid.model.keyreid import ClipOutput
from stages.reid.training.config import LossConfig


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


class Objective(nn.Module):
    """Weighted sum of identity, triplet, center and attention loss; design: the published recipe.

    Each of the first three is global_share x global branch + (1 - global_share) x mean over parts. A
    network with one branch only gives it the whole share.
    """

    def __init__(self, model: KeyReID, config: LossConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        width, both = model.backbone.width, not (model.config.global_only or model.config.local_only)
        self.global_share = config.global_share if both else float(not model.config.local_only)
        self.global_centers = None if model.config.local_only else CenterLoss(model.num_persons, width)
        self.part_centers = (
            None if model.config.global_only else CenterLoss(model.num_persons, model.part_width)
        )

    def center_parameters(self) -> list[nn.Parameter]:
        """The centers, which have an optimiser of their own."""
        return [loss.centers for loss in (self.global_centers, self.part_centers) if loss is not None]

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor], ClipOutput]:
        """(total, details, output). details: scalars without gradient, of this process's clips."""
        out = self.model(batch["images"], batch["part_maps"], batch["cameras"], batch["keys"])
        return *self.losses(out, batch["persons"], batch["erased"]), out

    def losses(self, out: ClipOutput, persons: Tensor, erased: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and details for the outputs of a network. persons: int64 [B]; erased: float [B, T]."""
        config = self.config
        everyone = gathered(persons)
        details = {}
        value = self._shared(out, lambda b: identity_loss(b.logits, persons, config.smoothing))
        details["identity_loss"], total = value.detach(), config.identity * value
        if config.triplet_on == "joined":
            value = triplet_loss(gathered(self.joined(out)), everyone, config.margin)
        else:
            value = self._shared(
                out, lambda b: triplet_loss(gathered(self.compared(b)), everyone, config.margin)
            )
        details["triplet_loss"], total = value.detach(), total + config.triplet * value
        value = term = 0.0
        for branch, share, count in self._branches(out):
            raw, weighted = branch.centers.weighted(branch.feature, persons, config.center)
            value, term = value + share / count * raw, term + share / count * weighted
        details["center_loss"] = value
        total = total + term
        if out.frame_scores is not None:
            if self.model.config.guidance == "published":
                value = released_attention_loss(out.frame_scores, erased)
            else:
                value = attention_loss(out.frame_weights, erased)
            details["attention_loss"] = value.detach()
            total = total + config.attention * value
        details["accuracy"] = accuracy(out, persons)
        return total, {"loss": total.detach(), **details}

    def _branches(self, out: ClipOutput) -> list[tuple["_Branch", float, int]]:
        """(branch, its group's share, size of the group) of the global branch and of each part."""
        branches = []
        if out.global_feature is not None:
            branches.append(
                (
                    _Branch(out.global_feature, out.global_embedding, out.global_logits, self.global_centers),
                    self.global_share,
                    1,
                )
            )
        if out.part_features is not None:
            count = out.part_features.shape[1]
            entries = (out.part_features, out.part_embeddings, out.part_logits)
            columns = zip(*(entry.unbind(1) for entry in entries), strict=True)
            branches += [
                (_Branch(*values, self.part_centers), 1 - self.global_share, count) for values in columns
            ]
        return branches

    def compared(self, branch: "_Branch") -> Tensor:
        """What the triplet loss compares of a branch."""
        if self.config.triplet_on == "feature":
            return branch.feature
        return self.config.triplet_scale * functional.normalize(branch.embedding.float(), dim=1)

    def joined(self, out: ClipOutput) -> Tensor:
        """What the test compares: the branches' embeddings after the necks, of length 1 each, joined."""
        return torch.cat([self.compared(branch) for branch, _, _ in self._branches(out)], dim=1)

    def _shared(self, out: ClipOutput, loss) -> Tensor:
        return sum(share / count * loss(branch) for branch, share, count in self._branches(out))


class _Branch(NamedTuple):
    feature: Tensor  # before the neck
    embedding: Tensor  # after it
    logits: Tensor
    centers: CenterLoss | None


def gathered(values: Tensor) -> Tensor:
    """The values of all processes along the first axis, with gradient; in a single process, the values."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    if values.requires_grad:
        return torch.cat(all_gather(values))
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


@torch.no_grad()
def accuracy(out: ClipOutput, persons: Tensor) -> Tensor:
    """Share of clips whose person has the largest logit (global branch, or the parts' mean). A scalar."""
    logits = out.part_logits.mean(dim=1) if out.global_logits is None else out.global_logits
    return (logits.argmax(dim=1) == persons).float().mean()
