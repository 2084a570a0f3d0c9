"""What the families of timm's vision transformers do differently before and around their blocks."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import sys
from collections.abc import Callable
from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

FAMILIES = (VisionTransformer, Eva, Beit)  # with their variants: DeiT, DINOv2, CLIP; EVA-02, DINOv3; BEiT v2


def has_class_token(vit: nn.Module) -> bool:
    """True for a network of these families whose first token is a class token."""
    mixed = getattr(vit, "rope_mixed", False)  # other rotary positions in every block
    return isinstance(vit, FAMILIES) and vit.cls_token is not None and not mixed


def first_tokens(vit: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Tokens [F, prefix + n, D] with their positions, and what every block is to be given besides them."""
    patches = vit.patch_embed(images)
    if isinstance(vit, Eva):
        tokens, rotary = vit._pos_embed(patches)
        return tokens, {"rope": rotary}
    if isinstance(vit, Beit):
        tokens = torch.cat([vit.cls_token.expand(len(images), -1, -1), patches], dim=1)
        if vit.pos_embed is not None:
            tokens = tokens + vit.pos_embed
        shared = vit.rel_pos_bias() if vit.rel_pos_bias is not None else None
        return vit.pos_drop(tokens), {"shared_rel_pos_bias": shared}
    return vit._pos_embed(patches), {}


def run_blocks(vit: nn.Module, tokens: Tensor, arguments: dict[str, Any]) -> Tensor:
    """All blocks in turn: [F, prefix + n, D], same shape."""
    tokens = getattr(vit, "norm_pre", nn.Identity())(tokens)
    for block in vit.blocks:
        tokens = block(tokens, **arguments)
    return tokens


def num_heads(vit: nn.Module) -> int:
    """Attention heads of a block."""
    return next(m.num_heads for m in vit.blocks[-1].modules() if hasattr(m, "num_heads"))


def checkpoint_filter(vit: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """timm's conversion of files of this family to its own names and to the grid of `vit`."""
    family = next(kind for kind in FAMILIES if isinstance(vit, kind))
    return sys.modules[family.__module__].checkpoint_filter_fn
