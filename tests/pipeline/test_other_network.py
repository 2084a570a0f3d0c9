"""What the user types about the network must be what the checkpoint holds."""

from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import TINY_SET, Trained

OTHER = ("--set", "model.parts=3", "--set", "model.guidance=published")


@pytest.fixture
def where(trained: Trained, tmp_path: Path) -> list:
    return ["--data-root", trained.data, "--cache", trained.poses, "-o", tmp_path / "out"]


@pytest.mark.parametrize("given", ["run", "file"])
@pytest.mark.parametrize(
    ("words", "differences"),
    [
        (OTHER, ("parts is 6, expected 3", "guidance is 'prior', expected 'published'")),
        (("--set", "model.backbone_args.depth=3"), ("backbone_args.depth is 2, expected 3",)),
        (("--set", "model={kps: false}"), ("kps is True, expected False",)),
    ],
)
def test_eval_refuses_a_typed_value_that_the_checkpoint_does_not_have(
    trained: Trained, where, keyreid, tmp_path, given, words, differences
):
    path = trained.run if given == "run" else trained.run / "model.safetensors"
    result = keyreid("eval", "--run", path, *where, *words)
    assert result.code == 2, result
    assert all(difference in result.err for difference in differences), result.err
    assert result.err.count(" expected ") == len(differences), "what nobody typed is not compared"
    assert not (tmp_path / "out").exists()


def test_a_config_file_given_by_path_is_typed(trained: Trained, where, keyreid, tmp_path):
    content = {"dataset": {"name": "walkers"}, "model": {"clip_length": 8, "image_size": [64, 32]}}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump(content))
    result = keyreid("eval", "--run", trained.run, "--config", recipe, *where)
    assert result.code == 2 and "clip_length is 4, expected 8" in result.err, result.err
    assert "image_size" not in result.err and "backbone" not in result.err


def test_every_run_is_compared_before_the_first_is_scored(trained: Trained, where, keyreid, tmp_path):
    result = keyreid("eval", "--run", trained.run, "--run", trained.run, *where, *OTHER)
    assert result.code == 2 and not (tmp_path / "out").exists()


def test_the_same_values_typed_again_are_no_fault_and_report_compares_too(trained: Trained, where, keyreid):
    same = [*TINY_SET, "--set", "model.parts=6", "--set", "model.tcss=off"]
    result = keyreid("eval", "--run", trained.run, *where[:4], *same)
    assert result.code == 0, result.err
    refused = keyreid("report", "--run", trained.run, *where[:4], "--no-pictures", *OTHER)
    assert refused.code == 2 and "parts is 6, expected 3" in refused.err, refused.err
    assert keyreid("report", "--run", trained.run, *where[:4], "--no-pictures", *same).code == 0
