"""What the families of timm's vision transformers do differently before and around their blocks."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import inspect
import sys
from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.layers import RelPosMlp
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn

# With their variants. VisionTransformer: DeiT, DINOv2, CLIP, hybrids; Eva: EVA-02, DINOv3, RoPE-ViT.
FAMILIES = (VisionTransformer, VisionTransformerRelPos, Eva, Beit)
EXPECTED = (
    "expected one of timm's plain ViTs with a class token ("
    f"{', '.join(kind.__name__ for kind in FAMILIES)}), e.g. vit_base_patch16_224"
)


def refusal(kind: type, class_token: bool = True) -> str | None:
    """Why a network of this class cannot be the backbone; None where it can."""
    if not issubclass(kind, FAMILIES):
        return f"a network of the class {kind.__name__}; {EXPECTED}"
    return None if class_token else f"a {kind.__name__} without a class token; {EXPECTED}"


def class_built(name: str) -> type | None:
    """The class that timm says it builds under a name, without building it; None where it does not say."""
    stated = inspect.signature(timm.model_entrypoint(name)).return_annotation
    known = isinstance(stated, type) and issubclass(stated, nn.Module)
    return stated if known else None


def first_tokens(vit: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Tokens [F, prefix + n, D] with their positions, and what the blocks are to be given besides them."""
    patches = vit.patch_embed(images)
    if isinstance(vit, Eva):
        tokens, rotary = vit._pos_embed(patches)
        return tokens, {"rope": rotary}
    if isinstance(vit, VisionTransformer):
        return vit._pos_embed(patches), {}
    # shape, as export cannot follow len() of any number of frames
    tokens = torch.cat([vit.cls_token.expand(images.shape[0], -1, -1), patches], dim=1)
    if isinstance(vit, VisionTransformerRelPos):
        shared = vit.shared_rel_pos.get_bias() if vit.shared_rel_pos is not None else None
        return tokens, {"shared_rel_pos": shared}
    if vit.pos_embed is not None:
        tokens = tokens + vit.pos_embed
    shared = vit.rel_pos_bias() if vit.rel_pos_bias is not None else None
    return vit.pos_drop(tokens), {"shared_rel_pos_bias": shared}


def of_block(vit: nn.Module, arguments: dict[str, Any], number: int) -> dict[str, Any]:
    """The arguments of one block; -1 for the last of the whole ViT. Only mixed rotary positions differ."""
    if getattr(vit, "rope_mixed", False):
        return {"rope": arguments["rope"][number]}
    return arguments


def kept_arguments(vit: nn.Module, arguments: dict[str, Any], kept: Tensor) -> dict[str, Any]:
    """The block arguments of kept patches, int64 [F, k]: rotary positions have a row per patch."""
    rotary = arguments.get("rope")
    if rotary is None:
        return arguments
    if getattr(vit, "rope_mixed", False):  # [depth, heads, n, 2d] -> depth x [F, heads, k, 2d]
        return {"rope": [table[:, kept].transpose(0, 1) for table in rotary]}
    return {"rope": rotary[kept][:, None]}  # [n, 2d] -> [F, 1, k, 2d]


def cannot_drop(kind: type) -> str | None:
    """Why patches of a network of this class cannot be left out; None where they can."""
    if issubclass(kind, VisionTransformerRelPos | Beit):
        return f"a {kind.__name__} has a bias for every pair of patches, it needs all: set model.keep to 1"
    return None


def before_blocks(vit: nn.Module, tokens: Tensor) -> Tensor:
    """The norm that some ViTs apply to all tokens before the first block."""
    return getattr(vit, "norm_pre", nn.Identity())(tokens)


def run_blocks(
    vit: nn.Module, tokens: Tensor, arguments: dict[str, Any], start: int = 0, stop: int | None = None
) -> Tensor:
    """Blocks from start to stop in turn: [F, R, D], same shape."""
    for number in range(start, len(vit.blocks) if stop is None else stop):
        tokens = vit.blocks[number](tokens, **of_block(vit, arguments, number))
    return tokens


def without_unkeyed_draws(vit: nn.Module) -> nn.Module:
    """Switch off the dropout in timm's relative positions: one draw for a batch has no sample's key."""
    for module in vit.modules():
        if isinstance(module, RelPosMlp):
            module.mlp.drop1.p = 0.0
    return vit


def num_heads(vit: nn.Module) -> int:
    """Attention heads of a block."""
    return next(m.num_heads for m in vit.blocks[-1].modules() if hasattr(m, "num_heads"))


def checkpoint_filter(vit: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """timm's conversion of files of this family to its own names and to the grid of `vit`."""
    family = next(kind for kind in FAMILIES if isinstance(vit, kind))
    return sys.modules[family.__module__].checkpoint_filter_fn
