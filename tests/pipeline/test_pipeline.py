"""The main job: data set, poses, training, ranked answer, through the commands."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from cache import PoseCache
from tests.pipeline.conftest import TINY_SET, Evaluated, Trained

PICTURES = ("ranking.png", "part-maps.png", "loss-curve.png")


def test_a_run_folder_says_how_it_was_made(trained: Trained):
    config = yaml.safe_load((trained.run / "config.yaml").read_text())
    about = json.loads((trained.run / "environment.json").read_text())
    assert config["train"]["epochs"] == 2 and config["dataset"]["root"] == str(trained.data)
    assert about["versions"]["torch"] and about["git"]
    assert "training on 4 identities" in (trained.run / "log.txt").read_text()
    assert (trained.run / "metrics.jsonl").is_file() and list((trained.run / "tensorboard").iterdir())


def test_training_says_what_the_start_weights_gave(trained: Trained, keyreid, tmp_path):
    """The run's own trunk as start weights: its last block is not the trunk's, and that is said."""
    state = load_file(trained.run / "model.safetensors")
    trunk = {k.removeprefix("backbone.vit."): v for k, v in state.items() if k.startswith("backbone.vit.")}
    save_file(trunk | {"head.weight": state["global_classifier.weight"]}, tmp_path / "vit.safetensors")
    where = ("--data-root", trained.data, "--cache", trained.poses, "--runs", tmp_path)
    result = keyreid("train", *where, "--vit-path", tmp_path / "vit.safetensors", *TINY_SET)
    assert result.code == 0, result.err
    (run,) = (tmp_path / "walkers").iterdir()
    log = (run / "log.txt").read_text()
    loaded = f"{len(trunk)} entries loaded"
    for words in (loaded, "not in the file: blocks.1.attn", "1 not used: head.weight"):
        assert words in result.err and words in log


def test_eval_takes_the_newest_run_and_draws_its_answer(trained: Trained, keyreid, monkeypatch, tmp_path):
    monkeypatch.chdir(trained.folder)
    out = tmp_path / "eval"
    result = keyreid("eval", "--baselines", "-o", out)
    assert result.code == 0, result.err
    for words in ("trained network", "untrained network", "colour histograms", "queries-dropped", "Rank-1"):
        assert words in result.out
    report = json.loads((out / "metrics.json").read_text())
    assert set(report["protocols"]) == {"official", "queries-kept", "queries-dropped"}
    assert str(trained.run) in report["checkpoint"] or trained.run.name in report["checkpoint"]
    for name in PICTURES:
        picture = cv2.imread(str(out / name))
        assert picture is not None and picture.std() > 5, f"{name} is empty"
        assert str(out / name) in result.out


def test_scoring_again_from_embeddings_gives_the_same_scores(evaluated: Evaluated, keyreid, tmp_path):
    before = json.loads((evaluated.run / "eval/metrics.json").read_text())
    result = keyreid("eval", "--embeddings", evaluated.run / "eval/embeddings.h5", "-o", tmp_path)
    assert result.code == 0, result.err
    after = json.loads((tmp_path / "metrics.json").read_text())
    assert after["protocols"] == before["protocols"]


def test_a_second_extraction_finds_nothing_to_do(trained: Trained, keyreid):
    shards = {p: p.stat().st_mtime_ns for p in trained.poses.iterdir()}
    result = keyreid("extract-poses", "--data-root", trained.data, "--cache", trained.poses)
    assert result.code == 0, result.err
    assert {p: p.stat().st_mtime_ns for p in trained.poses.glob("shard-*")}.items() <= shards.items()


def test_a_finished_run_can_be_resumed_for_more_epochs(trained: Trained, keyreid, tmp_path):
    import shutil

    run = tmp_path / "walkers" / trained.run.name
    shutil.copytree(trained.run, run)
    refused = keyreid("train", "--resume", "--run", run, "--epochs", 3)
    assert refused.code == 2 and "epochs" in refused.err and "--allow-config-change" in refused.err
    allowed = keyreid("train", "--resume", "--run", run, "--epochs", 3, "--allow-config-change")
    assert allowed.code == 0, allowed.err
    epochs = {json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()}
    assert epochs == {0, 1, 2}


def test_real_people_go_through_the_whole_pipeline(real_data: Path, keyreid, tmp_path):
    """mini-mars: six real people in MARS layout. It proves that the stages run on real frames, no more."""
    data, poses = real_data / "mini-mars", tmp_path / "poses"
    where = ("--dataset", "mini-mars", "--data-root", data, "--cache", poses)
    assert keyreid("extract-poses", *where).code == 0
    cache = PoseCache.open(poses)
    assert len(cache) == 501
    heat = cache.read_heatmaps(cache.frames()[::50])
    assert (heat.max(axis=(2, 3)) > 60).mean() > 0.3, "hardly a joint is seen on real people"
    train = keyreid("train", *where, "--runs", tmp_path / "runs", *TINY_SET)
    assert train.code == 0, train.err
    evaluated = keyreid("eval", *where, "--runs", tmp_path / "runs")
    assert evaluated.code == 0, evaluated.err
    assert "mini-mars, split -, protocol official" in evaluated.out


@pytest.mark.parametrize("flag", ["--json", None])
def test_env_prints_what_a_bug_report_needs(keyreid, flag):
    result = keyreid("env", *([flag] if flag else []))
    assert result.code == 0
    for word in ("python", "torch", "mmpose", "cores", "git"):
        assert word in result.out


def test_rescoring_uses_the_config_of_the_run_and_its_own_folder(trained: Trained, keyreid, tmp_path):
    run = Path(shutil.copytree(trained.run, tmp_path / "walkers" / trained.run.name))
    assert keyreid("eval", "--run", run, "--set", "eval.distance=cosine").code == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["eval"]["distance"] = "cosine"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = (run / "eval/metrics.json").read_text()
    assert keyreid("eval", "--embeddings", run / "eval/embeddings.h5").code == 0
    again = json.loads((run / "eval/rescored/metrics.json").read_text())
    assert again["distance"] == "cosine" and again["protocols"] == json.loads(before)["protocols"]
    assert (run / "eval/metrics.json").read_text() == before


def test_several_embeddings_keep_their_results_apart_and_their_mean(evaluated: Evaluated, keyreid, tmp_path):
    file = evaluated.run / "eval/embeddings.h5"
    result = keyreid("eval", "--embeddings", file, "--embeddings", file, "-o", tmp_path / "b")
    assert result.code == 0, result.err
    assert (tmp_path / "b/00/metrics.json").is_file() and (tmp_path / "b/01/metrics.json").is_file()
    mean = json.loads((tmp_path / "b/splits.json").read_text())
    assert mean["protocols"]["official"]["deviation"]["mAP"] == 0
    assert keyreid("eval", "--embeddings", file, "--run", evaluated.run).code == 2


def test_resume_without_a_name_takes_a_stopped_run_and_keeps_an_allowed_change(
    trained: Trained, keyreid, tmp_path
):
    runs = tmp_path / "runs"
    finished = Path(shutil.copytree(trained.run, runs / "walkers/20990101-finished"))
    stopped = Path(shutil.copytree(trained.run, runs / "walkers/20980101-stopped"))
    (stopped / "model.safetensors").unlink()
    result = keyreid("train", "--resume", "--runs", runs, "--epochs", 3, "--allow-config-change")
    assert result.code == 0 and str(stopped) in result.out, result
    assert yaml.safe_load((stopped / "config.yaml").read_text())["train"]["epochs"] == 3
    assert keyreid("train", "--resume", "--run", stopped, "--runs", runs).code == 0, (
        "its own config is the new one"
    )
    assert yaml.safe_load((finished / "config.yaml").read_text())["train"]["epochs"] == 2
