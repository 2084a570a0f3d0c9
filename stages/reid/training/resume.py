"""Training states of a run: saved while it trains, and checked before a resume starts from one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from cache.errors import KeyReIDError
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


@dataclass(frozen=True)
class SavedState:
    """A training state of the same run. changes: what its config has otherwise, each accepted by the user."""

    path: Path
    contents: dict[str, Any]
    changes: list[str]

    def load_into(self, trainer: Trainer) -> Progress:
        """Returns how far training was. Raises KeyReIDError where the state does not fit the network."""
        try:
            trainer.load_state(self.contents["trainer"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            if not self.changes:
                raise KeyReIDError(
                    f"{self.path.parent}: the training state does not fit this version of the program "
                    f"({reason}); resume with the version that started the run, see environment.json"
                ) from error
            raise KeyReIDError(
                f"{self.path.parent}: the training state does not fit after these changes: "
                f"{'; '.join(self.changes)} ({reason}); undo those that change the network"
            ) from None
        position = self.contents["position"]
        return Progress(**position, saved=position["step"], best=self.contents["best"])


class TrainingStates:
    """The states of one run, which every process reads and the main process writes."""

    def __init__(self, folder: CheckpointFolder, identity: Identity, accelerator: Accelerator) -> None:
        self.folder, self.identity, self.accelerator = folder, identity, accelerator

    def newest(self, allow_config_change: bool) -> SavedState | None:
        """The state to resume from; None where the run has not saved any.

        Raises KeyReIDError where all are damaged, or the run was started with other data, and with another
        config unless that is allowed.
        """
        path = from_main(self.accelerator, self._newest_path)
        if path is None:
            run = self.folder.folder.parent
            tell(self.accelerator, f"{run} has no checkpoint yet: starting from the beginning")
            return None
        contents = self.folder.load(path)
        before = Identity.from_dict(contents["identity"])
        changes = check_same_run(path, before, self.identity, allow_config_change)
        tell(self.accelerator, f"resuming after step {contents['position']['step']}, from {path}")
        return SavedState(path, contents, changes)

    def _newest_path(self) -> Path | None:
        path = self.folder.newest()
        if path is None and self.folder.states():
            raise KeyReIDError(
                f"{self.folder.folder}: no complete checkpoint to resume from; start the run again"
            )
        return path

    def save(self, trainer: Trainer, progress: Progress) -> Path | None:
        """Write a state, in the main process; its path. None in the others, and where the disk refuses.

        Called by all processes after an update: accumulated gradients are not part of a state.
        """
        state = {
            "trainer": trainer.state(),
            "position": {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step},
            "best": progress.best,
            "identity": self.identity.as_dict(),
        }
        progress.saved, path = progress.step, None
        if self.accelerator.is_main_process:
            path = self.folder.save(progress.step, state, {"epoch": progress.epoch})
            self.folder.prune(progress.best.get("step"))
        self.accelerator.wait_for_everyone()
        return path
