"""Commands as a user calls them, and one small run that the tests of this folder share."""

import contextlib
import io
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import cli

# A network and a schedule small enough for seconds.
TINY = (
    "train.log_every=1",
    "model.backbone_args={patch_size: 16, depth: 2, embed_dim: 32, num_heads: 2}",
    "model.image_size=[64, 32]",
    "train.epochs=2",
    "train.sampler.identities=2",
    "train.sampler.tracklets=2",
    "train.schedule.warmup_epochs=0",
)
TINY_SET = [word for value in TINY for word in ("--set", value)]


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def keyreid(monkeypatch, capfd):
    """keyreid("train", "--epochs", 1) -> exit code and what was printed, as from a terminal."""

    def call(*words) -> Result:
        monkeypatch.setattr(sys, "argv", ["keyreid", *map(str, words)])
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@dataclass
class Trained:
    """A working folder in which every stage up to training has run: data, poses and runs are below it."""

    folder: Path
    data: Path
    poses: Path
    run: Path


@pytest.fixture(scope="session")
def trained(walkers_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Stage one with the shipped weights, then two epochs of a tiny network."""
    folder = tmp_path_factory.mktemp("work")
    data, poses, runs = folder / "data/walkers", folder / "poses/walkers", folder / "runs"
    shutil.copytree(walkers_tiny, data)
    where = ["--data-root", str(data), "--cache", str(poses)]
    before = Path.cwd()
    os.chdir(folder)
    try:
        cli.keyreid.main(["extract-poses", *where, "--workers", "1"], standalone_mode=False)
        cli.keyreid.main(["train", *where, "--runs", str(runs), *TINY_SET], standalone_mode=False)
    finally:
        os.chdir(before)
    (run,) = (runs / "walkers").iterdir()
    return Trained(folder, data, poses, run)


@dataclass
class Evaluated:
    """A copy of the trained run, evaluated, and what the command printed. Do not write to the run."""

    run: Path
    out: str


@pytest.fixture(scope="session")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    run = shutil.copytree(trained.run, tmp_path_factory.mktemp("runs") / "walkers" / trained.run.name)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.keyreid.main(["eval", "--run", str(run)], standalone_mode=False)
    return Evaluated(Path(run), printed.getvalue())
