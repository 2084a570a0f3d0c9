"""The trunk: a timm ViT without its last block, with an embedding of the camera on every token.

Heat pooled to its patch grid decides which patches of a frame it sees.
"""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import difflib
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cache.errors import KeyReIDError
from stages.reid.model import vit_families, vit_weights
from stages.reid.model.config import ModelConfig
from stages.reid.model.drop_path import key_drop_paths
from stages.reid.model.published import check_patches

NEAR = 0.5  # weight of a neighbouring patch's heat
TIE = 1e-4  # where heat says nothing, patches near the centre of the frame are kept


def build_vit(config: ModelConfig) -> tuple[nn.Module, vit_weights.LoadReport | None]:
    """The whole ViT of the config, and what was loaded into it where vit_path names a file.

    Raises KeyReIDError for a name timm does not have, arguments it does not take, and a network that
    is none of timm's plain ViTs with a class token, a token for every patch, and at least two blocks.
    """
    name = config.backbone
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models("*vit*"), n=3)
        raise KeyReIDError(f"backbone {name!r}: timm has no such model; near: {', '.join(close) or 'none'}")
    kind = vit_families.class_built(name)
    if kind is not None and (reason := vit_families.refusal(kind)):
        raise KeyReIDError(f"backbone {name!r}: {reason}")
    try:
        vit = timm.create_model(
            name,
            pretrained=config.pretrained and config.vit_path is None,
            img_size=config.image_size,
            num_classes=0,
            drop_path_rate=config.drop_path,
            **config.backbone_args,
        )
    except Exception as error:  # timm checks few of its arguments
        reason = (str(error).strip().splitlines() or [f"timm gives no reason but {type(error).__name__}"])[0]
        arguments = f" with {config.backbone_args}" if config.backbone_args else ""
        way_out = "; pretrained needs the network: set it to false, or vit_path to a file"
        raise KeyReIDError(
            f"backbone {name!r}{arguments}: {reason}{way_out if isinstance(error, OSError) else ''}"
        ) from error
    check_vit(vit_families.without_unkeyed_draws(vit), config)
    report = vit_weights.load_vit(vit, config.vit_path, config.guidance) if config.vit_path else None
    return vit, report


def check_vit(vit: nn.Module, config: ModelConfig) -> None:
    """Raise KeyReIDError unless the two branches can be put on this network."""
    name = config.backbone
    reason = vit_families.refusal(type(vit), getattr(vit, "cls_token", None) is not None)
    if reason:
        raise KeyReIDError(f"backbone {name!r}: {reason}")
    if len(vit.blocks) < 2:
        raise KeyReIDError(f"backbone {name!r} of depth {len(vit.blocks)}: expected at least 2 blocks")
    if not isinstance(getattr(vit, "patch_drop", None), nn.Identity | None):
        raise KeyReIDError(f"backbone {name!r}: patch_drop_rate must be 0, heat needs every patch")
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in vit.modules()):
        raise KeyReIDError(
            f"backbone {name!r}: drop_rate, pos_drop_rate, proj_drop_rate and attn_drop_rate must be 0: "
            "their draws would depend on the batch; use drop_path"
        )
    for size, patch in zip(config.image_size, vit.patch_embed.patch_size, strict=True):
        if size % patch:
            raise KeyReIDError(f"image_size {config.image_size}: expected multiples of patch size {patch}")
    if config.kept_share < 1 and (reason := vit_families.cannot_drop(type(vit))):
        raise KeyReIDError(f"backbone {name!r}: {reason}")
    if config.guidance == "published" and vit.num_prefix_tokens != 1:
        raise KeyReIDError(f"backbone {name!r}: guidance published cannot use register tokens")
    check_patches(config, tuple(vit.patch_embed.grid_size))


