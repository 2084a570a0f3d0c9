"""Training states of a run: saved while it trains, and checked before a resume starts from one."""

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from cache.border import problem, reading
from cache.errors import KeyReIDError
from stages.config import Record
from stages.reid.training.checkpoint import CheckpointFolder
from stages.reid.training.identity import Identity, check_same_run
from stages.reid.training.processes import from_main, tell
from stages.reid.training.trainer import Trainer


@dataclass
class Progress:
    """How far training is. step: batches done over all epochs; batch: of them, in this epoch.

    saved: step of the newest training state. best: of all validations, its scores and its place.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    saved: int = 0
    best: dict[str, Any] = field(default_factory=dict)

    def advance(self, batches_per_epoch: int) -> None:
        """One batch is done."""
        self.step += 1
        self.batch += 1
        if self.batch == batches_per_epoch:
            self.epoch, self.batch = self.epoch + 1, 0


class _Position(Record):
    epoch: int
    batch: int
    step: int


class _Best(Record):
    mean_ap: float = 0.0
    step: int = 0


class _Optim(Record):
    name: str


class _Train(Record):
    optim: _Optim


class _Identity(Record):
    train: _Train
    model: dict[str, Any]
    data: dict[str, Any]
    num_persons: int


class _Saved(Record):
    """What a resume takes from a state, but for the trainer's own."""

    identity: _Identity
    position: _Position
    best: _Best
    trainer: dict[str, Any]


@dataclass(frozen=True)
class SavedState:
    """A training state of the same run. changes: differences of its config, each accepted by the user."""

    path: Path
    contents: dict[str, Any]
    changes: list[str]

    def load_into(self, trainer: Trainer) -> Progress:
        """Returns how far training was. Raises KeyReIDError where the state does not fit the network."""
        try:
            trainer.load_state(self.contents["trainer"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            reason = problem(error)
            if not self.changes:
                raise KeyReIDError(
                    f"{self.path.parent}: the training state does not fit this version of the program "
                    f"({reason}); resume with the version that started the run, see environment.json"
                ) from error
            raise KeyReIDError(
                f"{self.path.parent}: the training state does not fit after these changes: "
                f"{'; '.join(self.changes)} ({reason}); undo those that change the network"
            ) from None
        position = _Position.model_validate(self.contents["position"])
        return Progress(**position.model_dump(), saved=position.step, best=self.contents["best"])


class TrainingStates:
    """The states of one run, which every process reads and the main process writes."""

    def __init__(self, folder: CheckpointFolder, identity: Identity, accelerator: Accelerator) -> None:
        self.folder, self.identity, self.accelerator = folder, identity, accelerator
        self.saved_at = time.monotonic()
        self._writer: threading.Thread | None = None

    def newest(self, allow_config_change: bool) -> SavedState | None:
        """The state to resume from; None where the run has not saved any.

        Raises KeyReIDError where all are damaged, or the run was started with other data, and with another
        config unless that is allowed.
        """
        path = from_main(self.accelerator, self._newest_path)
        if path is None:
            run = self.folder.folder.parent
            half = ", only one that was not finished" if self.folder.states() else " yet"
            tell(self.accelerator, f"{run} has no checkpoint{half}: starting from the beginning")
            return None
        contents = self.folder.load(path)
        with reading(path, "a training state", "remove it and resume again"):
            before = Identity.from_dict(contents["identity"])
            _Saved.model_validate(contents | {"identity": before.as_dict()})
        changes = check_same_run(path, before, self.identity, allow_config_change)
        tell(self.accelerator, f"resuming after step {contents['position']['step']}, from {path}")
        return SavedState(path, contents, changes)

    def _newest_path(self) -> Path | None:
        path = self.folder.newest()
        damaged = [state for state in self.folder.states() if not self.folder.unfinished(state)]
        if path is None and damaged:
            raise KeyReIDError(
                f"{damaged[0]}: {self.folder.problem(damaged[0])}, and no other state to resume from; "
                f"copy it again, or remove {self.folder.folder} to start from the beginning"
            )
        return path

    def save(self, trainer: Trainer, progress: Progress) -> None:
        """Copy a state and begin to write it, in the main process. A full disk costs a warning.

        Called by all processes after an update: accumulated gradients are not part of a state.
        """
        state = {
            "trainer": trainer.state(),
            "position": {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step},
            "best": progress.best,
            "identity": self.identity.as_dict(),
        }
        progress.saved, self.saved_at = progress.step, time.monotonic()
        if not self.accelerator.is_main_process:
            return
        self._join()
        arguments = (progress.step, copied(state), {"epoch": progress.epoch}, progress.best.get("step"))
        self._writer = threading.Thread(target=self._write, args=arguments, name="training state")
        self._writer.start()

    def wait(self) -> None:
        """Until the last state is written. Called by all processes."""
        self._join()
        self.accelerator.wait_for_everyone()

    def _join(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _write(self, step: int, state: dict[str, Any], about: dict[str, Any], best: int | None) -> None:
        self.folder.save(step, state, about)
        self.folder.prune(best)


def copied(state: Any) -> Any:
    """A state whose tensors are copies on the CPU, so that training goes on while it is written."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(value) for value in state)
    return state


def state_bytes(trainer: Trainer) -> int:
    """Size of a training state, nearly: weights, centers, their average, and the optimiser's moments."""
    weights = sum(value.nbytes for value in trainer.objective.state_dict().values())
    average = 0 if trainer.ema is None else sum(v.nbytes for v in trainer.ema.module.state_dict().values())
    moments = {"sgd": 1, "adamw": 2}[trainer.config.optim.name]
    trained = sum(p.nbytes for p in trainer.model.parameters() if p.requires_grad)
    return weights + average + moments * trained


def check_space(folder: Path, trainer: Trainer) -> str:
    """How much a run is going to write, in words. Raises KeyReIDError where the disk has no room for it.

    States that are kept, one that is being written, and the finished networks; less what is there already.
    """
    one, keep = state_bytes(trainer), trainer.config.checkpoint.keep
    best = bool(trainer.config.validation.share)
    network = sum(value.nbytes for value in trainer.model.state_dict().values())
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = max((keep + 1 + best) * one + (1 + (trainer.ema is not None) + best) * network - there, 0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise KeyReIDError(
            f"{folder}: the run needs {needed / 1e9:.2f} GB ({keep} training states and one being written, "
            f"{one / 1e9:.2f} GB each, and the finished networks), and {free / 1e9:.2f} GB are free; free "
            "some space, choose another folder, or set train.checkpoint.keep=1"
        )
    return (
        f"a training state takes {one / 1e9:.2f} GB, the run {needed / 1e9:.2f} of {free / 1e9:.2f} GB free"
    )
