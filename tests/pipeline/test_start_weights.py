"""Start weights from the command line: what a file is, and a recipe that expects one and gets none."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import argparse

import pytest
import timm
import torch
from click.testing import CliRunner

from pipeline.cli import keyreid
from pipeline.commands.train import warn_of_random_start
from pipeline.config import CONFIGS, load_recipe


@pytest.fixture(scope="module")
def trans_reid(tmp_path_factory):
    """As TransReID saves a ViT-S/16 of 256x128, with its arguments beside it."""
    path = tmp_path_factory.mktemp("weights") / "transreid.pth"
    vit = timm.create_model("vit_small_patch16_224", img_size=(256, 128), num_classes=0)
    state = {f"base.{name}": value for name, value in vit.state_dict().items()}
    torch.save({"model": state, "args": argparse.Namespace(lr=0.008)}, path)
    return path


def test_model_info_says_what_a_file_is_and_what_would_be_loaded(trans_reid):
    fits = ("--dataset", "mars", "--set", "model.backbone=vit_small_patch16_224")
    answer = CliRunner().invoke(keyreid, ["model-info", *fits, "--vit-path", str(trans_reid)])
    assert answer.exit_code == 0
    assert "a ViT, width 384, 12 blocks, patches of 16x16, 1 class and 0 register tokens" in answer.output
    assert "without 'base.'; goes with model.backbone=vit_small_patch16_224" in answer.output
    assert "into vit_small_patch16_224: " in answer.output and "150 entries loaded" in answer.output


def test_model_info_says_why_a_file_does_not_fit_and_what_would(trans_reid):
    answer = CliRunner().invoke(keyreid, ["model-info", "--dataset", "mars", "--vit-path", str(trans_reid)])
    assert answer.exit_code != 0 and "a ViT, width 384" in answer.output
    assert "model.backbone=vit_small_patch16_224" in str(answer.exception)


MEANT = [path.stem for path in sorted(CONFIGS.glob("*.yaml")) if "start_weights:" in path.read_text()]


@pytest.mark.parametrize("name", MEANT)
def test_recipes_for_trained_weights_warn_where_none_are_given(name, capsys):
    assert len(MEANT) >= 8
    recipe = load_recipe(None, CONFIGS / f"{name}.yaml")
    warn_of_random_start(recipe)
    said = capsys.readouterr().err
    assert said.startswith(f"WARNING: this recipe is meant to start from {recipe.start_weights}")
    assert "--vit-path FILE" in said


def test_nothing_is_said_where_weights_are_given_or_none_are_meant(trans_reid, capsys):
    recipe = load_recipe("folder")
    given = recipe.model_copy(update={"model": recipe.model.model_copy(update={"vit_path": trans_reid})})
    random = recipe.model_copy(update={"start_weights": None})
    for quiet in (given, random, load_recipe("walkers"), load_recipe("mini-mars")):
        warn_of_random_start(quiet)
    assert capsys.readouterr().err == ""


def test_training_warns_before_anything_else(tmp_path):
    words = ["train", "--dataset", "folder", "--data-root", str(tmp_path / "no")]
    answer = CliRunner().invoke(keyreid, words)
    assert "WARNING: this recipe is meant to start from jx_vit_base" in answer.output
