"""Run folders: `runs/<dataset>/<time>-<name>/`, their content, and the newest of them."""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cache.border import saving
from cache.errors import KeyReIDError
from cache.files import write_whole
from pipeline.config import load_recipe
from pipeline.options import Inputs
from stages.terminal import say
from stages.versions import versions_of

RUNS = Path("runs")
CONFIG = "config.yaml"
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
    "simplejpeg",
    "av",
    "accelerate",
    "joblib",
    "click",
    "pydantic",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    return {"platform": platform.platform(), **versions_of(PACKAGES)}


def git_revision() -> str:
    """Revision of this checkout, with "+changes" where files differ from it; "unknown" outside one."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        """The output of a git command; empty where it fails."""
        return subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    revision = git("rev-parse", "HEAD") if shutil.which("git") else ""
    if not revision:
        return "unknown"
    return revision + ("+changes" if git("status", "--porcelain", "-uno") else "")


def new_run(inputs: Inputs, runs: Path = RUNS) -> Path:
    """Make the folder of a new run and write what is known before it starts: config, versions, command."""
    recipe = inputs.recipe
    parent = runs / recipe.dataset.name
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{recipe.name}"
    about = {"command": sys.argv, "git": git_revision(), "versions": versions()}
    with saving(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100):
            folder = parent / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
                break
            except FileExistsError:
                continue
        keep_config(folder, inputs)
        (folder / "environment.json").write_text(json.dumps(about, indent=2))
    log_to(folder)
    return folder


def keep_config(folder: Path, inputs: Inputs) -> None:
    """Write the resolved recipe of a run, paths absolute, in place of what was there."""
    content = inputs.recipe.model_dump(mode="json")
    content["dataset"]["root"] = str(inputs.root.absolute())
    content["cache"] = str(inputs.cache.absolute())
    write_whole(folder / CONFIG, yaml.safe_dump(content, sort_keys=False).encode())


def newest_run(dataset: str, runs: Path = RUNS) -> Path:
    """The newest run of a data set that holds a trained model."""
    return _newest(dataset, runs, "model.safetensors", "finished")


def unfinished_run(dataset: str, runs: Path = RUNS) -> Path:
    """The newest run of a data set that was stopped and holds checkpoints to resume from."""
    return _newest(dataset, runs, "checkpoints", "stopped", without="model.safetensors")


def _newest(dataset: str, runs: Path, holds: str, kind: str, without: str | None = None) -> Path:
    parent = runs / dataset
    folders = sorted(parent.iterdir(), reverse=True) if parent.is_dir() else []
    for folder in folders:
        if (folder / holds).exists() and not (without and (folder / without).exists()):
            return folder
    why = f"{len(folders)} others are there" if folders else "there are none at all"
    raise KeyReIDError(
        f"{parent}: no {kind} run of {dataset} ({why}); train one: make train DATASET={dataset}"
    )


def inputs_of(run: Path, inputs: Inputs) -> Inputs:
    """The config and paths of a run; what the command line gives (paths, --config, values) goes first."""
    given = inputs.given
    path = given.config or run / CONFIG
    if not path.is_file():
        raise KeyReIDError(f"{run}: no {CONFIG} in it, so it is not a run folder; keyreid train makes them")
    recipe = load_recipe(None, path, given.overrides)
    if given.dataset not in (None, recipe.dataset.name):
        raise KeyReIDError(
            f"{run} is a run on {recipe.dataset.name}, not on {given.dataset}: change --dataset"
        )
    root = given.root or recipe.dataset.root or inputs.root
    cache = given.cache or recipe.cache or inputs.cache
    log_to(run)
    return Inputs(recipe, root, cache, given)


def is_main_process() -> bool:
    """Whether this is the first process of a launch (`torchrun` numbers them), or the only one."""
    return os.environ.get("RANK", "0") == "0"


class _RunLog(logging.FileHandler):
    """The log of a run. A full disk costs lines of it and one warning, not the run."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.failed:
            self.failed = True
            say(f"keyreid: warning: {self.baseFilename} cannot be written ({sys.exception()})", error=True)


def log_to(folder: Path) -> None:
    """Send the log to `log.txt` in the run folder, from the main process."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        root.removeHandler(handler)  # of the run before, where one command works on several
        handler.close()
    if is_main_process():
        handler = _RunLog(folder / "log.txt")
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
    path = Path("/proc/cpuinfo")  # of Linux
    lines = path.read_text().splitlines() if path.is_file() else ()
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")
