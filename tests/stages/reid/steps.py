"""A trainer of the tiny network in this process, and batches of noise for it."""

from typing import Any

import torch
from torch import Tensor

from stages.reid.model import KeyReID, ModelConfig
from stages.reid.training.config import TrainConfig
from stages.reid.training.processes import start_processes
from stages.reid.training.trainer import StepResult, Trainer
from tests.stages.reid.driver import MODEL, TRAIN, merged

PERSONS, CAMERAS, BATCHES = 3, 2, 10  # batches: of an epoch
SCALE = 2.0**10


def batch(number: int) -> dict[str, Tensor]:
    """Two clips each of two persons."""
    draw = torch.Generator().manual_seed(number)
    return {
        "images": torch.randn(4, 2, 3, 64, 32, generator=draw),
        "part_maps": torch.rand(4, 2, 6, 4, 2, generator=draw),
        "persons": torch.tensor([0, 0, 1, 1]),
        "cameras": torch.tensor([0, 1, 0, 1]),
        "keys": torch.arange(4) + 4 * number,
        "erased": torch.ones(4, 2),
    }


def trainer(
    fp16: bool = False, scale: float = SCALE, model: dict[str, Any] | None = None, **train: Any
) -> Trainer:
    """A trainer of the same first weights each time.

    fp16: with autocast and a scaler that begins at `scale`, here on the CPU.
    """
    config = TrainConfig(**merged(TRAIN, train))
    accelerator = start_processes(config)
    if fp16:  # what accelerate does on CUDA
        accelerator.state._mixed_precision, accelerator.native_amp = "fp16", True
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
        config = config.model_copy(update={"precision": "fp16"})
    torch.manual_seed(0)
    return Trainer(
        KeyReID(ModelConfig(**merged(MODEL, model or {})), PERSONS, CAMERAS), config, accelerator, BATCHES
    )


def steps(trained: Trainer, numbers: range) -> list[StepResult]:
    """Train on the batches of these numbers, all in epoch 0."""
    return [trained.step(batch(number), 0, number) for number in numbers]


def weights(trained: Trainer) -> dict[str, Tensor]:
    """Copies of everything that training changes: network, centers, and average."""
    found = {f"objective.{k}": v for k, v in trained.objective.state_dict().items()}
    if trained.ema is not None:
        found |= {f"ema.{k}": v for k, v in trained.ema.module.state_dict().items()}
    return {name: value.clone() for name, value in found.items()}
