"""Which of timm's networks can be the backbone: those give timm's own class token, others a reason."""

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID
from stages.reid.model.backbone import Backbone, build_vit
from stages.reid.model.class_row import class_row
from stages.reid.model.vit_families import of_block
from tests.stages.reid.model.tiny import (
    SIZES,
    keeping,
    relative,
    tiny_clips,
    tiny_config,
    tiny_model,
    trained,
)

PLAIN = [
    "vit_tiny_patch16_224",
    "vit_tiny_r_s16_p8_224",  # patches of a ResNet's map
    "flexivit_small",
    "vit_base_patch16_clip_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_18x2_224",  # parallel blocks
    "vit_relpos_medium_patch16_cls_224",
    "vit_relpos_base_patch16_clsgap_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_dinov3",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_mixed_224",
    "vit_small_patch16_rope_mixed_ape_224",
    "beit_base_patch16_224",
    "beitv2_base_patch16_224",
]
OTHERS = {
    "cait_xxs24_224": "Cait",
    "coat_tiny": "CoaT",
    "convit_tiny": "ConVit",
    "crossvit_tiny_240": "CrossVit",
    "mvitv2_base_cls": "MultiScaleVit",
    "naflexvit_base_patch16_gap": "NaFlexVit",
    "pit_ti_224": "PoolingVisionTransformer",
    "resnet18": "ResNet",
    "tnt_s_patch16_224": "TNT",
    "volo_d1_224": "VOLO",
    "xcit_nano_12_p16_224": "Xcit",
}


def roughened(vit):
    """Weights large enough for positions, their biases and rotations to matter."""
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return vit


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", PLAIN)
def test_the_class_token_is_that_of_timms_own_forward_pass(name, training):
    torch.manual_seed(0)
    config = tiny_config(
        backbone=name, backbone_args={**SIZES, "depth": 3}, image_size=(64, 32), drop_path=0, keep=1.0
    )
    vit = roughened(build_vit(config)[0]).train(training)
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        expected = getattr(vit, "fc_norm", torch.nn.Identity())(vit.forward_features(images))[:, 0]
        backbone = Backbone(vit, num_cameras=0, camera_scale=1.0)
        block, norm = backbone.take_last()
        tokens, arguments = backbone.embed(images, None)
        tokens = backbone.run(tokens, arguments, 0)
        found = norm(class_row(block, tokens, **backbone.last_arguments(arguments)))
    assert tokens.shape == (2, backbone.prefix + backbone.grid[0] * backbone.grid[1], 32)
    assert relative(found, expected) < 1e-5


DROPPING = [name for name in PLAIN if not keeping(name)]


@pytest.mark.parametrize("name", DROPPING)
def test_kept_patches_are_seen_as_if_the_others_were_masked_out(name):
    torch.manual_seed(0)
    config = tiny_config(backbone=name, backbone_args={**SIZES, "depth": 3}, image_size=(64, 32), drop_path=0)
    backbone = Backbone(roughened(build_vit(config)[0]).eval(), num_cameras=0, camera_scale=1.0)
    patches = backbone.grid[0] * backbone.grid[1]
    kept = torch.stack([torch.randperm(patches)[: patches // 2].sort().values for _ in range(2)])
    seen = torch.ones(2, backbone.prefix + patches, dtype=torch.bool)
    seen[:, backbone.prefix :] = torch.zeros(2, patches, dtype=torch.bool).scatter(1, kept, True)
    mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None, None]
    with torch.no_grad():
        block, _ = backbone.take_last()
        tokens, arguments = backbone.embed(torch.randn(2, 3, 64, 32), None)
        some, own = backbone.keep(tokens, arguments, kept)
        some = backbone.run(some, own, 0)
        some = block(some, **backbone.last_arguments(own))
        for number, one in enumerate([*backbone.vit.blocks, block]):
            tokens = one(tokens, **of_block(backbone.vit, arguments, number), attn_mask=mask)
    assert relative(some, tokens[seen].view(some.shape)) < 1e-5


@pytest.mark.parametrize("name", [name for name in PLAIN if keeping(name)])
def test_a_family_with_a_bias_for_every_pair_refuses_to_drop_patches(name):
    with pytest.raises(KeyReIDError, match=rf"backbone '{name}': .* for every pair .* set model\.keep to 1"):
        KeyReID(tiny_config(backbone=name), 5, 3)


@pytest.mark.parametrize("name", ["vit_relpos_medium_patch16_cls_224", "vit_small_patch16_rope_mixed_224"])
def test_every_weight_of_a_family_with_other_positions_is_trained(name):
    model = tiny_model(backbone=name, **keeping(name))
    out = model(*tiny_clips(model))
    sum(t.square().sum() for t in trained(out)).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("name", OTHERS)
def test_another_network_is_refused_with_its_class_and_those_that_do(name):
    with pytest.raises(KeyReIDError) as error:
        KeyReID(tiny_config(backbone=name), 5, 3)
    for words in (
        repr(name),
        f"class {OTHERS[name]};",
        "with a class token (VisionTransformer, ",
        "Eva, Beit",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize("name", ["test_vit_relpos", "vit_srelpos_small_patch16_224", "vitamin_small_224"])
def test_a_vit_without_a_class_token_is_refused_as_such(name):
    with pytest.raises(KeyReIDError, match=r"without a class token; expected one of timm's plain ViTs"):
        KeyReID(tiny_config(backbone=name, backbone_args={"depth": 2}, image_size=(64, 32), keep=1.0), 5, 3)


def test_shared_relative_positions_reach_every_block():
    args = {**SIZES, "class_token": True, "global_pool": "token"}
    model = tiny_model(backbone="vit_srelpos_small_patch16_224", backbone_args=args, keep=1.0).eval()
    images, maps, cameras = tiny_clips(model)
    before = model(images, maps, cameras).global_feature
    with torch.no_grad():
        for parameter in model.backbone.vit.shared_rel_pos.parameters():
            parameter.zero_()
    assert relative(model(images, maps, cameras).global_feature, before) > 1e-4
