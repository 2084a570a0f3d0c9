"""The KeyRe-ID network: trunk, global branch, local branch, necks and classifiers."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cache.errors import KeyReIDError
from stages.reid.model.backbone import Backbone, build_vit, kept_patches, pool_to_grid
from stages.reid.model.config import ModelConfig
from stages.reid.model.drop_path import draw_drops, drop_paths, frame_keys
from stages.reid.model.global_branch import FrameAttention, GlobalBranch
from stages.reid.model.local_branch import LocalBranch
from stages.reid.model.neck import Neck
from stages.reid.model.published import PublishedLocalBranch, TemporalAttention
from stages.reid.model.vit_families import num_heads

SEEN = 0.02  # heat of a patch (mean over its cells) at which a part counts in full


class ClipOutput(NamedTuple):
    """What a forward pass returns, float32. Entries of a branch that is switched off are None."""

    global_feature: Tensor | None  # [B, D] before the neck
    part_features: Tensor | None  # [B, K, part width] before the necks
    global_embedding: Tensor | None  # [B, D] after the neck
    part_embeddings: Tensor | None  # [B, K, part width] after the necks
    global_logits: Tensor | None  # [B, C]
    part_logits: Tensor | None  # [B, K, C]
    frame_scores: Tensor | None  # [B, T] temporal scores before the softmax
    frame_weights: Tensor | None  # [B, T] temporal attention, sums to 1
    part_attention: (
        Tensor | None
    )  # [B, K, T, n] weights of patches, without gradient; published: [B, K, 1, n]
    part_weights: Tensor | None  # [B, T, K, n] heat on the patch grid, as it was used
    kept: Tensor | None  # int64 [B, T, k] patches that the trunk saw, ascending; None: all


class KeyReID(nn.Module):
    """Clips with part maps in, identity logits and features out.

    num_persons: training identities C. num_cameras: cameras known by number; 0 for none.
    """

    def __init__(self, config: ModelConfig, num_persons: int, num_cameras: int):
        super().__init__()
        if num_persons < 1 or num_cameras < 0:
            raise KeyReIDError(
                f"{num_persons} persons and {num_cameras} cameras: expected at least 1 person and 0 cameras"
            )
        self.config = config
        self.num_persons = num_persons
        self.num_cameras = num_cameras
        self.num_parts = len(config.part_names)
        vit, self.load_report = build_vit(config)
        self.pixel_mean = tuple(vit.pretrained_cfg["mean"])
        self.pixel_std = tuple(vit.pretrained_cfg["std"])
        heads = num_heads(vit)
        self.backbone = Backbone(vit, num_cameras, config.camera_scale)
        self.grid = self.backbone.grid
        width = self.backbone.width
        last_block, last_norm = self.backbone.take_last()

        depth = len(vit.blocks)
        if self.part_level > depth and not config.global_only:
            raise KeyReIDError(
                f"model.part_block = {config.part_block}: the trunk of {config.backbone} has {depth} blocks "
                f"before its last; expected 0 to {depth}"
            )

        self.global_branch = self.global_neck = self.global_classifier = None
        self.local_branch = self.part_necks = self.part_classifiers = None
        if not config.local_only:
            attention = (
                TemporalAttention(width, config.attention_width)
                if config.guidance == "published"
                else FrameAttention(width, config.attention_width, self.num_parts)
            )
            self.global_branch = GlobalBranch(last_block, last_norm, attention)
            self.global_neck = Neck(width)
            self.global_classifier = classifier(width, num_persons)
        if not config.global_only:
            kind = PublishedLocalBranch if config.guidance == "published" else LocalBranch
            self.local_branch = kind(config, width, heads)
            if config.guidance == "prior":
                self.local_branch.start_from(vit.blocks[self.part_level :])
            self.part_necks = nn.ModuleList(Neck(self.part_width) for _ in range(self.num_parts))
            self.part_classifiers = nn.ModuleList(
                classifier(self.part_width, num_persons) for _ in range(self.num_parts)
            )
        if config.local_only:  # the output of later blocks is not used
            vit.blocks = vit.blocks[: self.part_level]
            if not vit.blocks and getattr(vit, "rope", None) is not None:
                vit.rope.requires_grad_(False)  # positions learnt for blocks that are gone
        self.drop_paths = drop_paths(self)

    @property
    def part_width(self) -> int:
        """Numbers in the feature of a part."""
        if self.config.guidance == "published":
            return self.config.clip_length * self.backbone.width
        return self.config.part_width or self.backbone.width

    @property
    def feature_width(self) -> int:
        """Numbers in a clip's feature, as `embed` returns it."""
        return sum(self.block_widths)

    def forward(
        self,
        images: Tensor,
        part_maps: Tensor,
        cameras: Tensor | None = None,
        keys: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> ClipOutput:
        """Run both branches.

        images    [B, T, 3, H, W], normalised by pixel_mean and pixel_std.
        part_maps [B, T, K, h, w], heat in [0, 1] (guidance published: in [-1, 1]); h and w multiples of
                  the patch grid.
        cameras   int64 [B], -1 for unknown; None: all unknown.
        keys      int64 [B], what is drawn in training depends on them alone; None: torch's generator.
        kept      int64 [B, T, k], patches that the trunk sees; None: those with the most heat.
        T may be any number but with guidance published. Raises KeyReIDError for shapes that do not belong to
        the config and for a camera out of range (on a CPU: a number read from a GPU waits for it).
        """
        self.check_shapes(images, part_maps, cameras)
        if cameras is not None and cameras.device.type == "cpu" and not torch.compiler.is_compiling():
            self.check_cameras(cameras)
        frames = images.shape[1]
        drawn = keys if self.training else None
        draw_drops(self.drop_paths, frame_keys(drawn, frames))
        tokens, arguments = self.backbone.embed(
            images.flatten(0, 1).to(self.number_type),
            None if cameras is None else cameras.repeat_interleave(frames),
        )
        out = self.branches(tokens, arguments, self.heat(part_maps, images), kept, drawn)
        draw_drops(self.drop_paths, None)
        return out

    def branches(
        self,
        tokens: Tensor,
        arguments: dict[str, Any],
        heat: Tensor,
        kept: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> ClipOutput:
        """What follows the embedding of patches, `Backbone.embed`. heat: [B, T, K, n] on the patch grid."""
        out = dict.fromkeys(ClipOutput._fields)
        frames = heat.shape[1]
        if kept is None and self.config.kept_share < 1:
            kept = kept_patches(heat.flatten(0, 1), self.config.kept_share, self.grid)
            kept = kept.unflatten(0, (-1, frames))
        if kept is not None:
            tokens, arguments = self.backbone.keep(tokens, arguments, kept.flatten(0, 1))
        out["kept"] = kept
        early = tokens = self.backbone.run(tokens, arguments, 0, self.part_level)
        if self.global_branch is not None:
            tokens = self.backbone.run(tokens, arguments, self.part_level)
            feature, scores, weights = self.global_branch(
                tokens, heat.amax(dim=-1), **self.backbone.last_arguments(arguments)
            )
            out["global_feature"], out["frame_scores"] = feature.float(), scores.float()
            out["frame_weights"] = weights.float()
            out["global_embedding"] = self.global_neck(feature)
            out["global_logits"] = self.global_classifier(out["global_embedding"]).float()
        if self.local_branch is not None:
            follow = self.config.frame_prior and out["frame_weights"] is not None
            frame_bias = (out["frame_weights"] * frames).clamp(min=1e-6).log() if follow else None
            features, attention = self.read_parts(early, heat, kept, keys, frame_bias)
            out["part_features"], out["part_attention"] = features.float(), attention.float()
            out["part_weights"] = heat
            embeddings = [neck(x) for neck, x in zip(self.part_necks, features.unbind(1), strict=True)]
            out["part_embeddings"] = torch.stack(embeddings, dim=1)
            heads = zip(self.part_classifiers, embeddings, strict=True)
            out["part_logits"] = torch.stack([fc(x) for fc, x in heads], dim=1).float()
        return ClipOutput(**out)

    @property
    def number_type(self) -> torch.dtype:
        """Of the trunk's weights: float32 but in a copy made for faster embedding."""
        return self.backbone.vit.cls_token.dtype

    def half_parts(self) -> list[nn.Module]:
        """What may compute in half precision at test; necks and the released local branch keep float32."""
        local = None if self.config.guidance == "published" else self.local_branch
        return [part for part in (self.backbone, self.global_branch, local) if part is not None]

    @property
    def part_level(self) -> int:
        """Trunk blocks before the parts are read."""
        depth = len(self.backbone.vit.blocks)
        if self.config.guidance == "published":
            return depth
        return round(depth / 3) if self.config.part_block is None else self.config.part_block

    def read_parts(
        self,
        tokens: Tensor,
        heat: Tensor,
        kept: Tensor | None,
        keys: Tensor | None,
        frame_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Part features [B, K, part width] and attention on the whole patch grid [B, K, T or 1, n]."""
        frames, patches = heat.shape[1], heat.shape[-1]
        if self.config.guidance == "published":
            rows = self.clip_tokens(tokens.to(next(self.local_branch.parameters()).dtype), frames)
            features, attention = self.local_branch(rows, heat, keys)
            return features, attention[:, :, None, 1:]
        tokens = tokens[:, self.backbone.prefix :].unflatten(0, (-1, frames))
        if kept is None:
            return self.local_branch(tokens, heat, keys, patches, None, frame_bias)
        index = kept[:, :, None].expand(-1, -1, self.num_parts, -1)  # [B, T, K, k]
        features, attention = self.local_branch(
            tokens, heat.gather(3, index), keys, patches, kept, frame_bias
        )
        whole = attention.new_zeros(*attention.shape[:3], patches)
        return features, whole.scatter(3, index.transpose(1, 2), attention)

    @torch.no_grad()
    def embed(self, images: Tensor, part_maps: Tensor, cameras: Tensor | None = None, **others) -> Tensor:
        """The feature of each clip, after the necks, in evaluation mode: float32 [B, feature_width].

        Arguments and errors as for `forward`; the result is that of `joined`.
        """
        training = self.training
        self.eval()
        try:
            return self.joined(self(images, part_maps, cameras, **others))
        finally:
            self.train(training)

    def joined(self, out: ClipOutput) -> Tensor:
        """The global embedding, then those of the parts: [B, feature_width].

        With guidance prior each is of length 1, so that each counts alike in a Euclidean distance, but for
        parts that are hardly seen: their length is the mean over frames of their highest heat on a patch,
        over SEEN, so that what was read from next to no heat weighs next to nothing. As released, the parts
        are divided by their number.
        """
        blocks = [] if out.global_embedding is None else [out.global_embedding]
        if out.part_embeddings is not None:
            blocks += out.part_embeddings.unbind(1)
        if self.unit_blocks:
            units = [functional.normalize(block.float(), dim=1) for block in blocks]
            if out.part_weights is not None:
                seen = (out.part_weights.float().amax(-1).mean(1) / SEEN).clamp(max=1)  # [B, K]
                first = len(units) - self.num_parts
                units[first:] = [u * seen[:, k, None] for k, u in enumerate(units[first:])]
            return torch.cat(units, dim=1)
        whole = 0 if out.global_embedding is None else 1
        return torch.cat([*blocks[:whole], *(block / self.num_parts for block in blocks[whole:])], dim=1)

    @property
    def unit_blocks(self) -> bool:
        """Whether the blocks of an embedding are of length 1, those of parts hardly seen shorter."""
        return self.config.guidance == "prior"

    @property
    def block_widths(self) -> list[int]:
        """Numbers in each block of an embedding: of the global branch, then of each part."""
        widths = [] if self.global_branch is None else [self.backbone.width]
        return widths + ([] if self.local_branch is None else [self.part_width] * self.num_parts)

    def heat(self, part_maps: Tensor, images: Tensor) -> Tensor:
        """Heat on the patch grid [B, T, K, n]; all one where keypoints are switched off."""
        if self.uses_heat:
            return pool_to_grid(part_maps.float(), self.grid)
        return images.new_ones(*images.shape[:2], self.num_parts, self.grid[0] * self.grid[1]).float()

    def clip_tokens(self, tokens: Tensor, frames: int) -> Tensor:
        """[B*T, prefix + n, D] -> [B, T, 1+n, D]: class token and patches, without register tokens."""
        if self.backbone.prefix > 1:
            tokens = torch.cat([tokens[:, :1], tokens[:, self.backbone.prefix :]], dim=1)
        return tokens.unflatten(0, (-1, frames))

    def check_shapes(self, images: Tensor, part_maps: Tensor, cameras: Tensor | None = None) -> None:
        """Raise KeyReIDError where clip length, frame size or number of parts is not the config's.

        And where there is not one camera, a whole number, for each clip.
        """
        fixed = self.config.guidance == "published" and self.local_branch is not None
        frames = self.config.clip_length if fixed or images.dim() != 5 else max(images.shape[1], 1)
        expected = (frames, 3, *self.config.image_size)
        if images.dim() != 5 or tuple(images.shape[1:]) != expected:
            shown = [frames if fixed else "T", *expected[1:]]
            raise KeyReIDError(f"images {list(images.shape)}: expected [B, {', '.join(map(str, shown))}]")
        leading = (len(images), frames, self.num_parts)
        if self.uses_heat and (part_maps.dim() != 5 or tuple(part_maps.shape[:3]) != leading):
            raise KeyReIDError(
                f"part maps {list(part_maps.shape)}: expected [{', '.join(map(str, leading))}, h, w] "
                f"(clips, frames, parts: {', '.join(self.config.part_names)})"
            )
        if cameras is not None and (cameras.shape != images.shape[:1] or cameras.is_floating_point()):
            kind = str(cameras.dtype).removeprefix("torch.")
            raise KeyReIDError(
                f"cameras {kind} {list(cameras.shape)}: expected int64 [{len(images)}], one a clip"
            )

    @property
    def uses_heat(self) -> bool:
        """Whether part maps reach the result."""
        return self.config.kps and (self.local_branch is not None or self.config.guidance == "prior")

    def check_cameras(self, cameras: Tensor) -> None:
        """Raise KeyReIDError for a camera that the network has no embedding for. cameras: int64, any shape.

        Training calls it once with the cameras of all its tracklets.
        """
        if self.num_cameras and cameras.numel() and int(cameras.max()) >= self.num_cameras:
            raise KeyReIDError(
                f"camera {int(cameras.max())}: the network knows cameras 0 to {self.num_cameras - 1}; "
                "give -1 for an unknown camera"
            )


def classifier(width: int, num_persons: int) -> nn.Linear:
    """Linear classifier without bias, started near zero."""
    layer = nn.Linear(width, num_persons, bias=False)
    nn.init.normal_(layer.weight, std=0.001)
    return layer
