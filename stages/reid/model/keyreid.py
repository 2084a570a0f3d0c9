"""The KeyRe-ID network: trunk, global branch, local branch, necks and classifiers."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cache.errors import KeyReIDError
from stages.reid.model.backbone import Backbone, build_vit
from stages.reid.model.config import ModelConfig
from stages.reid.model.drop_path import frame_keys, set_keys
from stages.reid.model.global_branch import GlobalBranch
from stages.reid.model.local_branch import LocalBranch
from stages.reid.model.neck import Neck
from stages.reid.model.part_weights import pool_to_grid
from stages.reid.model.published import PublishedLocalBranch
from stages.reid.model.vit_families import num_heads


class ClipOutput(NamedTuple):
    """What a forward pass returns, float32. Entries of a branch that is switched off are None."""

    global_feature: Tensor | None  # [B, D] before the neck
    part_features: Tensor | None  # [B, K, T*D] before the necks
    global_logits: Tensor | None  # [B, C]
    part_logits: Tensor | None  # [B, K, C]
    frame_scores: Tensor | None  # [B, T] temporal scores, at least 0, before the softmax
    frame_weights: Tensor | None  # [B, T] temporal attention, sums to 1, without gradient
    part_attention: Tensor | None  # [B, K, 1+n] attention of the class row to itself and the patch rows
    part_weights: Tensor | None  # [B, T, K, n] heat on the patch grid, as it was used


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

        self.global_branch = self.global_neck = self.global_classifier = None
        self.local_branch = self.part_necks = self.part_classifiers = None
        if not config.local_only:
            self.global_branch = GlobalBranch(last_block, last_norm, width, config.attention_width)
            self.global_neck = Neck(width)
            self.global_classifier = classifier(width, num_persons)
        if not config.global_only:
            row_width = config.clip_length * width
            kind = PublishedLocalBranch if config.guidance == "published" else LocalBranch
            self.local_branch = kind(config, width, heads)
            self.part_necks = nn.ModuleList(Neck(row_width) for _ in range(self.num_parts))
            self.part_classifiers = nn.ModuleList(
                classifier(row_width, num_persons) for _ in range(self.num_parts)
            )

    @property
    def feature_width(self) -> int:
        """Numbers in a clip's feature, as `embed` returns it."""
        width = 0 if self.global_branch is None else self.backbone.width
        parts = 0 if self.local_branch is None else self.num_parts
        return width + parts * self.config.clip_length * self.backbone.width

    def forward(
        self, images: Tensor, part_maps: Tensor, cameras: Tensor | None = None, keys: Tensor | None = None
    ) -> ClipOutput:
        """Run both branches.

        images    [B, T, 3, H, W], normalised by pixel_mean and pixel_std.
        part_maps [B, T, K, h, w], heat in [0, 1] (guidance published: in [-1, 1]); h and w multiples of
                  the patch grid.
        cameras   int64 [B], -1 for unknown; None: all unknown.
        keys      int64 [B], what is drawn in training depends on them alone; None: torch's generator.
        Raises KeyReIDError for shapes that do not belong to the config and for a camera out of range
        (of clips on a GPU in training: see `check_cameras`).
        """
        self.check_shapes(images, part_maps, cameras)
        waits = self.training and images.is_cuda  # to read a number there is to wait for all work in hand
        if not (cameras is None or waits or torch.compiler.is_compiling()):
            self.check_cameras(cameras)
        frames = images.shape[1]
        drawn = keys if self.training else None
        set_keys(self, frame_keys(drawn, frames))
        tokens, block_arguments = self.backbone(
            images.flatten(0, 1), None if cameras is None else cameras.repeat_interleave(frames)
        )
        out = dict.fromkeys(ClipOutput._fields)
        if self.global_branch is not None:
            feature, scores, weights = self.global_branch(tokens, frames, **block_arguments)
            out["global_feature"], out["frame_scores"] = feature.float(), scores.float()
            out["frame_weights"] = weights.detach().float()
            out["global_logits"] = self.global_classifier(self.global_neck(feature)).float()
        if self.local_branch is not None:
            heat = self.heat(part_maps)
            features, attention = self.local_branch(self.clip_tokens(tokens, frames), heat, drawn)
            out["part_features"], out["part_attention"] = features.float(), attention.float()
            out["part_weights"] = heat
            heads = zip(self.part_necks, self.part_classifiers, features.unbind(1), strict=True)
            out["part_logits"] = torch.stack([fc(neck(x)) for neck, fc, x in heads], dim=1).float()
        set_keys(self, None)
        return ClipOutput(**out)

    @torch.no_grad()
    def embed(self, images: Tensor, part_maps: Tensor, cameras: Tensor | None = None) -> Tensor:
        """The feature of each clip, after the necks, in evaluation mode: float32 [B, feature_width].

        The global feature, then the part features, each divided by the number of parts.
        Arguments and errors as for `forward`.
        """
        training = self.training
        self.eval()
        try:
            out = self(images, part_maps, cameras)
            pieces = [] if out.global_feature is None else [self.global_neck(out.global_feature)]
            if out.part_features is not None:
                pairs = zip(self.part_necks, out.part_features.unbind(1), strict=True)
                pieces += [neck(feature) / self.num_parts for neck, feature in pairs]
            return torch.cat(pieces, dim=1)
        finally:
            self.train(training)

    def heat(self, part_maps: Tensor) -> Tensor:
        """Part weights on the patch grid [B, T, K, n]; all one where keypoints are switched off."""
        pooled = pool_to_grid(part_maps.float(), self.grid)
        return pooled if self.config.kps else torch.ones_like(pooled)

    def clip_tokens(self, tokens: Tensor, frames: int) -> Tensor:
        """[B*T, prefix + n, D] -> [B, T, 1+n, D]: class token and patches, without register tokens."""
        if self.backbone.prefix > 1:
            tokens = torch.cat([tokens[:, :1], tokens[:, self.backbone.prefix :]], dim=1)
        return tokens.unflatten(0, (-1, frames))

    def check_shapes(self, images: Tensor, part_maps: Tensor, cameras: Tensor | None = None) -> None:
        """Raise KeyReIDError where clip length, frame size or number of parts is not the config's.

        And where there is not one camera, a whole number, for each clip.
        """
        expected = (self.config.clip_length, 3, *self.config.image_size)
        if images.dim() != 5 or tuple(images.shape[1:]) != expected:
            raise KeyReIDError(f"images {list(images.shape)}: expected [B, {', '.join(map(str, expected))}]")
        leading = (len(images), self.config.clip_length, self.num_parts)
        if self.local_branch is not None and (part_maps.dim() != 5 or tuple(part_maps.shape[:3]) != leading):
            raise KeyReIDError(
                f"part maps {list(part_maps.shape)}: expected [{', '.join(map(str, leading))}, h, w] "
                f"(clips, frames, parts: {', '.join(self.config.part_names)})"
            )
        if cameras is not None and (cameras.shape != images.shape[:1] or cameras.is_floating_point()):
            kind = str(cameras.dtype).removeprefix("torch.")
            raise KeyReIDError(
                f"cameras {kind} {list(cameras.shape)}: expected int64 [{len(images)}], one a clip"
            )

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
