"""The network of before parts read single tokens, to measure against: all patches, rows of T tokens.

Random weights; `benchmarks/network.py` compares its cost, not its features.
"""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from stages.reid.model import ModelConfig, class_row
from stages.reid.model.backbone import Backbone, build_vit
from stages.reid.model.global_branch import GlobalBranch
from stages.reid.model.keyreid import classifier
from stages.reid.model.neck import Neck
from stages.reid.model.published import TemporalAttention
from stages.reid.model.vit_families import num_heads


class EarlierNetwork(nn.Module):
    """Trunk on all patches; the class row of a block T*D wide reads rows of T tokens, once for each part."""

    def __init__(self, config: ModelConfig, persons: int, cameras: int):
        super().__init__()
        vit, _ = build_vit(config.model_copy(update={"keep": 1.0}))
        heads, parts = num_heads(vit), len(config.part_names)
        self.backbone = Backbone(vit, cameras, config.camera_scale)
        width = self.backbone.width
        wide = width * config.clip_length
        attention = TemporalAttention(width, config.attention_width)
        self.global_branch = GlobalBranch(*self.backbone.take_last(), attention)
        self.block = Block(wide, heads, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
        self.norm = nn.LayerNorm(wide)
        widths = [width, *[wide] * parts]
        self.necks = nn.ModuleList(map(Neck, widths))
        self.classifiers = nn.ModuleList(classifier(size, persons) for size in widths)

    def forward(self, images: Tensor, heat: Tensor, cameras: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """images [B, T, 3, H, W], heat [B, T, K, n] on patches -> temporal scores, and logits in a list."""
        clips, frames = images.shape[:2]
        known = None if cameras is None else cameras.repeat_interleave(frames)
        tokens, arguments = self.backbone.embed(images.flatten(0, 1), known)
        tokens = self.backbone.run(tokens, arguments, 0)
        feature, scores, _ = self.global_branch(
            tokens, heat.amax(-1), **self.backbone.last_arguments(arguments)
        )
        rows = tokens.unflatten(0, (clips, frames)).transpose(1, 2).flatten(2)  # [B, 1+n, T*D]
        bias = torch.nn.functional.pad((heat.mean(1) + 1e-6).log(), (1, 0))
        normalised = self.block.norm1(rows)
        attended, _ = class_row.attend(self.block.attn, normalised[:, 0], normalised, bias=bias)
        parts = self.norm(class_row.finish(self.block, rows[:, :1], attended))
        features = [feature, *parts.unbind(1)]
        logits = [fc(neck(x)) for fc, neck, x in zip(self.classifiers, self.necks, features, strict=True)]
        return scores, logits
