"""`train --resume` through the command line: what it needs, and what a refusal leaves alone."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file, save_file

from tests.pipeline.conftest import TINY_SET, Trained

MORE = ("--epochs", 3, "--allow-config-change")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(trained.run, tmp_path / "runs/walkers/20980101-120000-small"))


def epochs(run: Path) -> set[int]:
    return {json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()}


def test_a_resume_does_without_the_file_that_training_started_from(trained: Trained, keyreid, tmp_path):
    state = load_file(trained.run / "model.safetensors")
    trunk = {k.removeprefix("backbone.vit."): v for k, v in state.items() if k.startswith("backbone.vit.")}
    save_file(trunk, tmp_path / "vit.safetensors")
    where = ("--data-root", trained.data, "--cache", trained.poses, "--runs", tmp_path / "runs")
    first = keyreid("train", *where, "--vit-path", tmp_path / "vit.safetensors", *TINY_SET)
    assert first.code == 0, first.err
    (tmp_path / "vit.safetensors").unlink()
    (run,) = (tmp_path / "runs/walkers").iterdir()
    result = keyreid("train", "--resume", "--run", run, *MORE)
    assert result.code == 0, result.err
    assert epochs(run) == {0, 1, 2}


def test_a_resume_loads_no_pretrained_weights(run: Path, keyreid):
    """They do not fit this tiny network, and may need the internet."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["pretrained"] = True
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    result = keyreid("train", "--resume", "--run", run, *MORE)
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["train.epochs=3"], "train.epochs: 2 -> 3"),
        (["train.optim.name=sgd", "--allow-config-change"], "train.optim.name = adamw, not sgd"),
        (["model.attention_width=8", "--allow-config-change"], "model.attention_width"),
    ],
    ids=["not allowed", "never allowed", "does not fit"],
)
def test_a_refused_resume_leaves_the_run_as_it_was(run: Path, keyreid, change, words):
    kept = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "log.txt"}
    result = keyreid("train", "--resume", "--run", run, "--set", *change)
    assert result.code == 2 and words in result.err, result.err
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "log.txt"} == kept


def test_an_allowed_change_is_written_down_whatever_it_is(run: Path, keyreid, trained: Trained, tmp_path):
    shutil.copytree(trained.poses, tmp_path / "elsewhere")
    result = keyreid(
        "train", "--resume", "--run", run, "--cache", tmp_path / "elsewhere", "--allow-config-change"
    )
    assert result.code == 0, result.err
    assert yaml.safe_load((run / "config.yaml").read_text())["cache"] == str(tmp_path / "elsewhere")


def test_a_resume_before_the_first_checkpoint_starts_again_with_the_config_given(run: Path, keyreid):
    shutil.rmtree(run / "checkpoints")
    result = keyreid("train", "--resume", "--run", run, "--epochs", 1)
    assert result.code == 0, result.err
    assert epochs(run) == {0}
    assert yaml.safe_load((run / "config.yaml").read_text())["train"]["epochs"] == 1
