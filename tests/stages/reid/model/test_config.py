"""Impossible combinations are errors that name the fields."""

import pytest
from pydantic import ValidationError

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID, ModelConfig
from tests.stages.reid.model.tiny import SIZES, tiny_clips, tiny_config, tiny_model


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"global_only": True, "local_only": True}, "global_only and local_only"),
        ({"global_only": True, "part_specific": True}, "part_specific"),
        ({"guidance": "published", "tcss": "time"}, "tcss time"),
        ({"guidance": "published", "tcss_shift": 3}, "tcss_shift"),
        ({"parts": 5}, "3, 4, 6"),
        ({"parts": {"tail": ["coccyx"]}}, "coccyx"),
        ({"clip_length": 0}, "clip_length"),
        ({"image_size": (0, 16)}, "image_size"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"guidance": "soft"}, "guidance"),
        ({"backbone_args": {"img_size": 64}}, "image_size"),
        ({"colour": "red"}, "colour"),
        ({"published_maps": "empty"}, "published_maps .* guidance prior"),
        ({"guidance": "published", "kps": False, "published_maps": "empty"}, "published_maps .* kps"),
        ({"tcss_shift": 3}, "tcss_shift is 3, but tcss off"),
        ({"tcss": "off", "tcss_shift": 3}, "tcss_shift is 3, but tcss off"),
        ({"global_only": True, "tcss": "sequence"}, "tcss is 'sequence', but global_only"),
        ({"guidance": "published", "global_only": True, "kps": False}, "kps is False, but global_only"),
        ({"guidance": "published", "keep": 0.7}, "keep is 0.7, but guidance published reads as released"),
        ({"guidance": "published", "part_depth": 2}, "part_depth is 2, but guidance published"),
        ({"global_only": True, "part_depth": 2}, "part_depth is 2, but global_only"),
        ({"kps": False, "keep": 0.7}, "keep is 0.7, but kps is false"),
        ({"kps": False, "part_share": 0.5}, "part_share is 0.5, but kps is false"),
        ({"part_share": 0.5, "part_depth": 0}, "part_share is 0.5, but part_depth is 0"),
        ({"local_only": True, "frame_prior": False}, "frame_prior is False, but local_only"),
        ({"keep": 0}, "keep"),
        ({"keep": 1.5}, "keep"),
        ({"part_block": -1}, "part_block"),
        ({"global_only": True, "guidance": "published", "published_maps": "empty"}, "published_maps"),
        ({"camera_scale": float("nan")}, "camera_scale"),
        ({"camera_scale": float("inf")}, "camera_scale"),
        ({"backbone_args": {"init_values": float("nan")}}, "init_values is nan"),
        ({"backbone_args": {"sizes": [1.0, float("inf")]}}, "sizes is .*inf"),
        ({"backbone_args": {"in_chans": 4}}, "in_chans is 4, but frames have 3 channels"),
    ],
)
def test_an_impossible_config_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        ModelConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_size": (30, 16)}, "30"),
        ({"backbone": "resnet18"}, "class token|resnet18"),
        ({"backbone": "vit_base_patch16_225"}, "vit_base_patch16_224"),
        ({"backbone_args": {**SIZES, "num_heads": 5}}, "num_heads|divisible"),
        ({"backbone_args": {**SIZES, "depht": 3}}, "depht"),
        ({"backbone_args": {**SIZES, "depth": 1}}, "at least 2 blocks"),
        ({"backbone_args": {**SIZES, "class_token": False, "global_pool": "avg"}}, "class token"),
        ({"backbone_args": {**SIZES, "patch_drop_rate": 0.5}}, "patch_drop_rate"),
        ({"backbone_args": {**SIZES, "attn_drop_rate": 0.2}}, "attn_drop_rate"),
        ({"backbone_args": {**SIZES, "proj_drop_rate": 0.2}}, "proj_drop_rate"),
        ({"backbone_args": {**SIZES, "pos_drop_rate": 0.2}}, "pos_drop_rate"),
        ({"backbone_args": {**SIZES, "drop_rate": 0.2}}, "drop_rate"),
        ({"backbone_args": {**SIZES, "embed_dim": 0}}, "embed_dim"),
        ({"backbone_args": {**SIZES, "num_heads": 0}}, "num_heads"),
        ({"backbone_args": {**SIZES, "patch_size": 0}}, "patch_size"),
        ({"backbone_args": {**SIZES, "reg_tokens": 2}, "guidance": "published"}, "register"),
        ({"guidance": "published", "image_size": (40, 24)}, "5x3 patches .* even number"),
        ({"guidance": "published", "image_size": (16, 16)}, "2x2 patches .* at least 5"),
        ({"vit_path": "nowhere.pth"}, "nowhere.pth"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(fields, words):
    with pytest.raises(KeyReIDError, match=words):
        KeyReID(tiny_config(**fields), 5, 3)


@pytest.mark.parametrize("fields", [{"tcss": "off"}, {"global_only": True}], ids=["tcss-off", "global-only"])
def test_an_odd_number_of_patches_is_no_fault_where_none_are_dealt(fields):
    model = tiny_model(guidance="published", image_size=(40, 24), **fields)
    assert model.embed(*tiny_clips(model)).isfinite().all()


@pytest.mark.parametrize(("persons", "cameras"), [(0, 3), (5, -1)])
def test_impossible_numbers_of_persons_and_cameras_are_refused(persons, cameras):
    with pytest.raises(KeyReIDError, match="persons"):
        KeyReID(tiny_config(), persons, cameras)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"global_only": True},
        {"local_only": True},
        {"guidance": "published"},
        {"guidance": "published", "published_maps": "empty"},
        {"guidance": "published", "global_only": True},
        {"tcss": "sequence", "tcss_shift": 3},
        {"tcss": "off"},
        {"global_only": True, "kps": False},
        {"part_block": 2, "part_depth": 1, "part_share": 0.5, "part_width": 64, "keep": 0.7},
    ],
)
def test_a_saved_config_with_all_its_fields_is_accepted_again(fields):
    config = ModelConfig(**fields)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_tcss_off_survives_yaml():
    assert ModelConfig(tcss=False).tcss_mode == "off"


def test_tcss_follows_the_guidance_when_left_out():
    assert ModelConfig().tcss_mode == "off"
    assert ModelConfig(guidance="published").tcss_mode == "sequence"


def test_patches_are_chosen_only_where_there_is_heat_to_choose_by():
    assert ModelConfig(keep=0.7).kept_share == ModelConfig(keep=0.7, global_only=True).kept_share == 0.7
    assert ModelConfig(kps=False).kept_share == ModelConfig(guidance="published").kept_share == 1.0
    assert ModelConfig(keep=1, kps=False) and ModelConfig(keep=1, guidance="published"), "as recipes have it"


def test_every_field_says_what_it_is():
    assert all(field.description for field in ModelConfig.model_fields.values())
