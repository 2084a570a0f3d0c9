"""Stage two, training: `run` turns a data set and its pose cache into a run folder with a trained network."""

from collections.abc import Callable
from pathlib import Path

import torch

import stages.compat  # noqa: F401  before timm
from cache import PoseCache
from stages.datasets.tracklet import Dataset
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.scoring.provenance import origin_of
from stages.reid.training.checkpoint import CHECKPOINTS, CheckpointFolder
from stages.reid.training.config import TrainConfig
from stages.reid.training.finished import FinishedWeights
from stages.reid.training.identity import Identity
from stages.reid.training.processes import (
    from_main,
    run_folder,
    start_processes,
    tell,
    with_precision,
)
from stages.reid.training.resume import Progress, TrainingStates, check_space
from stages.reid.training.session import Session
from stages.reid.training.trainer import Trainer
from stages.reid.training.training_set import TrainingSet


def run(
    train: TrainConfig,
    model: ModelConfig,
    dataset: Dataset,
    cache: PoseCache,
    run_dir: Path | Callable[[], Path],
    *,
    resume: bool = False,
    allow_config_change: bool = False,
    keep_config: Callable[[], object] | None = None,
    show_progress: bool | None = None,
) -> Path:
    """Train and return the run folder, which then holds `model.safetensors` and its JSON.

    run_dir: the run's folder, as a resume needs it; or a function that makes it, called in the main process
    alone once all inputs are checked. resume: continue the run of that folder from its newest complete
    checkpoint. keep_config: writes down the config of a resume that differs from the run's own, called in
    the main process alone once it is accepted: the checkpoint fits it, or there is no checkpoint yet.
    show_progress: draw the progress bar; default: where stderr is a terminal.
    SIGTERM and SIGINT save and end in SystemExit with code 143 and 130. Raises KeyReIDError, before the first
    step, for inputs that do not fit; and where the loss is not finite.
    """
    accelerator = start_processes(train)
    train = with_precision(train)
    try:
        if resume and CheckpointFolder(Path(run_dir) / CHECKPOINTS, 1).states():
            # the weights come from the checkpoint, so the file that training started from may be gone
            model = model.model_copy(update={"pretrained": False, "vit_path": None})
        data = TrainingSet.of(dataset, cache, train, accelerator.num_processes)
        torch.manual_seed(train.seed)
        network = KeyReID(model, len(data.persons), len(data.cameras))
        identity = Identity.of(train, model, dataset, data.tracklets, cache)
        folder = run_folder(accelerator, run_dir)
        if network.load_report is not None:  # only now there is a log file to hold it
            tell(accelerator, f"start weights: {network.load_report}")

        states = TrainingStates(
            CheckpointFolder(folder / CHECKPOINTS, train.checkpoint.keep), identity, accelerator
        )
        saved = states.newest(allow_config_change) if resume else None
        trainer = Trainer(network, train, accelerator, data.sampler.batches)
        progress = Progress() if saved is None else saved.load_into(trainer)
        if resume and keep_config and (saved is None or saved.changes or allow_config_change):
            from_main(accelerator, keep_config)
        tell(accelerator, from_main(accelerator, lambda: check_space(folder, trainer)))
        data.log()
        tell(
            accelerator,
            f"{'started' if saved is None else 'resumed'} on {accelerator.device}, "
            f"{accelerator.num_processes} process(es), {train.loader.workers} reading workers each: {folder}",
        )

        origin = {**origin_of(dataset, cache), "precision": train.precision}
        labels = {"cameras": data.cameras, "persons": data.persons}
        weights = FinishedWeights(folder, {**origin, **labels})
        Session(folder, trainer, data, states, weights, progress, show_progress).run()
        return folder
    finally:
        accelerator.end_training()
