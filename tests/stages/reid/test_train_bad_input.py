"""Mistakes are found before the first step, and named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.writer import write_cache
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.train import run
from stages.reid.training.checkpoint import CHECKPOINTS, CheckpointFolder
from stages.reid.training.config import TrainConfig
from stages.reid.training.training_set import TrainingSet
from stages.reid.training.validation import hold_out
from tests.stages.reid.conftest import finish, records, start
from tests.stages.reid.driver import MODEL, TRAIN, Job, dataset, merged


def attempt(tiny, tmp_path, train=None, data=None, cache=None, **options):
    """Run here, without a process of its own: it must fail before it starts."""
    made = []

    def make():
        made.append(tmp_path / "run")
        return made[0]

    with pytest.raises(KeyReIDError) as caught:
        run(
            TrainConfig(**merged(TRAIN, train or {})),
            ModelConfig(**MODEL),
            data or dataset(tiny),
            PoseCache.open(cache or tiny / "cache"),
            make,
            **options,
        )
    assert not made, "the run folder is not made for a run that cannot start"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_cache_without_some_frames(tiny, tmp_path):
    frames = [f for t in dataset(tiny).train[:-1] for f in t.frames]
    count = len(frames)
    write_cache(
        tmp_path / "few", frames, np.zeros((count, 17, 64, 32), np.uint8),
        np.zeros((count, 17, 3), np.float32), np.full((count, 2), 64),
    )  # fmt: skip
    message = attempt(tiny, tmp_path, cache=tmp_path / "few")
    assert (
        dataset(tiny).train[-1].frames[0] in message and "4 of 70" in message and "extract-poses" in message
    )


def test_fewer_identities_than_a_batch_needs(tiny, tmp_path):
    message = attempt(tiny, tmp_path, train={"sampler": {"identities": 6}})
    assert "train.sampler.identities = 6" in message and "only 5" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_asked_for_and_absent(tiny, tmp_path):
    assert "train.device = cuda" in attempt(tiny, tmp_path, train={"device": "cuda"})
    assert "train.precision = fp16" in attempt(tiny, tmp_path, train={"precision": "fp16"})


def test_a_share_for_validation_that_leaves_too_few(tiny, tmp_path):
    assert "train.validation.share = 0.95" in attempt(tiny, tmp_path, train={"validation": {"share": 0.95}})


def test_whole_identities_are_held_out_and_only_those_that_can_be_ranked(tiny):
    tracklets = list(dataset(tiny).train)
    tracklets = [t for t in tracklets if not (t.person == 3 and t.camera == 2)]
    for seed in range(20):
        training, held = hold_out(tracklets, share=0.4, seed=seed)
        assert {t.person for t in training}.isdisjoint({t.person for t in held})
        assert len({t.person for t in held}) == 2 and 3 not in {t.person for t in held}
        assert len(training) + len(held) == len(tracklets)


def test_a_network_that_lacks_a_camera_of_the_training_set(tiny):
    config = TrainConfig(**TRAIN)
    data = TrainingSet.of(dataset(tiny), PoseCache.open(tiny / "cache"), config, 1)
    network = KeyReID(ModelConfig(**MODEL), len(data.persons), num_cameras=1)
    with pytest.raises(KeyReIDError, match="camera 1: the network knows cameras 0 to 0"):
        data.batches(network, (0, 0), 0, 1)


@pytest.fixture
def stopped(tiny, tmp_path):
    """A job whose run has a checkpoint after epoch 1 of 3."""
    job = Job(tiny, tmp_path / "run", {"checkpoint": {"every_epochs": 1}})
    processes = start(job)
    while len(records(job.run_dir)) < 8 and processes[0].is_alive():
        pass
    processes[0].kill()
    finish(processes)
    return replace(job, resume=True)


def test_a_resume_with_another_config_names_the_differences(stopped):
    job = replace(stopped, train=merged(stopped.train, {"optim": {"lr": 0.5}, "loader": {"workers": 1}}))
    assert finish(start(job)) == [2]
    message = (job.run_dir / "error.txt").read_text()
    assert "train.optim.lr: 0.001 -> 0.5" in message and "--allow-config-change" in message
    assert "workers" not in message, "what changes no result may change"
    assert finish(start(replace(job, allow_config_change=True))) == [0]
    assert records(job.run_dir)[-1]["step"] == 15
    assert "train.optim.lr: 0.001 -> 0.5" in (job.run_dir / "log-0.txt").read_text()


def test_another_number_of_classes_another_network_or_optimiser_is_never_resumed(stopped):
    cases = (
        (replace(stopped, train={"validation": {"share": 0.4}}), "has 5 classes, the training set 3"),
        (replace(stopped, model={"attention_width": 8}), "model.attention_width: 16 -> 8"),
        (replace(stopped, train={"optim": {"name": "sgd"}}), "train.optim.name = adamw, not sgd"),
    )
    for job, expected in cases:
        assert finish(start(replace(job, allow_config_change=True))) == [2]
        assert expected in (job.run_dir / "error.txt").read_text()


def test_a_state_of_another_version_of_the_program_is_refused(stopped):
    folder = CheckpointFolder(stopped.run_dir / CHECKPOINTS, keep=3)
    state = folder.load(folder.newest())
    del state["trainer"]["parameters"]
    folder.save(state["position"]["step"], state, {})
    assert finish(start(stopped)) == [2]
    assert "does not fit this version" in (stopped.run_dir / "error.txt").read_text()


def test_a_loss_that_is_not_finite_stops_with_step_batch_and_last_good_checkpoint(tiny, tmp_path):
    config = {
        "optim": {"name": "sgd", "lr": 1e18},
        "checkpoint": {"every_steps": 1},
        "loader": {"workers": 2},
    }
    job = Job(tiny, tmp_path / "run", config)
    assert finish(start(job)) == [2]
    message = (job.run_dir / "error.txt").read_text()
    step = len(records(job.run_dir))
    assert (
        f"not finite at step {step + 1} (loss " in message
        and message.count("C1T") + message.count("C2T") == 4
    )
    assert f"state-{step:08d}.pt" in message
    assert not (job.run_dir / "model.safetensors").exists()
