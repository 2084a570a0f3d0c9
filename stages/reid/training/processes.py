"""Devices and processes: one accelerate set-up for a run, what the processes share, and when they stop."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
)

from cache.errors import KeyReIDError
from stages.device import settle
from stages.precision import choose
from stages.reid.training.config import TrainConfig
from stages.terminal import say

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=2)  # the others wait while the main process validates or saves
PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def start_processes(config: TrainConfig) -> Accelerator:
    """accelerate for this run. Under torchrun or `accelerate launch`, joins the other processes.

    Raises KeyReIDError where CUDA is asked for and absent, for fp16 without CUDA, for torch.compile with
    several processes, and for more processes on this machine than CUDA devices.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise KeyReIDError(
            f"train.device = cuda: torch {torch.__version__} finds no CUDA device; use auto or cpu, or "
            "install a CUDA build of torch"
        )
    on_cpu = _on_cpu(config)
    if config.compile and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise KeyReIDError(
            f"train.compile with {os.environ['WORLD_SIZE']} processes: the necks exchange features, "
            "which torch.compile cannot hold in one graph and would run uncompiled; set "
            "train.compile = false, or start a single process"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not on_cpu and local > torch.cuda.device_count():
        raise KeyReIDError(
            f"{local} processes on this machine, but torch finds {torch.cuda.device_count()} CUDA device(s); "
            "start one process for each device, or set train.device = cpu"
        )
    config = with_precision(config)
    if config.precision == "fp16" and on_cpu:
        raise KeyReIDError("train.precision = fp16: needs CUDA; use fp32 or bf16 on the CPU")
    settle("cpu" if on_cpu else "cuda")
    AcceleratorState._reset_state(reset_partial_state=True)  # several runs in one Python process are separate
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision=PRECISION[config.precision],
        # the trainer accumulates by itself, so that groups of batches end where epochs do
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1, sync_with_dataloader=False),
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    return accelerator


def with_precision(config: TrainConfig) -> TrainConfig:
    """The config with the precision that `auto` is on this machine's device."""
    device = "cpu" if _on_cpu(config) else "cuda"
    return config.model_copy(update={"precision": choose(config.precision, device)})


def _on_cpu(config: TrainConfig) -> bool:
    return config.device == "cpu" or not torch.cuda.is_available()


def from_main(accelerator: Accelerator, make: Callable[[], Any]) -> Any:
    """What `make` returns in the main process, in every process. Its KeyReIDError reaches all."""
    message = [None, None]
    if accelerator.is_main_process:
        try:
            message[0] = make()
        except KeyReIDError as error:
            message[1] = str(error)
    if accelerator.num_processes > 1:
        dist.broadcast_object_list(message, src=0)
    if message[1] is not None:
        raise KeyReIDError(message[1])
    return message[0]


def tell(accelerator: Accelerator, message: str) -> None:
    """A line for the log and, from the main process, for the terminal."""
    log.info("%s", message)
    if accelerator.is_main_process:
        say(message, error=True)


def run_folder(accelerator: Accelerator, folder: Path | Callable[[], Path]) -> Path:
    """The run folder: given, or made by the main process alone."""
    return from_main(accelerator, folder) if callable(folder) else Path(folder)


class Agreement:
    """A number that some process asks for, known to all of them at the same step: the largest.

    Asked at one step and answered at the next, by the CPU alone, so that nobody waits for a device. In a
    single process the answer is there at once.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.several = accelerator.num_processes > 1
        on_device = self.several and accelerator.device.type != "cpu"
        self.group = dist.new_group(backend="gloo") if on_device else None
        self._asked: tuple[dist.Work, torch.Tensor] | None = None

    def largest(self, number: int) -> int:
        """The largest number that any process gave at its last call, at first 0. Call in every process."""
        if not self.several:
            return number
        answer = 0
        if self._asked is not None:
            work, value = self._asked
            work.wait()
            answer = int(value)
        value = torch.tensor(number)
        work = dist.all_reduce(value, dist.ReduceOp.MAX, self.group, async_op=True)
        self._asked = (work, value)
        return answer


class StopSignals:
    """Turns SIGTERM and SIGINT into a request to save and stop, within `with`. A second one acts at once.

    Within a moment of the first it is the same one: a batch system signals every process, and the launcher
    passes on what it gets.
    """

    EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}  # noqa: RUF012  a constant
    MOMENT = 2.0  # seconds

    def __init__(self) -> None:
        self.received, self._since = 0, 0.0

    def __enter__(self) -> "StopSignals":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # else the caller handles signals
            for number in self.EXIT_CODES:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self._since = number, now
        elif now - self._since > self.MOMENT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
