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


def test_tcss_off_survives_yaml():
    assert ModelConfig(tcss=False).tcss_mode == "off"


def test_tcss_follows_the_guidance_when_left_out():
    assert ModelConfig().tcss_mode == "time"
    assert ModelConfig(guidance="published").tcss_mode == "sequence"


def test_every_field_says_what_it_is():
    assert all(field.description for field in ModelConfig.model_fields.values())
