"""`eval` scores the run's last weights and their moving average side by side."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import Evaluated, Trained


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, not yet evaluated. Its model is its last weights."""
    return Path(shutil.copytree(trained.run, tmp_path / "walkers/20980101-120000-small"))


@pytest.fixture
def again(evaluated: Evaluated, tmp_path: Path) -> Path:
    """A copy of the evaluated run."""
    return Path(shutil.copytree(evaluated.run, tmp_path / "walkers/20980101-120000-small"))


def scores(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_the_average_is_scored_beside_the_last_weights(evaluated: Evaluated):
    run, out = evaluated.run, evaluated.out
    assert "trained network" in out and "its moving average" in out
    assert "its last weights" not in out, "those are the trained network"
    headline, beside = scores(run / "eval"), scores(run / "eval/ema")
    assert headline["checkpoint"].endswith("model.safetensors")
    assert beside["checkpoint"].endswith("ema.safetensors")
    assert beside["protocols"].keys() == headline["protocols"].keys()
    assert (run / "eval/ema/queries.csv").is_file(), "what compare needs"


def test_weights_asked_for_are_scored_alone_and_overwrite_nothing(again: Path, keyreid):
    run = again
    kept = {path: path.read_bytes() for path in (run / "eval").rglob("*") if path.is_file()}
    result = keyreid("eval", "--run", run, "--weights", "ema")
    assert result.code == 0 and "its moving average" not in result.out, result
    assert {path: path.read_bytes() for path in (run / "eval").rglob("*") if path.is_file()} == kept
    assert scores(run / "eval-ema")["protocols"] == scores(run / "eval/ema")["protocols"]


def test_scores_beside_never_outlive_those_they_stand_beside(again: Path, keyreid):
    run = again
    rescored = keyreid("eval", "--embeddings", run / "eval/ema/embeddings.h5", "-o", run / "eval/ema")
    assert rescored.code == 0, rescored.err
    result = keyreid("eval", "--run", run, "--weights", "model", "--distance", "cosine")
    assert result.code == 0 and not (run / "eval/ema/metrics.json").exists(), result.err


def test_a_run_whose_model_is_its_average_shows_the_last_weights_beside_it(run: Path, keyreid):
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(run / f"ema{suffix}", run / f"model{suffix}")
    result = keyreid("eval", "--run", run)
    assert result.code == 0 and "its last weights" in result.out, result
    assert not (run / "eval/ema").exists() and (run / "eval/last/metrics.json").is_file()


def test_a_run_without_an_average_has_nothing_beside_it(run: Path, keyreid):
    (run / "ema.safetensors").unlink()
    result = keyreid("eval", "--run", run)
    assert result.code == 0 and "trained network" not in result.out, result


def test_several_runs_give_the_mean_of_the_averages_too(run: Path, keyreid, tmp_path):
    result = keyreid("eval", "--run", run, "--run", run, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    answer = result.out.split("Mean of 2, protocol official")[1]
    assert "trained network" in answer and "its moving average" in answer
