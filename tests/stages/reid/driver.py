"""Trains the tiny network of these tests in a process of its own, which tests may kill."""

import os
import resource
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODEL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 16},
    "image_size": [64, 32],
    "clip_length": 2,
    "attention_width": 16,
}
TRAIN = {
    "epochs": 3,
    "device": "cpu",
    "sampler": {"identities": 2, "tracklets": 2},
    "loader": {"workers": 0},
    "optim": {"name": "adamw", "lr": 1e-3, "bias_lr_factor": 1.0, "clip_norm": 5.0},
    "schedule": {"warmup_epochs": 1, "every": "step"},
    "ema": {"decay": 0.99},
    "log_every": 1,
    "checkpoint": {"every_epochs": 1},
}


@dataclass(frozen=True)
class Job:
    """One call of `run` on the tiny data set in `data`, in process `rank` of `world`."""

    data: Path
    run_dir: Path
    train: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    allow_config_change: bool = False
    rank: int = 0
    world: int = 1
    port: int = 0
    largest_file: int = 0  # bytes; what would be larger meets a full disk


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings, the second one's values winning."""
    out = dict(base)
    for key, value in more.items():
        out[key] = (
            merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
        )
    return out


def dataset(data: Path):
    """The tiny data set that conftest writes: everything is for training."""
    from stages.datasets.tracklet import Dataset, Tracklet

    tracklets: dict[str, list[str]] = {}
    for path in sorted((data / "frames").glob("*.jpg")):
        tracklets.setdefault(path.name[:11], []).append(f"frames/{path.name}")
    train = tuple(Tracklet(tuple(f), int(name[:4]), int(name[5]), name) for name, f in tracklets.items())
    return Dataset("tiny", data, train, (), ())


def run_job(job: Job) -> None:
    """Train. A mistake in the input ends in exit code 2, its message in error.txt."""
    if job.world > 1:
        os.environ.update(
            RANK=str(job.rank), LOCAL_RANK=str(job.rank), WORLD_SIZE=str(job.world),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(job.port),
        )  # fmt: skip
    import logging

    import torch

    from cache import PoseCache
    from cache.errors import KeyReIDError
    from stages.reid.model import ModelConfig
    from stages.reid.train import run
    from stages.reid.training.config import TrainConfig

    torch.set_num_threads(1)
    if job.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    job.run_dir.mkdir(parents=True, exist_ok=True)
    sys.stderr = (job.run_dir / f"stderr-{job.rank}.txt").open("a", buffering=1)
    logging.basicConfig(filename=job.run_dir / f"log-{job.rank}.txt", level=logging.INFO)
    try:
        run(
            TrainConfig(**merged(TRAIN, job.train)),
            ModelConfig(**merged(MODEL, job.model)),
            dataset(job.data),
            PoseCache.open(job.data / "cache"),
            job.run_dir,
            resume=job.resume,
            allow_config_change=job.allow_config_change,
            show_progress=False,
        )
    except KeyReIDError as error:
        (job.run_dir / "error.txt").write_text(str(error))
        raise SystemExit(2) from None
