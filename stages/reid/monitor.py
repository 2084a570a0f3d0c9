"""What a training run tells: progress bar, metrics.jsonl, TensorBoard. Main process only."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"


class Monitor:
    """Records of every step, as a context manager. `show`: draw a progress bar on the terminal."""

    def __init__(self, run_dir: Path, total_steps: int, start_step: int, show: bool) -> None:
        self.path = run_dir / METRICS
        _cut_after(self.path, start_step)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = SummaryWriter(
            str(run_dir / "tensorboard"), purge_step=start_step + 1 if start_step else None
        )
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not show,
            refresh_per_second=2,
        )
        self.task = self.progress.add_task("epoch 0", total=total_steps, completed=start_step, numbers="")

    def __enter__(self) -> "Monitor":
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()
        self.file.close()
        self.board.close()

    def step(self, record: dict[str, Any], epochs: int) -> None:
        """Show a step's record; `record` has step, epoch, loss, accuracy, learning_rate, clips_per_second."""
        names = [k for k in record if k == "loss" or k.endswith("_loss")]
        losses = " ".join(f"{k.removesuffix('_loss')} {record[k]:.3g}" for k in names)
        numbers = (
            f"{losses} acc {record['accuracy']:.2f} lr {record['learning_rate']:.2g} "
            f"{record['clips_per_second']:.0f} clips/s"
        )
        self.progress.update(
            self.task,
            completed=record["step"],
            numbers=numbers,
            description=f"epoch {record['epoch'] + 1}/{epochs}",
        )

    def write(self, record: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl and its numbers to TensorBoard."""
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        for name, value in record.items():
            if name not in ("step", "epoch", "kind") and isinstance(value, int | float):
                self.board.add_scalar(f"{record['kind']}/{name}", value, record["step"])


def memory_mb(device: torch.device) -> dict[str, float]:
    """Largest memory so far: resident of this process, and on the CUDA device, in MB (10^6 bytes)."""
    found = {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}
    if device.type == "cuda":
        found["cuda_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


def _cut_after(path: Path, step: int) -> None:
    """Drop records later than the step that a run resumes from, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    part = path.with_suffix(".jsonl.tmp")
    part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    part.replace(path)
