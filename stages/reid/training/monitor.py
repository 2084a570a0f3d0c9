"""What a training run reports: progress bar, metrics.jsonl, TensorBoard. Main process only."""

import json
import logging
import math
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TimeRemainingColumn
from rich.text import Text
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from cache.files import write_whole
from cache.text_files import object_of
from stages.reid.model.keyreid import ClipOutput
from stages.terminal import progress

log = logging.getLogger(__name__)
METRICS = "metrics.jsonl"


class _TwoLines(Progress):
    """The bar, and below it the numbers: 80 columns are too few for both."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(task.fields["numbers"], no_wrap=True, overflow="ellipsis")


class Monitor:
    """Records of every step, as a context manager. `show`: draw a progress bar on the terminal."""

    def __init__(self, run_dir: Path, total_steps: int, start_step: int, show: bool) -> None:
        self.path, self.failed = run_dir / METRICS, False
        _cut_after(self.path, start_step)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = SummaryWriter(
            str(run_dir / "tensorboard"), purge_step=start_step + 1 if start_step else None
        )
        self.progress = progress(
            "{task.description}",
            BarColumn(bar_width=12),
            "{task.completed}/{task.total}",
            TimeRemainingColumn(compact=True),
            "left",
            kind=_TwoLines,
            disable=not show,
            refresh_per_second=2,
        )
        self.task = self.progress.add_task("epoch 1", total=total_steps, completed=start_step, numbers="")

    def __enter__(self) -> "Monitor":
        self.progress.start()
        self._hook = threading.excepthook
        threading.excepthook = _without_full_disks(self._hook)
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()
        with self._recording():
            self.file.close()
            self.board.close()
        threading.excepthook = self._hook

    def step(self, record: dict[str, Any], epochs: int) -> None:
        """Show a step's record; it has step, epoch, losses, accuracy, learning_rate, clips_per_second."""
        description = f"epoch {record['epoch'] + 1}/{epochs}"
        numbers = self.summary(record)
        self.progress.update(self.task, completed=record["step"], description=description, numbers=numbers)

    def advance(self, step: int) -> None:
        """Show that a step is done whose numbers nobody has read."""
        self.progress.update(self.task, completed=step)

    @staticmethod
    def summary(record: dict[str, Any]) -> str:
        """A step's record in one short line."""
        losses = " ".join(
            f"{name.removesuffix('_loss')[:2]} {record[name]:.2g}"
            for name in record
            if name.endswith("_loss")
        )
        return (
            f"loss {record['loss']:.2f} ({losses}) acc {record['accuracy']:.0%} "
            f"lr {record['learning_rate']:.0e} {record['clips_per_second']:.0f} clips/s"
        )

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """A full disk stops the records, with one warning, but not the run."""
        try:
            yield
        except OSError as error:
            if not self.failed:
                log.warning("%s and TensorBoard cannot be written (%s); training continues", self.path, error)
            self.failed = True

    def rates(self, rates: dict[str, float], step: int) -> None:
        """Learning rate of every group of parameters to TensorBoard."""
        with self._recording():
            for name, rate in rates.items():
                self.board.add_scalar(f"learning_rate/{name}", rate, step)

    def pictures(self, batch: dict[str, Tensor], out: ClipOutput, image_range: tuple, step: int) -> None:
        """Histograms of the features before the necks, and the first clip with its part maps, to TensorBoard.

        image_range: (mean, std) of the batch's images.
        """
        with self._recording():
            for name, features in (("global", out.global_feature), ("parts", out.part_features)):
                if features is not None:
                    self.board.add_histogram(f"embedding/{name}", features.detach().float().cpu(), step)
            picture = part_map_grid(batch["images"][0].cpu(), batch["part_maps"][0].cpu(), *image_range)
            self.board.add_image("part_maps", picture, step, dataformats="HWC")

    def write(self, record: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl and its numbers to TensorBoard. NaN and infinity become null.

        A scaler skips steps whose gradient is not finite, and JSON has no word for that.
        """
        record = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        with self._recording():
            self.file.write(json.dumps(record, allow_nan=False) + "\n")
            self.file.flush()
            for name, value in record.items():
                if name not in ("step", "epoch", "kind") and value is not None:
                    self.board.add_scalar(f"{record['kind']}/{name}", value, record["step"])


def _without_full_disks(hook: Callable[[threading.ExceptHookArgs], object]) -> Callable:
    """A hook for threads that does not print an OSError: TensorBoard raises it again at its next record."""
    return lambda raised: None if issubclass(raised.exc_type, OSError) else hook(raised)


def attention_statistics(out: ClipOutput) -> dict[str, float]:
    """How the network attends, means over a batch, in nats.

    attention_frames: entropy over the frames of a clip. attention_parts: over all patches of the clip.
    """
    entropies = {}
    if out.frame_weights is not None:
        entropies["attention_frames"] = _entropy(out.frame_weights)
    if out.part_attention is not None:
        entropies["attention_parts"] = _entropy(out.part_attention.flatten(2))
    return entropies


def _entropy(shares: Tensor) -> float:
    return torch.special.entr(shares.detach().float()).sum(dim=-1).mean().item()


def part_map_grid(images: Tensor, part_maps: Tensor, mean: tuple, std: tuple) -> np.ndarray:
    """A clip as a picture uint8 [T*H, (1+K)*W, 3]: a row per frame, the frame, then each part's heat.

    images: normalised [T, 3, H, W]. part_maps: [T, K, h, w] in [0, 1], or in [-1, 1].
    """
    size = tuple(images.shape[-2:])
    frames = images.float() * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    frames = frames.clamp(0, 1).permute(0, 2, 3, 1)
    heat = part_maps.float()
    heat = (heat + 1) / 2 if heat.min() < 0 else heat
    heat = torch.nn.functional.interpolate(heat, size=size, mode="bilinear", align_corners=False)
    hot = torch.tensor([1.0, 0.2, 0.0])
    tiles = [frames]
    for one in heat.unbind(dim=1):
        tiles.append(frames * 0.4 * (1 - one[..., None]) + hot * one[..., None])
    return (torch.cat(tiles, dim=2).flatten(0, 1) * 255).to(torch.uint8).numpy()


def memory_mb(device: torch.device) -> dict[str, float]:
    """Largest memory so far: resident of this process, and on the CUDA device, in MB (10^6 bytes)."""
    megabytes = {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}
    if device.type == "cuda":
        megabytes["cuda_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return megabytes


def _cut_after(path: Path, step: int) -> None:
    """Drop records later than the step that a run resumes from, and a last line cut short."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    steps = [object_of(line).get("step") for line in lines]
    kept = [line for line, at in zip(lines, steps, strict=True) if isinstance(at, int) and at <= step]
    write_whole(path, "".join(line + "\n" for line in kept).encode())
