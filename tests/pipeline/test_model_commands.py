"""`keyreid model-info` and `keyreid convert-weights`."""

import json

import pytest
import torch
from click.testing import CliRunner

from cache.errors import KeyReIDError
from pipeline.cli import keyreid
from stages.reid.model import load_model
from tests.stages.reid.model.test_published import hollow_state


def call(*arguments: str) -> str:
    return CliRunner().invoke(keyreid, arguments, catch_exceptions=False).output


def test_model_info_prints_every_part_of_the_network():
    output = call("model-info", "--dataset", "walkers")
    for part in ("trunk", "global branch", "local branch", "necks", "classifiers", "all"):
        assert part in output
    assert "vit_tiny_patch16_224" in output


def test_model_info_follows_the_recipe():
    output = call("model-info", "--dataset", "walkers", "--set", "model.global_only=true", "--json")
    costs = json.loads(output)
    assert costs["local branch"] == {"parameters": 0, "operations": 0}
    assert costs["all"]["parameters"] == sum(c["parameters"] for n, c in costs.items() if n != "all")


def test_convert_weights_makes_a_checkpoint_of_the_released_file(tmp_path):
    released, out = tmp_path / "released.pth", tmp_path / "out.safetensors"
    torch.save(hollow_state(persons=7, cameras=2), released)
    try:
        output = call("convert-weights", str(released), str(out), "--maps", "empty")
        assert "7 identities, 2 cameras" in output
        model, extra = load_model(out)
        assert model.config.guidance == "published" and model.config.published_maps == "empty"
        assert extra["source"] == "released.pth"
        assert (model.part_classifiers[5].weight == 0.5).all() and model.num_persons == 7
    finally:
        out.unlink(missing_ok=True)  # 0.9 GB


def test_convert_weights_names_a_wrong_ending(tmp_path):
    with pytest.raises(KeyReIDError, match="safetensors"):
        call("convert-weights", str(tmp_path / "a.pth"), str(tmp_path / "b.pth"))
