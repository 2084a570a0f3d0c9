"""KeyRe-ID as ONNX: frames and part maps of clips in, embeddings out. No classifier is in the file."""

import contextlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cache.errors import KeyReIDError
from cache.files import sha256_of
from stages.export.onnx_file import write_onnx
from stages.export.precision import Precision
from stages.parts import JOINTS, grouping
from stages.reid.data import augment
from stages.reid.data.loader import map_grid
from stages.reid.data.reader import MAP_SIZE
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.vit_families import before_blocks, first_tokens


class ClipEmbedding(nn.Module):
    """What the file holds: B clips of T frames, H x W pixels as in the config, with K parts.

    frames    uint8 [B, T, H, W, 3], RGB.
    part_maps float32 [B, T, K, 64, 32], heat in [0, 1] over the whole frame.
    cameras   int64 [B], -1 unknown; left out where the file is to take none: all unknown.
    Returns float32 [B, F], the global feature and then the part features, as `KeyReID.embed` does.
    """

    def __init__(self, model: KeyReID):
        super().__init__()
        self.model = model
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.pixel_mean, model.pixel_std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("black", -mean / std, persistent=False)
        rows, columns = resampling(model.config)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("shown", rows.sum(1)[:, None] * columns.sum(1), persistent=False)

    def forward(self, frames: Tensor, part_maps: Tensor | None, cameras: Tensor | None = None) -> Tensor:
        model = self.model
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).float() * self.scale + self.black
        tokens, arguments = self.tokens(pixels, cameras)
        if model.uses_heat:
            maps = self.rows @ part_maps @ self.columns.T
            if model.config.guidance == "published":
                maps = 2 * maps - self.shown
        else:
            maps = None
        heat = model.heat(maps, pixels.unflatten(0, (-1, model.config.clip_length)))
        return model.joined(model.branches(tokens, arguments, heat))

    def tokens(self, images: Tensor, cameras: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """`Backbone.embed` for any number of clips: that one asks for values and lengths in Python."""
        backbone = self.model.backbone
        tokens, arguments = first_tokens(backbone.vit, images)
        length = self.model.config.clip_length
        if backbone.camera is not None:
            mean = backbone.camera.mean(dim=0, keepdim=True)
            if cameras is None:
                rows = mean
            else:
                index = cameras.where(cameras >= 0, self.model.num_cameras)
                rows = torch.cat([backbone.camera, mean])[index.repeat_interleave(length)]
            tokens = tokens + backbone.camera_scale * rows[:, None]
        return before_blocks(backbone.vit, tokens), arguments


def resampling(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Matrices [h, 64] and [w, 32] that take a cached map to the loader's grid: rows @ map @ columns.T.

    Linear between the centres of cells, nothing outside: what the loader does where the grid is finer.
    """
    weights = []
    for source, target in zip(MAP_SIZE, map_grid(config), strict=True):
        place = (torch.arange(target) + 0.5) * (source / target) - 0.5
        weights.append((1 - (place[:, None] - torch.arange(source)).abs()).clamp(min=0))
    return weights[0], weights[1]


def describe(model: KeyReID, checkpoint: Path, cameras: bool) -> dict:
    """The metadata: everything that inference needs, and nothing of the training classes."""
    config = model.config
    parts = grouping(config.parts) if model.uses_heat else {}
    return {
        "what": "KeyRe-ID clip embedding",
        "keyreid": importlib.metadata.version("keyreid"),
        "checkpoint_sha256": sha256_of(checkpoint),
        "config": config.model_copy(update={"pretrained": False, "vit_path": None}).model_dump(mode="json"),
        "clip_length": config.clip_length,
        "frame_size": list(config.image_size),
        "map_size": list(MAP_SIZE),
        "parts": {name: [JOINTS.index(joint) for joint in joints] for name, joints in parts.items()},
        "feature_width": model.feature_width,
        "global_width": 0 if model.global_branch is None else model.backbone.width,
        "cameras": model.num_cameras if cameras else None,
        "blocks": model.block_widths,
        "unit_blocks": model.unit_blocks,
        "distance": "squared Euclidean, between the means of the clips of two tracklets",
    }


def samples(model: KeyReID, sizes: tuple[int, ...], cameras: bool, seed: int = 0) -> list[dict[str, Tensor]]:
    """Random inputs of several batch sizes."""
    draw = torch.Generator().manual_seed(seed)
    config = model.config
    parts = max(1, len(config.part_names))
    made = []
    for size in sizes:
        clip = (size, config.clip_length)
        sample = {
            "frames": torch.randint(0, 256, (*clip, *config.image_size, 3), dtype=torch.uint8, generator=draw)
        }
        if model.uses_heat:
            sample["part_maps"] = torch.rand((*clip, parts, *MAP_SIZE), generator=draw)
        if cameras:
            sample["cameras"] = torch.randint(-1, model.num_cameras, (size,), generator=draw)
        made.append(sample)
    return made


def export(
    model: KeyReID, checkpoint: Path, path: Path, cameras: bool = False, precision: Precision = "fp32"
) -> float:
    """Write the ONNX file `path`, whose inputs and output are those of `ClipEmbedding`.

    checkpoint: the model's weights file, whose SHA-256 goes into the metadata. cameras: the file takes the
    camera of each clip, too. precision: of weights and arithmetic in the file.
    Returns the largest difference from `KeyReID.embed`, as a share of the largest value: in fp32 at most
    1e-4. Raises KeyReIDError for cameras of a network that knows none, for one that ONNX cannot express,
    where onnxruntime disagrees, and where onnx is not installed. Then nothing is written.
    """
    if cameras and not model.num_cameras:
        raise KeyReIDError(f"{checkpoint}: the network knows no camera; leave --with-cameras out")
    module = ClipEmbedding(model.cpu().eval())
    if not model.uses_heat:
        module = _WithoutMaps(module)
    example = samples(model, (2,), cameras)[0]
    checks = [(one, embedding(model, **one)) for one in samples(model, (1, 3), cameras, seed=1)]
    metadata = describe(model, checkpoint, cameras)
    name = f"backbone {model.config.backbone!r}"
    with plain_attention(model):
        return write_onnx(module, name, example, "embedding", "clips", metadata, path, checks, precision)


def embedding(
    model: KeyReID, frames: Tensor, part_maps: Tensor | None = None, cameras: Tensor | None = None
) -> Tensor:
    """`KeyReID.embed` on the file's inputs, prepared by the functions of the loader. Shapes as there."""
    config, clips = model.config, frames.shape[:2]
    still = augment.identity(frames.shape[0] * frames.shape[1])
    pixels = frames.permute(0, 1, 4, 2, 3).contiguous()
    erased = torch.from_numpy(still.erased)
    images = augment.normalise(pixels, erased, model.pixel_mean, model.pixel_std, (0.0, 0.0, 0.0))
    if part_maps is None:
        return model.embed(images, torch.zeros(*clips, 0, *MAP_SIZE), cameras)
    levels = 255 * part_maps.flatten(0, 1).numpy()
    kept = np.arange(levels.shape[1])
    heat, shown, _ = augment.move_maps(levels, still, config.image_size, kept, map_grid(config))
    if config.guidance == "published":
        heat = augment.published_range(heat, shown)
    return model.embed(images, torch.from_numpy(heat).unflatten(0, clips), cameras)


@contextlib.contextmanager
def plain_attention(model: KeyReID) -> Iterator[None]:
    """timm's attention in plain arithmetic: the exporter cannot take apart the fused one with a bias."""
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    try:
        for module in fused:
            module.fused_attn = False
        yield
    finally:
        for module in fused:
            module.fused_attn = True


class _WithoutMaps(nn.Module):
    """A network that uses no heat takes no part maps."""

    def __init__(self, clips: ClipEmbedding):
        super().__init__()
        self.clips = clips

    def forward(self, frames: Tensor, cameras: Tensor | None = None) -> Tensor:
        return self.clips(frames, None, cameras)
