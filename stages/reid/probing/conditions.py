"""The conditions of a probe, and the network under several of them at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.reid.probing import interventions
from stages.reid.probing.config import ProbeConfig

Batches = Iterable[dict[str, Any]]


@dataclass(frozen=True)
class Condition:
    """One replaced input or mechanism.

    family: heat, shift, noise, attention or patches. size: cells, for curves. change: of the heat.
    other_clips: heat of other clips. within: of the network, while it sees the clips of these numbers.
    """

    name: str
    family: str
    size: float | None = None
    change: interventions.Change | None = None
    other_clips: bool = False
    within: Callable[[nn.Module, np.ndarray], AbstractContextManager] | None = None


def conditions(config: ProbeConfig, model: nn.Module) -> list[Condition]:
    """Everything that can be replaced in this network."""
    settings, seed = model.config, config.seed
    every = []
    if model.uses_heat:
        empty = -1.0 if settings.guidance == "published" else 0.0
        every = [
            Condition("all ones", "heat", change=interventions.all_ones),
            Condition("no heat", "heat", change=interventions.no_heat(empty)),
            Condition("another part's", "heat", change=interventions.another_part),
            Condition("left and right swapped", "heat", change=interventions.left_right(settings.parts)),
            Condition("another clip's", "heat", other_clips=True),
        ]
        for cells in config.shifts:
            moved = interventions.shifted(cells, empty, seed)
            every.append(Condition(f"moved by {cells}", "shift", cells, moved))
        for deviation in config.noise:
            moved = interventions.noisy(deviation, empty, seed)
            every.append(Condition(f"noise of {deviation:g}", "noise", deviation, moved))
    if model.global_branch is not None:
        every.append(Condition("uniform attention", "attention", within=interventions.uniform_attention))
    if settings.kept_share < 1:
        drawn = partial(interventions.random_patches, seed=seed)
        every.append(Condition("random patches", "patches", within=drawn))
    return every


class Several(nn.Module):
    """A network under several conditions, as one whose blocks and part maps stand side by side.

    So frames are read once for all of them. It has to see the clips of a data set in order.
    """

    def __init__(self, model: nn.Module, planned: Sequence[Condition]):
        super().__init__()
        self.model, self.planned, self.config = model, planned, model.config
        self.unit_blocks, self.block_widths = model.unit_blocks, model.block_widths * len(planned)
        self.seen = 0

    def embed(self, images: Tensor, part_maps: Tensor, cameras: Tensor | None) -> Tensor:
        """part_maps [B, T, C*K, h, w], those of C conditions -> [B, C*F]."""
        clips = np.arange(self.seen, self.seen + len(images))
        self.seen += len(images)
        features = []
        for condition, maps in zip(self.planned, part_maps.chunk(len(self.planned), dim=2), strict=True):
            with condition.within(self.model, clips) if condition.within else nullcontext():
                features.append(self.model.embed(images, maps, cameras))
        return torch.cat(features, dim=1)

    def maps_of(self, batches: Batches, others: Batches | None) -> Iterator[dict[str, Any]]:
        """The batches with the part maps of all conditions. others: the same with heat of other clips."""
        first, stream = 0, iter(others or ())
        for batch in batches:
            maps = batch["part_maps"]
            clips = np.arange(first, first := first + len(maps))
            strange = next(stream)["part_maps"] if others is not None else maps
            changed = [
                strange if c.other_clips else maps if c.change is None else c.change(maps, clips)
                for c in self.planned
            ]
            yield {**batch, "part_maps": torch.cat(changed, dim=2)}
