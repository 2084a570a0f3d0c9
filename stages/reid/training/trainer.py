"""One training step, and everything that a training state has to hold."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import random
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stages.reid.model import KeyReID
from stages.reid.model.drop_path import drop_paths
from stages.reid.model.keyreid import ClipOutput
from stages.reid.training.config import TrainConfig
from stages.reid.training.objective import Objective
from stages.reid.training.optim import (
    Schedule,
    build_center_optimizer,
    build_optimizer,
    load_moments,
    parameter_names,
)
from stages.reid.training.watch import NotFiniteError, Watch

MOST_SKIPPED = 20  # updates in a row that a scaler may skip; one that comes down from 2^16 needs a few


@dataclass
class StepResult:
    """What this process's network returned, and the step's numbers, means over all processes, if read."""

    details: dict[str, float]
    output: ClipOutput
    updated: bool  # whether the weights changed, or gradients are still accumulating


class Trainer:
    """Network, losses, optimisers, schedule and EMA under accelerate."""

    def __init__(
        self, model: KeyReID, config: TrainConfig, accelerator: Accelerator, batches_per_epoch: int
    ) -> None:
        self.config, self.accelerator, self.model = config, accelerator, model
        self.objective = Objective(model, config.loss)
        # copied before anything wraps the network, so that its names stay those of the network
        self.ema = None
        if config.ema.decay:
            model.to(accelerator.device)
            self.ema = ModelEmaV3(model, decay=config.ema.decay, use_warmup=config.ema.warmup)
        if config.activation_checkpointing:
            checkpoint_blocks(model)
        if config.compile:
            model.compile(backend=config.compile_backend)
        optimizer = build_optimizer(model, config.optim, scaled=config.precision == "fp16")
        self.names = parameter_names(model, optimizer)
        self.batches = batches_per_epoch
        steps = config.epochs * -(-batches_per_epoch // config.optim.accumulate)
        self.schedule = Schedule(optimizer, config.schedule, config.epochs, steps)
        self.wrapped, self.optimizer = accelerator.prepare(self.objective, optimizer)
        self.centers = self.objective.center_parameters()
        self.center_optimizer = build_center_optimizer(self.centers, config.optim)
        self.updates = 0  # optimiser steps so far
        self.skipped = 0  # updates that the scaler skipped since the last one
        self.watch = Watch(accelerator.num_processes)

    def step(self, batch: dict[str, Tensor], epoch: int, index: int, read: bool = True) -> StepResult:
        """Forward, backward and, after every `accumulate` batches and at an epoch's end, an update.

        batch: on the device. index: of the batch in its epoch. read: wait for the step's numbers; without,
        and without a scaler, nothing is read from the device. Raises NotFiniteError where `read` finds that
        loss or gradient of a step since the last reading were not finite; with a scaler, for gradients that
        stay so whatever the scale.
        """
        group = self.config.optim.accumulate
        start = index - index % group
        size = min(group, self.batches - start)
        updated = index == start + size - 1
        self.wrapped.train()
        self.schedule.set(epoch, self.updates)
        with nullcontext() if updated else self.accelerator.no_sync(self.wrapped):
            total, parts, output = self.wrapped(batch)
            self.accelerator.backward(total / size)
        scales, norm = self._update() if updated else ({}, total.new_zeros(()))
        finite = ["loss"] if scales else ["loss", "gradient_norm"]  # a scaler skips such a step, as it must
        self.watch.note({**parts, "gradient_norm": norm}, finite)
        if self.skipped >= MOST_SKIPPED or (self.skipped and self.accelerator.scaler.get_scale() < 1):
            raise NotFiniteError({**self.watch.read(), **scales, "updates_skipped": self.skipped})
        details = {**self.watch.read(), **scales} if read else {}
        if not updated:
            details.pop("gradient_norm", None)
        return StepResult(details, output, updated)

    def _update(self) -> tuple[dict[str, float], Tensor]:
        """Change weights, centers and EMA. Returns the scaler's scale, and the norm of the network's gradient
        before clipping."""
        accelerator, limit, scales = self.accelerator, self.config.optim.clip_norm, {}
        if accelerator.scaler is not None:
            scales["loss_scale"] = accelerator.scaler.get_scale()
            # the centers' optimiser stays outside accelerate, which would update the scaler once for each
            for parameter in self.centers:
                parameter.grad.div_(scales["loss_scale"])
        norm = accelerator.clip_grad_norm_(self.model.parameters(), limit or float("inf"))
        self.optimizer.step()
        if accelerator.optimizer_step_was_skipped:
            self.skipped += 1
        else:
            self.center_optimizer.step()
            self.updates, self.skipped = self.updates + 1, 0
            if self.ema is not None:
                self.ema.update(self.model, step=self.updates)
        self.optimizer.zero_grad()
        self.center_optimizer.zero_grad()
        return scales, norm

    def learning_rate(self) -> float:
        """The rate of weights that no factor changes."""
        groups = self.optimizer.param_groups
        return min(groups, key=lambda g: (abs(g["lr_scale"] - 1), g["lr"]))["lr"]

    def learning_rates(self) -> dict[str, float]:
        """The rate of every group, and of the centers."""
        rates = {group["name"]: group["lr"] for group in self.optimizer.param_groups}
        return {**rates, "centers": self.center_optimizer.param_groups[0]["lr"]}

    def state(self) -> dict[str, Any]:
        """Tensors and plain types only. Call in every process: each adds its random state.

        The centers' optimiser is not in it: plain SGD remembers nothing.
        """
        scaler = self.accelerator.scaler
        return {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "parameters": self.names,
            "scaler": None if scaler is None else scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "updates": self.updates,
            "skipped": self.skipped,
            "random": gather_object([random_state()]),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state()` of a run with the same network and optimiser.

        Their settings stay those of this run's config: a resume may change them.
        """
        self.objective.load_state_dict(state["objective"])
        load_moments(self.optimizer, self.names, state["optimizer"], state["parameters"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:  # an average that this resume adds starts at the weights
            self.ema.module.load_state_dict(state["ema"] or self.model.state_dict())
        self.updates, self.skipped = state["updates"], state["skipped"]
        if self.accelerator.process_index < len(state["random"]):
            set_random_state(state["random"][self.accelerator.process_index])


def random_state() -> dict[str, Any]:
    """The state of Python's, numpy's and torch's generators, as tensors and plain types."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  libraries draw from it
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Undo what was drawn since `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def checkpoint_blocks(model: nn.Module) -> None:
    """Recompute every transformer block's activations in the backward pass instead of keeping them.

    A block that is recomputed gets what was drawn for its forward pass again, so it drops the same frames.
    """
    from timm.models.vision_transformer import Block

    def run(block: nn.Module, forward: Any, drawn: list[Tensor | None], *args: Any, **named: Any) -> Tensor:
        for path, numbers in zip(drop_paths(block), drawn, strict=True):
            path.drawn = numbers
        return forward(*args, **named)

    def recomputed(block: nn.Module, forward: Any, *args: Any, **named: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*args, **named)
        drawn = [path.drawn for path in drop_paths(block)]
        return checkpoint(run, block, forward, drawn, *args, use_reentrant=False, **named)

    for block in model.modules():
        if isinstance(block, Block):
            block.forward = partial(recomputed, block, block.forward)
