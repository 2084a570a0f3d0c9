"""Network and losses as one module: a batch in, one number to minimise out. This is what DDP wraps."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional

from stages.reid.model import KeyReID
from stages.reid.model.keyreid import ClipOutput
from stages.reid.training.config import LossConfig
from stages.reid.training.losses import (
    CenterLoss,
    attention_loss,
    identity_loss,
    released_attention_loss,
    triplet_loss,
)


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
