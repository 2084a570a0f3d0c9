"""A file of ViT weights says which network it is for."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import timm
import torch

from stages.reid.model.vit_file import describe
from tests.stages.reid.model.test_vit_weights import clip_names, vit


def test_a_file_tells_its_sizes_and_a_backbone_for_it():
    small = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    about = describe(small)
    assert (about.width, about.depth, about.patch[-1], about.positions[-2]) == (384, 12, 16, 197)
    assert about.backbone() == "vit_small_patch16_224"
    assert str(about) == (
        "a ViT, width 384, 12 blocks, patches of 16x16, 1 class and 0 register tokens, 197 positions"
    )
    assert describe(vit().state_dict()).backbone() is None  # no size of timm's


def test_clip_and_stems_and_strangers_are_told_apart():
    clip = describe(clip_names(vit(pre_norm=True).state_dict(), "visual."))
    assert clip.clip and (clip.width, clip.depth, clip.class_tokens) == (32, 2, 1)
    assert str(clip).startswith("CLIP's image encoder, width 32, 2 blocks")
    stem = vit().state_dict() | {"patch_embed.conv.0.weight": torch.zeros(64, 3, 7, 7)}
    assert describe(stem).stem and "a convolution stem" in str(describe(stem))
    assert str(describe({"conv1.weight": torch.zeros(64, 3, 7, 7)})) == "no ViT, by its names"
