"""A network small enough for tests, and clips for it."""

from typing import Any

import torch
from torch import Tensor

from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.keyreid import ClipOutput

SIZES = {"patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2}
PERSONS, CAMERAS = 5, 3


def keeping(backbone: str) -> dict[str, float]:
    """Settings for a backbone of this name: families with a bias for every pair of patches keep them all."""
    return {"keep": 1.0} if "relpos" in backbone or backbone.startswith("beit") else {}


def tiny_config(**fields: Any) -> ModelConfig:
    """Frames of 32x16 in patches of 8: a grid of 4x2. Parts are read without blocks of their own."""
    small = {"backbone": "vit_tiny_patch16_224", "backbone_args": SIZES, "image_size": (32, 16)}
    plain = {} if fields.get("guidance") == "published" or fields.get("global_only") else {"part_depth": 0}
    return ModelConfig(**{**small, **plain, **fields})


def tiny_model(seed: int = 0, **fields: Any) -> KeyReID:
    """A tiny network whose weights are large enough for every path to matter."""
    torch.manual_seed(seed)
    model = KeyReID(tiny_config(**fields), PERSONS, CAMERAS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def tiny_clips(model: KeyReID, batch: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Images, part maps on the patch grid in [0, 1] ([-1, 1] for guidance published), cameras."""
    draw = torch.Generator().manual_seed(seed)
    frames = model.config.clip_length
    images = torch.randn(batch, frames, 3, *model.config.image_size, generator=draw)
    maps = torch.rand(batch, frames, model.num_parts, *model.grid, generator=draw)
    if model.config.guidance == "published":
        maps = maps * 2 - 1
    cameras = torch.arange(batch) % (CAMERAS + 1) - 1  # -1: unknown
    return images, maps, cameras


def trained(out: ClipOutput) -> list[Tensor]:
    """What losses are made of: features, logits and temporal scores; of a branch that is off, nothing."""
    names = ("global_feature", "part_features", "global_logits", "part_logits", "frame_scores")
    return [getattr(out, name) for name in names if getattr(out, name) is not None]


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return float((found - expected).detach().norm() / expected.detach().norm().clamp_min(1e-30))
