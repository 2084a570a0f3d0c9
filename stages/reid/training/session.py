"""The loop of a training run: steps, training states, validation, what it tells, how it ends."""

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from cache.errors import KeyReIDError
from cache.files import writing
from stages.reid.data.clip_batches import Batch
from stages.reid.data.loader import naming_killed_workers
from stages.reid.model import KeyReID
from stages.reid.model.weights import save_model
from stages.reid.training.checkpoint import CheckpointFolder
from stages.reid.training.config import TrainConfig
from stages.reid.training.monitor import Monitor, attention_statistics, memory_mb
from stages.reid.training.processes import StopSignals, from_main
from stages.reid.training.resume import Identity, check_same_run
from stages.reid.training.trainer import NotFiniteError, StepResult, Trainer
from stages.reid.training.training_set import TrainingSet
from stages.reid.training.validation import cross_camera_scores

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"


@dataclass
class Position:
    """How far training is. step: batches done over all epochs; batch: of them, in this epoch."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Session:
    """One process of one run, from its start or a training state to its end."""

    def __init__(
        self,
        config: TrainConfig,
        model: KeyReID,
        data: TrainingSet,
        identity: Identity,
        accelerator: Accelerator,
        folder: Path,
        about: dict[str, Any],
    ) -> None:
        """about: what the finished networks are to say about themselves, JSON values."""
        self.config, self.model, self.data, self.identity = config, model, data, identity
        self.accelerator, self.folder, self.about = accelerator, folder, about
        self.checkpoints = CheckpointFolder(folder / CHECKPOINTS, config.checkpoint.keep)
        self.position = Position()
        self.best: dict[str, Any] = {}
        self.saved = 0  # step of the newest training state

    def run(
        self,
        resume: bool,
        allow_config_change: bool,
        keep_config: Callable[[], object] | None,
        show_progress: bool | None,
    ) -> Path:
        """Train to the end. Returns the run folder. Arguments and errors as `stages.reid.train.run`."""
        state = self._state_to_resume(allow_config_change) if resume else None
        self.trainer = Trainer(self.model, self.config, self.accelerator, self.data.sampler.batches)
        if state is not None:
            self._continue_from(state)
        if resume and keep_config and (state is None or state["changes"] or allow_config_change):
            from_main(self.accelerator, keep_config)
        self.data.log()
        log.info(
            "%s on %s, %d process(es), %d workers each", "resumed" if state else "started",
            self.accelerator.device, self.accelerator.num_processes, self.config.loader.workers,
        )  # fmt: skip
        main = self.accelerator.is_main_process
        show = main and (sys.stderr.isatty() if show_progress is None else show_progress)
        total = self.config.epochs * self.data.sampler.batches
        self.monitor = Monitor(self.folder, total, self.position.step, show) if main else None
        batches = self.data.batches(
            self.model,
            (self.position.epoch, self.position.batch),
            self.accelerator.process_index,
            self.accelerator.num_processes,
            self.accelerator.device,
        )
        steps = closing(iter(batches))  # an error ends the workers, too
        with (
            naming_killed_workers(),
            self.monitor or nullcontext(),
            StopSignals() as signals,
            steps as reading,
        ):
            self._train(reading, signals)
        self._finish()
        return self.folder

    def _train(self, batches: Iterator[Batch], signals: StopSignals) -> None:
        stop, mark = 0, time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - mark
            epoch = self.position.epoch
            try:
                result = self.trainer.step(batch, epoch, self.position.batch, signals.received)
            except NotFiniteError as error:
                raise self._not_finite(error) from None
            stop = stop or result.stop
            self._advance()
            self._record(batch, result, epoch, waited, time.perf_counter() - mark)
            if self.position.batch == 0:
                self._end_of_epoch()
            elif self._due() and result.updated:
                self._save()
            if stop and result.updated:
                self._stop(stop)
            mark = time.perf_counter()

    def _advance(self) -> None:
        self.position.step += 1
        self.position.batch += 1
        if self.position.batch == self.data.sampler.batches:
            self.position.epoch, self.position.batch = self.position.epoch + 1, 0

    def _record(self, batch: Batch, result: StepResult, epoch: int, waited: float, elapsed: float) -> None:
        if self.monitor is None:
            return
        step = self.position.step
        record = {
            "kind": "train",
            "step": step,
            "epoch": epoch,
            **result.details,
            "learning_rate": self.trainer.learning_rate(),
            "clips_per_second": self.data.sampler.batch_size / elapsed,
            "step_seconds": elapsed,
            "wait_seconds": waited,
            **memory_mb(self.accelerator.device),
        }
        self.monitor.step(record, self.config.epochs)
        if self.position.batch == 0:
            log.info("epoch %d: %s", self.position.epoch, self.monitor.summary(record))
        if step % self.config.log_every == 0:
            self.monitor.write({**record, **attention_statistics(result.output)})
            self.monitor.rates(self.trainer.learning_rates(), step)
        if step == 1 or step % self.config.picture_every == 0:
            self.monitor.pictures(batch, result.output, (self.model.pixel_mean, self.model.pixel_std), step)

    # training states

    def _due(self) -> bool:
        every = self.config.checkpoint.every_steps
        return bool(every) and self.position.step - self.saved >= every

    def _end_of_epoch(self) -> None:
        epoch, config = self.position.epoch, self.config
        last = epoch == config.epochs
        if self.data.held_out and (epoch % config.validation.every_epochs == 0 or last):
            self._validate()
        every = config.checkpoint.every_epochs
        if last or (every and epoch % every == 0) or self._due():
            self._save()

    def _save(self) -> Path | None:
        """A training state; accumulated gradients are no part of it, so it is taken after an update."""
        state = {
            "trainer": self.trainer.state(),
            "position": asdict(self.position),
            "best": self.best,
            "identity": self.identity.as_dict(),
        }
        self.saved, path = self.position.step, None
        if self.accelerator.is_main_process:
            path = self.checkpoints.save(self.position.step, state, {"epoch": self.position.epoch})
            self.checkpoints.prune(self.best.get("step"))
        self.accelerator.wait_for_everyone()
        return path

    def _state_to_resume(self, allow_config_change: bool) -> dict[str, Any] | None:
        def find() -> Path | None:
            path = self.checkpoints.newest()
            if path is None and self.checkpoints.states():
                raise KeyReIDError(
                    f"{self.checkpoints.folder}: no complete checkpoint to resume from; start the run again"
                )
            return path

        path = from_main(self.accelerator, find)
        if path is None:
            log.info("%s has no checkpoint yet: starting from the beginning", self.folder)
            return None
        state = self.checkpoints.load(path)
        before = Identity.from_dict(state["identity"])
        state["changes"] = check_same_run(path, before, self.identity, allow_config_change)
        log.info("resuming from %s", path)
        return state

    def _continue_from(self, state: dict[str, Any]) -> None:
        try:
            self.trainer.load_state(state["trainer"])
        except (RuntimeError, ValueError, KeyError) as error:
            changes, reason = "; ".join(state["changes"]), str(error).splitlines()[0]
            if not changes:
                raise KeyReIDError(
                    f"{self.checkpoints.folder}: the training state does not fit this version of the program "
                    f"({reason}); resume with the version that started the run, see environment.json"
                ) from error
            raise KeyReIDError(
                f"{self.checkpoints.folder}: the training state does not fit after these changes: {changes} "
                f"({reason}); undo those that change the network"
            ) from None
        self.position, self.best = Position(**state["position"]), state["best"]
        self.saved = self.position.step

    def _stop(self, number: int) -> None:
        path = self._save() or self.checkpoints.newest()
        log.info("stopped by signal %d after step %d; resume from %s", number, self.position.step, path)
        if self.accelerator.is_main_process:
            print(f"stopped after step {self.position.step}; resume: {self.folder}", file=sys.stderr)
        raise SystemExit(StopSignals.EXIT_CODES.get(number, 1))

    def _not_finite(self, error: NotFiniteError) -> KeyReIDError:
        members = self.data.members(self.position.epoch, self.position.batch)
        numbers = ", ".join(f"{k} {v:g}" for k, v in error.details.items() if k != "accuracy")
        other = ", use train.precision = bf16" if self.config.precision == "fp16" else ""
        last = self.checkpoints.newest() or "none"
        return KeyReIDError(
            f"loss or gradient is not finite at step {self.position.step + 1} ({numbers}); "
            f"batch: {', '.join(members)}; last good checkpoint: {last}; lower "
            f"train.optim.lr{other} or set train.optim.clip_norm, then resume with --allow-config-change"
        )

    # validation and the finished networks

    def _networks(self) -> dict[str, KeyReID]:
        """The last weights, and their moving average where there is one."""
        found = {"last": self.model}
        if self.trainer.ema is not None:
            found["ema"] = self.trainer.ema.module
        return found

    def _validate(self) -> None:
        if self.accelerator.is_main_process:
            networks, device = self._networks(), self.accelerator.device
            scores = {
                name: cross_camera_scores(
                    network, self.data.validation_batches(network, device), self.data.held_out
                )
                for name, network in networks.items()
            }
            which = max(scores, key=lambda name: scores[name]["mean_ap"])
            if scores[which]["mean_ap"] > self.best.get("mean_ap", -1.0):
                place = {"step": self.position.step, "epoch": self.position.epoch}
                self.best = {"weights": which, **place, **scores[which]}
                self._write(networks[which], "best", validation=self.best)
            flat = {f"{name}_{k}": v for name, found in scores.items() for k, v in found.items()}
            place = {"kind": "validation", "step": self.position.step, "epoch": self.position.epoch}
            self.monitor.write({**place, **flat})
            log.info("validation after epoch %d: %s", self.position.epoch, json.dumps(flat))
        self.best = from_main(self.accelerator, lambda: self.best)

    def _write(self, network: KeyReID, name: str, **extra: Any) -> None:
        path = self.folder / f"{name}.safetensors"
        about = {**self.about, "weights": name, "step": self.position.step, "epoch": self.position.epoch}
        labels = {"cameras": self.data.cameras, "persons": self.data.persons}
        try:
            save_model(network, path, **about, **labels, **extra)
        except (OSError, SafetensorError) as error:
            raise KeyReIDError(
                f"{path}: cannot be written ({error}); free some space and resume the run, nothing is lost"
            ) from None

    def _finish(self) -> None:
        """Write the last weights and their EMA; model.safetensors is what the config chooses."""
        if self.accelerator.is_main_process:
            for name, network in self._networks().items():
                self._write(network, name)
            choice = self.config.checkpoint.choose
            chosen = "best" if choice == "validation" else choice
            for suffix in (".json", ".safetensors"):
                publish(self.folder / f"{chosen}{suffix}", self.folder / f"model{suffix}")
            log.info("finished: %s weights are %s", chosen, self.folder / "model.safetensors")
        self.accelerator.wait_for_everyone()


def publish(source: Path, target: Path) -> None:
    """Give a finished file a second name, without a second copy where the file system has hard links."""
    with writing(target) as part:
        try:
            part.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, part)