class Backbone(nn.Module):
    """Trunk of the ViT. Its last block and final norm are handed to the global branch.

    num_cameras: rows of the camera embedding; 0 for none.
    """

    def __init__(self, vit: nn.Module, num_cameras: int, camera_scale: float):
        super().__init__()
        self.vit = vit
        self.camera_scale = camera_scale
        self.width = vit.embed_dim
        self.grid = tuple(vit.patch_embed.grid_size)
        self.prefix = vit.num_prefix_tokens
        self.camera = nn.Parameter(torch.empty(num_cameras, self.width)) if num_cameras else None
        if self.camera is not None:
            nn.init.trunc_normal_(self.camera, std=0.02)
        key_drop_paths(vit.blocks)

    def take_last(self) -> tuple[nn.Module, nn.Module]:
        """Remove and return the last block and the final norm."""
        block, norm = self.vit.blocks[-1], self.vit.norm
        if isinstance(norm, nn.Identity):
            norm = self.vit.fc_norm
        self.vit.blocks = self.vit.blocks[:-1]
        self.vit.norm = self.vit.fc_norm = self.vit.head = nn.Identity()
        self.vit.attn_pool = None
        return block, norm

    def embed(self, images: Tensor, cameras: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """Tokens before the first block, with position and camera.

        images [F, 3, H, W]; cameras int64 [F] or None. Returns tokens [F, prefix + n, D], and what the
        blocks are to be given besides them.
        """
        tokens, arguments = vit_families.first_tokens(self.vit, images)
        if self.camera is not None:
            tokens = tokens + self.camera_scale * self.camera_rows(cameras, len(images))[:, None]
        return vit_families.before_blocks(self.vit, tokens), arguments

    def keep(self, tokens: Tensor, arguments: dict[str, Any], kept: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Tokens and block arguments of the kept patches alone. kept: int64 [F, k]."""
        return gather_patches(tokens, kept, self.prefix), vit_families.kept_arguments(
            self.vit, arguments, kept
        )

    def run(self, tokens: Tensor, arguments: dict[str, Any], start: int, stop: int | None = None) -> Tensor:
        """Blocks start to stop (not included; None: the trunk's end): same shape."""
        return vit_families.run_blocks(self.vit, tokens, arguments, start, stop)

    def last_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the last block is to be given besides tokens."""
        return vit_families.of_block(self.vit, arguments, -1)

    def camera_rows(self, cameras: Tensor | None, frames: int) -> Tensor:
        """Embedding of each frame's camera [F, D]; of an unknown one (-1 or None), the mean of all."""
        mean = self.camera.mean(dim=0, keepdim=True)
        if cameras is None:
            return mean.expand(frames, -1)
        return torch.cat([self.camera, mean])[cameras.where(cameras >= 0, len(self.camera))]


def pool_to_grid(part_maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean of each patch: [B, T, K, h, w] -> [B, T, K, n], n = rows x columns of the grid.

    Raises KeyReIDError unless h and w are multiples of the grid.
    """
    (height, width), (rows, columns) = part_maps.shape[-2:], grid
    if height % rows or width % columns:
        raise KeyReIDError(
            f"part maps of {height}x{width}: expected a multiple of the patch grid {rows}x{columns}"
        )
    if (height, width) == grid:
        return part_maps.flatten(-2)
    cells = part_maps.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1))  # [..., rows, h', columns, w']
    return cells.mean(dim=(-3, -1)).flatten(-2)


def kept_count(patches: int, keep: float) -> int:
    """Patches kept of a frame: the share `keep` of them, rounded, at least one."""
    return max(1, round(keep * patches))


def kept_patches(heat: Tensor, keep: float, grid: tuple[int, int]) -> Tensor:
    """The patches with the most heat of any part, the same number in every frame.

    heat: [F, K, n] of K parts on the n patches of a grid (rows, columns), row by row. A patch counts with its
    own heat or half of a neighbour's, whichever is more, on a grid of more than eight rows after blurring, so
    that the body between the joints is kept with them. Returns int64 [F, round(keep * n)], ascending.
    """
    score = heat.amax(dim=1).unflatten(-1, grid)[:, None]  # [F, 1, rows, columns]
    blur = 2 * reach_of(grid) - 1
    for _ in range(2):  # does nothing on eight rows
        score = F.avg_pool2d(score, blur, 1, blur // 2, count_include_pad=False)
    near = F.max_pool2d(score, 3, stride=1, padding=1)
    score = torch.maximum(score, NEAR * near).flatten(1)
    score = score - TIE * distance_to_centre(grid, score.device)
    count = kept_count(score.shape[1], keep)
    return score.topk(count, dim=1, sorted=False).indices.sort(dim=1).values


def reach_of(grid: tuple[int, int]) -> int:
    """Patches in an eighth of the frame's height, half of the way from shoulder to hip."""
    return max(1, round(grid[0] / 8))


def distance_to_centre(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Distance of every patch to the centre of the frame, in frames: [n], different for any two.

    Patches that mirror each other differ by more than float32 rounds, or devices would choose by chance.
    """
    rows, columns = (torch.arange(size, device=device) / max(size - 1, 1) - 0.5 for size in grid)
    distance = (rows[:, None].square() + 2 * columns.square()).sqrt()
    return (distance + 0.02 * rows[:, None] + 0.05 * columns).flatten()


def gather_patches(tokens: Tensor, kept: Tensor, prefix: int) -> Tensor:
    """Prefix tokens and kept patches: [F, prefix + n, D], int64 [F, k] -> [F, prefix + k, D]."""
    index = kept[:, :, None].expand(-1, -1, tokens.shape[-1])
    return torch.cat([tokens[:, :prefix], tokens[:, prefix:].gather(1, index)], dim=1)
