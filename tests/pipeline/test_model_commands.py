"""`keyreid model-info` and `keyreid convert-weights`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache.errors import KeyReIDError
from cache.writer import write_cache
from pipeline.cli import keyreid
from stages.datasets import load_dataset
from stages.datasets.walkers import make
from stages.datasets.walkers.config import WalkersConfig
from stages.reid.model import load_model
from stages.reid.scoring.embeddings import Embeddings
from tests.stages.reid.model.test_published import hollow_state


def call(*arguments: str) -> str:
    return CliRunner().invoke(keyreid, arguments, catch_exceptions=False).output


def poses_of(root: Path, folder: Path) -> Path:
    """A pose cache of every frame of a walkers data set, with heat and keypoints drawn at random."""
    frames = load_dataset("walkers", root).frames()
    draw = np.random.default_rng(0)
    keypoints = draw.random((len(frames), 17, 3), dtype=np.float32) * [128, 256, 1]
    heat = draw.integers(256, size=(len(frames), 17, 64, 32), dtype=np.uint8)
    write_cache(folder, frames, heat, keypoints.astype(np.float32), np.full((len(frames), 2), (256, 128)))
    return folder


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


@pytest.mark.parametrize("maps", ["gaussian", pytest.param("empty", marks=pytest.mark.slow)])
def test_released_weights_are_converted_and_evaluated_with_either_maps(tmp_path, keyreid, maps):
    released, out = tmp_path / "released.pth", tmp_path / "out.safetensors"
    torch.save(hollow_state(persons=7, cameras=2), released)
    try:
        converted = keyreid("convert-weights", released, "-o", out, "--maps", maps)
        assert "7 identities, 2 cameras" in converted.out
        model, extra = load_model(out)
        assert model.config.guidance == "published" and model.config.published_maps == maps
        assert extra["source"] == "released.pth"
        assert (model.part_classifiers[5].weight == 0.5).all() and model.num_persons == 7
        del model
        sizes = {"identities": 4, "cameras": 2, "tracklets": 1, "min_frames": 4, "max_frames": 4}
        data = make.run(WalkersConfig(seed=5, distractors=0, junk=0, **sizes), tmp_path / "walkers")
        poses = poses_of(data, tmp_path / "poses")
        where = ["--data-root", data, "--cache", poses, "--runs", tmp_path / "runs", "-o", tmp_path / "eval"]
        result = keyreid("eval", "--run", out, *where)
        assert result.code == 0, result.err
        metrics = json.loads((tmp_path / "eval/metrics.json").read_text())
        assert all(0 <= scores["mAP"] <= 1 for scores in metrics["protocols"].values())
        visible = Embeddings.load(tmp_path / "eval/embeddings.h5").visibility
        assert visible.max() > 0.1 if maps == "gaussian" else not visible.any()
    finally:
        out.unlink(missing_ok=True)  # 0.9 GB


def test_convert_weights_names_a_wrong_ending(tmp_path):
    with pytest.raises(KeyReIDError, match="safetensors"):
        call("convert-weights", str(tmp_path / "a.pth"), "-o", str(tmp_path / "b.pth"))
