"""The loop of a training run: steps, records, training states, validation, how it ends."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from cache.errors import KeyReIDError
from stages.reid.data.clip_batches import Batch
from stages.reid.data.loader import naming_killed_workers
from stages.reid.model import KeyReID
from stages.reid.training.checkpoint import step_of
from stages.reid.training.finished import FinishedWeights
from stages.reid.training.monitor import Monitor, attention_statistics, memory_mb
from stages.reid.training.processes import Agreement, StopSignals, from_main, tell
from stages.reid.training.resume import Progress, TrainingStates
from stages.reid.training.trainer import NotFiniteError, StepResult, Trainer
from stages.reid.training.training_set import TrainingSet
from stages.reid.training.validation import cross_camera_scores
from stages.terminal import say

log = logging.getLogger(__name__)
SAVE = 1  # what processes agree on besides the number of a signal, which is larger


class Session:
    """One process of one run, from where `progress` is to the end."""

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        data: TrainingSet,
        states: TrainingStates,
        weights: FinishedWeights,
        progress: Progress,
        show_progress: bool | None,
    ) -> None:
        self.folder, self.trainer, self.data, self.progress = folder, trainer, data, progress
        self.states, self.weights = states, weights
        self.config, self.model, self.accelerator = trainer.config, trainer.model, trainer.accelerator
        self.main = self.accelerator.is_main_process
        self.shown = sys.stderr.isatty() if show_progress is None else show_progress
        total = self.config.epochs * data.sampler.batches
        self.monitor = Monitor(folder, total, progress.step, self.shown) if self.main else None
        self.checked = progress.step  # step up to which losses are known to be finite
        self.asked = False  # for a state that is not taken yet
        self.waited, self.since = 0.0, (time.perf_counter(), progress.step)  # since the last record

    def run(self) -> None:
        """Train to the end. Errors as `stages.reid.train.run`."""
        progress, per_epoch = self.progress, self.data.sampler.batches
        batches = self.data.batches(
            self.model,
            (progress.epoch, progress.batch),
            self.accelerator.process_index,
            self.accelerator.num_processes,
            self.accelerator.device,
        )
        with (
            naming_killed_workers(),
            self.monitor or nullcontext(),
            StopSignals() as signals,
            closing(iter(batches)) as reading,  # an error ends the workers, too
        ):
            agreement, wanted, mark = Agreement(self.accelerator), 0, time.perf_counter()
            self.since = (mark, progress.step)
            for batch in reading:
                self.waited += time.perf_counter() - mark
                epoch = progress.epoch
                wanted = max(wanted, agreement.largest(signals.received or self._asks_to_save()))
                last = progress.batch + 1 == per_epoch
                read = last or (progress.step + 1) % self.config.log_every == 0
                result = self._step(batch, read or wanted > 0)
                progress.advance(per_epoch)
                if self.monitor:
                    self._record(batch, result, epoch)
                if last:
                    self._end_of_epoch(wanted)
                elif wanted and result.updated:
                    self._save()
                if wanted > SAVE and result.updated:
                    self._stop(wanted)
                wanted = 0 if result.updated else wanted
                mark = time.perf_counter()

        # the last weights and their average; `model` is what the config chooses
        self.states.wait()
        if self.main:
            choice = self.config.checkpoint.choose
            with self._saying_what_is_kept():
                for name, network in self._networks().items():
                    self.weights.write(network, name, self.progress)
                self.weights.publish("best" if choice == "validation" else choice)
        self.accelerator.wait_for_everyone()

    def _step(self, batch: Batch, read: bool) -> StepResult:
        try:
            result = self.trainer.step(batch, self.progress.epoch, self.progress.batch, read)
        except NotFiniteError as error:
            raise self._not_finite(error) from None
        if result.details:
            self.checked = self.progress.step + 1
        return result

    def _record(self, batch: Batch, result: StepResult, epoch: int) -> None:
        step = self.progress.step
        last, due = self.progress.batch == 0, step % self.config.log_every == 0
        if step == 1 or step % self.config.picture_every == 0:
            self.monitor.pictures(batch, result.output, (self.model.pixel_mean, self.model.pixel_std), step)
        if not (last or due):
            self.monitor.advance(step)
            return
        steps, now = step - self.since[1], time.perf_counter()
        elapsed = (now - self.since[0]) / steps  # a step's, mean since the last record
        record = {
            "kind": "train",
            "step": step,
            "epoch": epoch,
            **result.details,
            "learning_rate": self.trainer.learning_rate(),
            "clips_per_second": self.data.sampler.batch_size / elapsed,
            "step_seconds": elapsed,
            "wait_seconds": self.waited / steps,
            **memory_mb(self.accelerator.device),
        }
        self.monitor.step(record, self.config.epochs)
        if last:
            line = f"epoch {self.progress.epoch}/{self.config.epochs}: {self.monitor.summary(record)}"
            log.info("%s", line)
            if not self.shown:
                say(line, error=True)
        self.monitor.write({**record, **attention_statistics(result.output)})
        self.monitor.rates(self.trainer.learning_rates(), step)
        self.waited, self.since = 0.0, (time.perf_counter(), step)

    def _end_of_epoch(self, wanted: int) -> None:
        epoch, config = self.progress.epoch, self.config
        last = epoch == config.epochs
        if self.data.held_out and (epoch % config.validation.every_epochs == 0 or last):
            if self.main:
                self._validate()
            self.progress.best = from_main(self.accelerator, lambda: self.progress.best)
        every = config.checkpoint.every_epochs
        if last or (every and epoch % every == 0) or wanted:
            self._save()

    def _asks_to_save(self) -> int:
        """SAVE once for each state that is due, in the main process alone: clocks differ."""
        if not self.main or self.asked:
            return 0
        config, minutes = self.config.checkpoint, (time.monotonic() - self.states.saved_at) / 60
        steps = self.progress.step + 1 - self.progress.saved  # since the last state, once this one is done
        by_steps = config.every_steps and steps >= config.every_steps
        self.asked = bool(by_steps or (config.every_minutes and minutes >= config.every_minutes))
        return SAVE if self.asked else 0

    def _save(self) -> None:
        self.states.save(self.trainer, self.progress)
        self.asked = False

    def _networks(self) -> dict[str, KeyReID]:
        """The last weights, and their moving average where there is one."""
        average = {} if self.trainer.ema is None else {"ema": self.trainer.ema.module}
        return {"last": self.model, **average}

    def _validate(self) -> None:
        networks, device = self._networks(), self.accelerator.device
        scores = {
            name: cross_camera_scores(
                network, self.data.validation_batches(network, device), self.data.held_out
            )
            for name, network in networks.items()
        }
        best = max(scores, key=lambda name: scores[name]["mean_ap"])
        place = {"step": self.progress.step, "epoch": self.progress.epoch}
        if scores[best]["mean_ap"] > self.progress.best.get("mean_ap", -1.0):
            self.progress.best = {"weights": best, **place, **scores[best]}
            with self._saying_what_is_kept():
                self.weights.write(networks[best], "best", self.progress, validation=self.progress.best)
        flat = {f"{name}_{k}": v for name, values in scores.items() for k, v in values.items()}
        self.monitor.write({"kind": "validation", **place, **flat})
        log.info("validation after epoch %d: %s", self.progress.epoch, json.dumps(flat))

    def _stop(self, number: int) -> None:
        if self.progress.saved != self.progress.step:
            self._save()
        self.states.wait()
        if self.main:
            tell(self.accelerator, f"stopped after step {self.progress.step}; {self._what_is_kept()}")
        raise SystemExit(StopSignals.EXIT_CODES.get(number, 1))

    def _what_is_kept(self) -> str:
        """What a resume would continue, as it can be read from the disk now. For the main process."""
        path = self.states.folder.newest()
        if path is None:
            return "no training state is saved, a resume would start from the beginning"
        step = step_of(path)
        after = "" if step == self.progress.step else f" goes on after step {step}, the last one saved"
        return f"resume: {self.folder}{after}"

    @contextmanager
    def _saying_what_is_kept(self) -> Iterator[None]:
        """Adds that to an error."""
        try:
            yield
        except KeyReIDError as error:
            raise KeyReIDError(f"{error}; {self._what_is_kept()}") from None

    def _not_finite(self, error: NotFiniteError) -> KeyReIDError:
        self.states.wait()
        step = self.checked + error.before  # the first that was not finite, from 0
        members = self.data.members(*divmod(step, self.data.sampler.batches))
        numbers = ", ".join(f"{k} {v:g}" for k, v in error.details.items() if k != "accuracy")
        other = ", use train.precision = bf16" if self.config.precision == "fp16" else ""
        last = self.states.folder.newest() or "none"
        return KeyReIDError(
            f"loss or gradient is not finite at step {step + 1} ({numbers}); "
            f"batch: {', '.join(members)}; last good checkpoint: {last}; lower "
            f"train.optim.lr{other} or set train.optim.clip_norm, then resume with --allow-config-change"
        )
