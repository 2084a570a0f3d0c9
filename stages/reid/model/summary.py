"""What a network costs: parameters and operations per clip, by part of the network."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.reid.model.config import ModelConfig
from stages.reid.model.keyreid import KeyReID

SECTIONS = {
    "backbone": "trunk",
    "global_branch": "global branch",
    "local_branch": "local branch",
    "global_neck": "necks",
    "part_necks": "necks",
    "global_classifier": "classifiers",
    "part_classifiers": "classifiers",
}


@dataclass(frozen=True)
class Cost:
    """parameters: trainable or not. operations: of a forward pass of one clip, a multiply-add is two."""

    parameters: int
    operations: int


def model_costs(config: ModelConfig, num_persons: int, num_cameras: int) -> dict[str, Cost]:
    """Costs by part of the network, without making its weights or running it.

    Counts matrix products and convolutions, not element-wise work.
    """
    start = {"pretrained": False, "vit_path": None}
    with torch.device("meta"):
        model = KeyReID(config.model_copy(update=start), num_persons, num_cameras).eval()
        images = torch.empty(1, config.clip_length, 3, *config.image_size)
        maps = torch.empty(1, config.clip_length, model.num_parts, *model.grid)
    with FlopCounterMode(display=False, depth=3) as counter:
        model(images, maps)
    counted = {name: sum(operators.values()) for name, operators in counter.get_flop_counts().items()}
    costs = {title: Cost(0, 0) for title in dict.fromkeys(SECTIONS.values())}
    for name, module in model.named_children():
        title = SECTIONS[name]
        costs[title] = Cost(
            costs[title].parameters + sum(p.numel() for p in module.parameters()),
            costs[title].operations + _operations(counted, f"KeyReID.{name}"),
        )
    return costs


def _operations(counted: dict[str, int], name: str) -> int:
    """Operations of a module, or, where it was not called itself, of the modules in it that were."""
    called = [key for key in counted if key == name or key.startswith(name + ".")]
    return sum(counted[key] for key in called if not any(key.startswith(other + ".") for other in called))
