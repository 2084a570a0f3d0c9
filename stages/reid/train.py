"""Stage two, training: `run` turns a data set and its pose cache into a run folder with a trained network."""

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

import numpy as np
import torch

import stages.compat  # noqa: F401  before timm
from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset
from stages.reid.checkpoint import CheckpointFolder
from stages.reid.data.reader import FrameIndex
from stages.reid.data.sampler import BatchStream, IdentitySampler
from stages.reid.loader import (
    Batch,
    TrainingClips,
    camera_index,
    check_cache,
    disk_reader,
    test_loader,
    training_loader,
    training_reader,
)
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.weights import save_model
from stages.reid.monitor import Monitor, attention_statistics, memory_mb
from stages.reid.processes import StopSignals, from_main, run_folder, start_processes
from stages.reid.resume import Identity, check_same_run
from stages.reid.train_config import TrainConfig
from stages.reid.trainer import NotFiniteError, StepResult, Trainer
from stages.reid.validation import cross_camera_scores, hold_out

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"


@dataclass
class Position:
    """How far training is. step: batches done over all epochs; batch: of them, in this epoch."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


def run(
    train: TrainConfig,
    model: ModelConfig,
    dataset: Dataset,
    cache: PoseCache,
    run_dir: Path | Callable[[], Path],
    *,
    resume: bool = False,
    allow_config_change: bool = False,
    show_progress: bool | None = None,
) -> Path:
    """Train and return the run folder, which then holds `model.safetensors` and its JSON.

    run_dir: the run's folder, or a function that makes it, called in the main process alone once all
    inputs are checked. resume: continue the run of that folder from its newest complete checkpoint.
    show_progress: draw the progress bar; default: where stderr is a terminal.
    SIGTERM and SIGINT save and end in SystemExit with code 143 and 130. Raises KeyReIDError, before the first
    step, for inputs that do not fit; and where the loss is not finite.
    """
    accelerator = start_processes(train)
    try:
        if resume and not callable(run_dir) and CheckpointFolder(Path(run_dir) / CHECKPOINTS, 1).states():
            # the weights come from the checkpoint, so the file that training started from may be gone
            model = model.model_copy(update={"pretrained": False, "vit_path": None})
        session = Session(train, model, dataset, cache, accelerator)
        folder = run_folder(accelerator, run_dir)
        return session.run(folder, resume, allow_config_change, show_progress)
    finally:
        accelerator.end_training()


class Session:
    """One call of `run`. Everything that can be wrong with the inputs is found in the constructor."""

    def __init__(
        self, train: TrainConfig, model: ModelConfig, dataset: Dataset, cache: PoseCache, accelerator: Any
    ) -> None:
        self.config, self.dataset, self.cache, self.accelerator = train, dataset, cache, accelerator
        self.tracklets, self.held_out = hold_out(dataset.train, train.validation.share, train.seed)
        self.persons = sorted({t.person for t in self.tracklets})
        self.cameras = sorted({t.camera for t in self.tracklets if t.camera is not None})
        self.sampler = IdentitySampler(
            [t.person for t in self.tracklets], [t.camera for t in self.tracklets], train.sampler, train.seed
        )
        BatchStream(self.sampler, train.epochs, world=accelerator.num_processes)  # checks that batches divide
        check_cache(cache, [f for t in (*self.tracklets, *self.held_out) for f in t.frames])
        self.identity = Identity.of(train, model, dataset, self.tracklets, cache)
        torch.manual_seed(train.seed)
        self.model = KeyReID(model, len(self.persons), len(self.cameras))
        self.position = Position()
        self.best: dict[str, Any] = {}
        self.saved = 0  # step of the newest training state

    # the run, from start or checkpoint to end

    def run(self, folder: Path, resume: bool, allow_config_change: bool, show_progress: bool | None) -> Path:
        self.folder = folder
        self.checkpoints = CheckpointFolder(folder / CHECKPOINTS, self.config.checkpoint.keep)
        state = self._state_to_resume(allow_config_change) if resume else None
        self.trainer = Trainer(self.model, self.config, self.accelerator, self.sampler.batches)
        if state is not None:
            self._continue_from(state)
        self._log_start(resume)
        main = self.accelerator.is_main_process
        show = main and (sys.stderr.isatty() if show_progress is None else show_progress)
        total = self.config.epochs * self.sampler.batches
        self.monitor = Monitor(folder, total, self.position.step, show) if main else None
        with self.monitor or nullcontext(), StopSignals() as signals:
            self._train(signals)
        self._finish()
        return folder

    def _train(self, signals: StopSignals) -> None:
        stream = BatchStream(
            self.sampler,
            self.config.epochs,
            (self.position.epoch, self.position.batch),
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        loader = training_loader(self._training_clips(), stream, self.config.loader, self.accelerator.device)
        with closing(iter(loader)) as batches:  # an error ends the workers, too
            self._steps(batches, signals)

    def _steps(self, batches: Iterator[Batch], signals: StopSignals) -> None:
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
            elapsed = time.perf_counter() - mark
            self._record(batch, result, epoch, waited, elapsed)
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
        if self.position.batch == self.sampler.batches:
            self.position.epoch, self.position.batch = self.position.epoch + 1, 0

    def _training_clips(self) -> TrainingClips:
        index = FrameIndex([t.frames for t in self.tracklets])
        config = self.model.config
        disk = disk_reader(self.dataset.root, index, self.cache, config)
        label = {person: i for i, person in enumerate(self.persons)}
        return TrainingClips(
            training_reader(disk, self.config.loader),
            index,
            np.array([label[t.person] for t in self.tracklets], dtype=np.int64),
            camera_index([t.camera for t in self.tracklets], self.cameras),
            config,
            self.config.augment,
            self.model.pixel_mean,
            self.model.pixel_std,
        )

    # checkpoints

    def _due(self) -> bool:
        every = self.config.checkpoint.every_steps
        return bool(every) and self.position.step - self.saved >= every

    def _end_of_epoch(self) -> None:
        epoch, config = self.position.epoch, self.config
        last = epoch == config.epochs
        if self.held_out and (epoch % config.validation.every_epochs == 0 or last):
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
            changes = "; ".join(state["changes"])
            if not changes:
                raise
            raise KeyReIDError(
                f"{self.checkpoints.folder}: the training state does not fit after these changes: {changes} "
                f"({str(error).splitlines()[0]}); undo those that change the network or the optimiser"
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
        order, _ = self.sampler.epoch(self.position.epoch)
        members = [self.tracklets[i].name for i in order[self.position.batch]]
        last = self.checkpoints.newest()
        parts = ", ".join(f"{k} {v:g}" for k, v in error.details.items() if k != "accuracy")
        return KeyReIDError(
            f"loss or gradient is not finite at step {self.position.step + 1} ({parts}); "
            f"batch: {', '.join(members)}; last good checkpoint: {last or 'none'}; "
            "lower train.optim.lr or set train.optim.clip_norm, then resume with --allow-config-change"
        )

    # validation and the finished network

    def _validate(self) -> None:
        scores = {}
        if self.accelerator.is_main_process:
            networks = {"last": self.model}
            if self.trainer.ema is not None:
                networks["ema"] = self.trainer.ema.module
            for name, network in networks.items():
                loader = test_loader(
                    self.dataset.root, self.held_out, self.cache, network.config, network.pixel_mean,
                    network.pixel_std, self.config.validation.batch_size, self.config.loader.workers,
                    clip_cap=self.config.validation.clip_cap, cameras=self.cameras,
                    device=self.accelerator.device,
                )  # fmt: skip
                scores[name] = cross_camera_scores(network, loader, self.held_out)
            which = max(scores, key=lambda name: scores[name]["mean_ap"])
            if scores[which]["mean_ap"] > self.best.get("mean_ap", -1.0):
                self.best = {"weights": which, "step": self.position.step, "epoch": self.position.epoch}
                self.best.update(scores[which])
                self._write(networks[which], self.folder / "best.safetensors", "best", validation=self.best)
            flat = {f"{name}_{k}": v for name, found in scores.items() for k, v in found.items()}
            record = {"kind": "validation", "step": self.position.step, "epoch": self.position.epoch, **flat}
            self.monitor.write(record)
            log.info("validation after epoch %d: %s", self.position.epoch, json.dumps(flat))
        self.best = from_main(self.accelerator, lambda: self.best)

    def _write(self, network: KeyReID, path: Path, weights: str, **extra: Any) -> None:
        try:
            save_model(
                network, path, dataset=self.dataset.name, split=self.dataset.split, weights=weights,
                step=self.position.step, epoch=self.position.epoch, cameras=self.cameras,
                persons=self.persons, pose_cache=self.cache.info.fingerprint, **extra,
            )  # fmt: skip
        except OSError as error:
            raise KeyReIDError(
                f"{path}: cannot be written ({error}); free some space and resume the run, nothing is lost"
            ) from None

    def _finish(self) -> None:
        """Write the last weights and their EMA; model.safetensors is what the config chooses."""
        if self.accelerator.is_main_process:
            networks = {"last": self.model}
            if self.trainer.ema is not None:
                networks["ema"] = self.trainer.ema.module
            for name, network in networks.items():
                self._write(network, self.folder / f"{name}.safetensors", name)
            choice = self.config.checkpoint.choose
            chosen = "best" if choice == "validation" else choice
            for suffix in (".json", ".safetensors"):
                publish(self.folder / f"{chosen}{suffix}", self.folder / f"model{suffix}")
            log.info("finished: %s weights are %s", chosen, self.folder / "model.safetensors")
        self.accelerator.wait_for_everyone()

    # what the run tells

    def _log_start(self, resume: bool) -> None:
        counts = self.sampler.counts
        log.info(
            "training on %d identities, %d tracklets, %d cameras; %d held out for validation",
            counts.identities, counts.tracklets, len(self.cameras), len({t.person for t in self.held_out}),
        )  # fmt: skip
        log.info(
            "%d batches of %d x %d clips an epoch; %d identities have under %d tracklets, %d one camera",
            counts.batches, self.config.sampler.identities, self.config.sampler.tracklets, counts.short,
            self.config.sampler.tracklets, counts.single_camera,
        )  # fmt: skip
        log.info(
            "%s on %s, %d process(es), %d workers each", "resumed" if resume else "started",
            self.accelerator.device, self.accelerator.num_processes, self.config.loader.workers,
        )  # fmt: skip

    def _record(self, batch: dict, result: StepResult, epoch: int, waited: float, elapsed: float) -> None:
        if self.monitor is None:
            return
        record = {
            "kind": "train",
            "step": self.position.step,
            "epoch": epoch,
            **result.details,
            "learning_rate": self.trainer.learning_rate(),
            "clips_per_second": self.sampler.batch_size / elapsed,
            "step_seconds": elapsed,
            "wait_seconds": waited,
            **memory_mb(self.accelerator.device),
        }
        step = self.position.step
        self.monitor.step(record, self.config.epochs)
        if self.position.batch == 0:
            log.info("epoch %d: %s", self.position.epoch, self.monitor.summary(record))
        if step % self.config.log_every == 0:
            self.monitor.write({**record, **attention_statistics(result.output)})
            self.monitor.rates(self.trainer.learning_rates(), step)
        if step == 1 or step % self.config.picture_every == 0:
            self.monitor.pictures(batch, result.output, (self.model.pixel_mean, self.model.pixel_std), step)


def publish(source: Path, target: Path) -> None:
    """Give a finished file a second name, without a second copy where the file system has hard links."""
    part = target.with_name(target.name + ".tmp")
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(target)
