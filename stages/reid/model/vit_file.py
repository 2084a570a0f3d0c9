"""Recognises a file of ViT weights: which network it was made for, as far as its entries tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Entries for the tokens before the patches, in the names of timm and of the original files.
CLASS_TOKENS = ("cls_token", "dist_token")
REGISTERS = ("reg_token", "register_tokens", "storage_tokens")
POSITIONS = ("pos_embed", "visual.positional_embedding")
PATCHES = ("patch_embed.proj.weight", "visual.conv1.weight")
STEM = "patch_embed.conv."  # of TransReID-SSL's networks with ICS
_SIZES = {(192, 12): "tiny", (384, 12): "small", (768, 12): "base", (1024, 24): "large"}


@dataclass(frozen=True)
class VitFile:
    """width, depth: None where the entries do not tell. patch: kernel of the patch embedding [D, C, h, w]."""

    width: int | None
    depth: int
    patch: tuple[int, ...] | None
    class_tokens: int
    registers: int
    positions: tuple[int, ...] | None
    clip: bool
    stem: bool

    def __str__(self) -> str:
        if self.width is None:
            return "no ViT, by its names"
        parts = [
            "CLIP's image encoder" if self.clip else "a ViT",
            f"width {self.width}",
            f"{self.depth} blocks",
        ]
        if self.stem:
            parts.append("a convolution stem")
        elif self.patch is not None:
            parts.append(f"patches of {self.patch[-2]}x{self.patch[-1]}")
        parts.append(f"{self.class_tokens} class and {self.registers} register tokens")
        if self.positions is not None:
            parts.append(f"{self.positions[-2]} positions")
        return ", ".join(parts)

    def backbone(self) -> str | None:
        """timm's name for such a network, where there is an obvious one."""
        size = _SIZES.get((self.width, self.depth))
        if size is None or self.patch is None or self.stem or self.registers or self.class_tokens != 1:
            return None
        if self.clip:
            return f"vit_{size}_patch{self.patch[-1]}_clip_quickgelu_224"
        return f"vit_{size}_patch{self.patch[-1]}_224"


def describe(file: Mapping[str, Any]) -> VitFile:
    """What entries out of their wrappings say; CLIP's under `visual.`."""
    tensors = {name: value for name, value in file.items() if isinstance(value, Tensor)}
    clip = "visual.class_embedding" in tensors
    tokens = prefix_tokens(tensors)
    patch = next((tuple(tensors[name].shape) for name in PATCHES if name in tensors), None)
    token = tensors.get("visual.class_embedding" if clip else "cls_token")
    blocks = "visual.transformer.resblocks." if clip else "blocks."
    numbers = {name.removeprefix(blocks).split(".")[0] for name in tensors if name.startswith(blocks)}
    return VitFile(
        width=token.shape[-1] if token is not None and token.dim() else None,
        depth=len(numbers),
        patch=patch,
        class_tokens=tokens[0],
        registers=tokens[1],
        positions=next((tuple(tensors[name].shape) for name in POSITIONS if name in tensors), None),
        clip=clip,
        stem=any(name.startswith(STEM) for name in tensors),
    )


def prefix_tokens(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Numbers of class and of register tokens in a ViT's state dict."""
    registers = [state[name].shape[-2] for name in REGISTERS if name in state and state[name].dim() > 1]
    classes = sum(name in state for name in CLASS_TOKENS) + ("visual.class_embedding" in state)
    return classes, sum(registers)
