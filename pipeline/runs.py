"""Run folders: `runs/<dataset>/<time>-<name>/`, what goes into each, and which one is the newest."""

import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cache.errors import KeyReIDError
from pipeline.config import Recipe

RUNS = Path("runs")
PACKAGES = (
    "keyreid",
    "torch",
    "torchvision",
    "timm",
    "mmpose",
    "mmengine",
    "mmcv-lite",
    "numpy",
    "scipy",
    "h5py",
    "opencv-python-headless",
    "accelerate",
    "joblib",
    "click",
    "pydantic",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_revision() -> str:
    """Revision of this checkout, with "+changes" where files differ from it; "unknown" outside one."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def new_run(recipe: Recipe, runs: Path = RUNS) -> Path:
    """Make the folder of a new run and write what is known before it starts: config, versions, command."""
    parent = runs / recipe.dataset.name
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{recipe.name}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100):
            folder = parent / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
                break
            except FileExistsError:
                continue
        (folder / "config.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        about = {"command": sys.argv, "git": git_revision(), "versions": versions()}
        (folder / "environment.json").write_text(json.dumps(about, indent=2))
    except OSError as error:
        raise KeyReIDError(
            f"{parent}: cannot make the run folder there: {error}; name another with --runs"
        ) from None
    return folder


def newest_run(dataset: str, runs: Path = RUNS) -> Path:
    """The newest run of a data set that holds a trained model."""
    parent = runs / dataset
    folders = sorted(parent.iterdir(), reverse=True) if parent.is_dir() else []
    for folder in folders:
        if (folder / "model.safetensors").is_file():
            return folder
    why = f"{len(folders)} unfinished there" if folders else "there are none"
    raise KeyReIDError(
        f"{parent}: no finished run of {dataset} ({why}); train one first: make train DATASET={dataset}"
    )


def log_to(folder: Path, main_process: bool = True) -> None:
    """Send the log to `log.txt` in the run folder (main process only)."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    if main_process:
        handler = logging.FileHandler(folder / "log.txt")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)


def environment(**more: Any) -> dict[str, Any]:
    """What a bug report needs: versions, revision, device, threads."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        **versions(),
        "git": git_revision(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "torch threads": torch.get_num_threads(),
        "cuda": torch.version.cuda or "not in this build of torch",
        "gpus": ", ".join(cuda) or "none",
        **more,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
