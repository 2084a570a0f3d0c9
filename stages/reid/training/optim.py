"""Optimisers and the learning-rate schedule."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import re
from typing import Any

import torch
from timm.scheduler import CosineLRScheduler
from torch import nn

from stages.reid.model import KeyReID
from stages.reid.training.config import OptimConfig, ScheduleConfig


def layer_scale(name: str, depth: int, decay: float) -> float:
    """Learning-rate factor of a parameter: decay per backbone block below the heads (Bao et al., 2021).

    depth: blocks of the whole ViT. Embeddings are layer 0, block i is layer i + 1; the branches get 1.
    """
    block = re.match(r"backbone\.vit\.blocks\.(\d+)\.", name)
    if block:
        layer = int(block.group(1)) + 1
    elif name.startswith("backbone."):
        layer = 0
    elif name.startswith(("global_branch.block.", "global_branch.norm.")):
        layer = depth
    else:
        layer = depth + 1
    return decay ** (depth + 1 - layer)


def parameter_groups(model: KeyReID, config: OptimConfig) -> list[dict]:
    """Parameters with equal rates and decay in one group. `lr_scale` multiplies what the schedule gives."""
    depth = len(model.backbone.vit.blocks) + 1
    groups: dict[tuple, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = layer_scale(name, depth, config.layer_decay or 1.0)
        if "neck" in name or "classifier" in name:
            scale *= config.head_lr_factor
        lr = config.lr * (config.bias_lr_factor if name.endswith("bias") else 1.0)
        decay = config.weight_decay if parameter.ndim > 1 or config.decay_vectors else 0.0
        label = f"lr {lr:.3g} x {scale:.3g}, decay {decay:g}"
        values = {"name": label, "params": [], "lr": lr, "lr_scale": scale, "weight_decay": decay}
        groups.setdefault((lr, scale, decay), values)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(model: KeyReID, config: OptimConfig, scaled: bool = False) -> torch.optim.Optimizer:
    """SGD or AdamW over the network's parameters, in torch's fused form.

    scaled: gradients go through a scaler (fp16). Not fused then: a fused step hides from accelerate that
    it was skipped, and centers and EMA have to know.
    """
    groups = parameter_groups(model, config)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=not scaled)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=not scaled)


def build_center_optimizer(centers: list[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """Plain SGD over the centers."""
    return torch.optim.SGD(centers, lr=config.center_lr)


def parameter_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the optimiser's parameters, in the order in which its `state_dict` counts them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def load_moments(
    optimizer: torch.optim.Optimizer, names: list[str], saved: dict[str, Any], saved_names: list[str]
) -> None:
    """What a saved optimiser has learnt about each parameter; rates, decay and groups stay as they are here.

    names, saved_names: `parameter_names` of this optimiser and of the saved one, whose `state_dict` is saved.
    """
    by_name = {name: saved["state"][i] for i, name in enumerate(saved_names) if i in saved["state"]}
    state = {i: by_name[name] for i, name in enumerate(names) if name in by_name}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class Schedule:
    """Sets learning rates from the place in training alone, so it has no state to save."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: ScheduleConfig, epochs: int, total_steps: int
    ) -> None:
        """total_steps: optimiser steps in all epochs."""
        self.config = config
        unit = 1 if config.every == "epoch" else total_steps / epochs
        self.cosine = CosineLRScheduler(
            optimizer,
            t_initial=max(1, round(epochs * unit)),
            lr_min=config.min_lr,
            warmup_t=round(config.warmup_epochs * unit),
            warmup_lr_init=config.warmup_lr,
            t_in_epochs=config.every == "epoch",
        )

    def set(self, epoch: int, step: int) -> None:
        """Rates for epoch (from 0) and optimiser step (from 0, over all epochs)."""
        if self.config.every == "epoch":
            self.cosine.step(epoch + self.config.first_epoch)
        else:
            self.cosine.step_update(step + self.config.first_epoch)
