"""One small evaluated run, made by the real stages from an untrained network."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cache import PoseCache
from stages.datasets.tracklet import Dataset
from stages.reid import evaluate
from stages.reid.evaluate import EvalConfig
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.weights import save_model
from stages.reid.scoring.embed_set import Checkpoint
from stages.report import build
from stages.report.cards import Source

MODEL = ModelConfig(
    backbone="vit_tiny_patch16_224",
    backbone_args={"patch_size": 16, "depth": 2, "embed_dim": 32, "num_heads": 2},
    image_size=(64, 32),
)


@dataclass
class Evaluated:
    """An evaluated run with what it was evaluated on, and its report."""

    run: Path
    dataset: Dataset
    cache: PoseCache
    report: Path

    @property
    def source(self) -> Source:
        return Source(self.dataset, self.cache)


def make_run(folder: Path, dataset: Dataset, cache: PoseCache, **changes) -> Path:
    """A run folder as training and evaluation leave it, with an untrained network.

    Persons 4 and 8 are set apart from all others: their queries come out right, the rest wrong.
    """
    torch.manual_seed(0)
    model = KeyReID(MODEL.model_copy(update=changes), 4, len(dataset.cameras()))
    save_model(model, folder / "model.safetensors", cameras=list(dataset.cameras()))
    config = EvalConfig(workers=0, bootstrap=50)
    tested = Checkpoint.load(folder / "model.safetensors", "cpu")
    embeddings = evaluate.embed_dataset(tested, config, dataset, cache, dataset.cameras())
    embeddings.features[embeddings.persons == 4] += 1
    embeddings.features[embeddings.persons == 8] -= 1
    embeddings.save(folder / "eval" / "embeddings.h5")
    evaluate.score(embeddings, config, folder / "eval")
    rate = np.linspace(1e-3, 1e-5, 700)
    lines = [
        {
            "kind": "train",
            "step": i,
            "epoch": i // 70,
            "loss": 1000 * float(r),
            "accuracy": i / 700,
            "learning_rate": r,
        }
        for i, r in enumerate(rate, 1)
    ]
    lines.append({"kind": "validation", "step": 700, "epoch": 9, "mean_ap": 0.5, "rank_1": 0.25})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 7')
    (folder / "config.yaml").write_text("name: small\nmodel: {parts: 6}\ntrain: {loss: {margin: null}}\n")
    versions = {"command": ["keyreid", "train"], "git": "abc", "versions": {"torch": "2.13.0"}}
    (folder / "environment.json").write_text(json.dumps(versions))
    return folder


@pytest.fixture(scope="session")
def evaluated(walkers, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Read only; `own_run` gives a copy to damage."""
    dataset, cache = walkers
    run = make_run(tmp_path_factory.mktemp("runs") / "20260101-small", dataset, cache)
    return Evaluated(run, dataset, cache, build.run(run, Source(dataset, cache)))


@pytest.fixture
def own_run(evaluated: Evaluated, tmp_path: Path) -> Evaluated:
    run = tmp_path / evaluated.run.name
    shutil.copytree(evaluated.run, run)
    return replace(evaluated, run=run, report=run / build.NAME)
