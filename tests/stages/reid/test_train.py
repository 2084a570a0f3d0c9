"""A run from start to end, and that its result depends on nothing but its seed and config."""

import json
import os
import random
import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.weights import load_model
from stages.reid.training.config import LossConfig
from stages.reid.training.objective import Objective
from stages.reid.training.trainer import random_state, set_random_state
from tests.stages.reid.conftest import records
from tests.stages.reid.driver import MODEL

COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
LOSSES = ("loss", "identity_loss", "triplet_loss", "center_loss", "attention_loss")


def losses(run_dir, names=LOSSES):
    return np.array([[r[n] for n in names] for r in records(run_dir)])


def test_a_run_leaves_a_network_with_its_cameras_and_metrics(once):
    folder = once()
    model, extra = load_model(folder / "model.safetensors")
    assert model.num_persons == 5 and model.num_cameras == 2
    assert extra["cameras"] == [1, 2] and extra["persons"] == [0, 1, 2, 3, 4]
    steps = records(folder)
    assert [r["step"] for r in steps] == list(range(1, len(steps) + 1)) and len(steps) == 3 * 5
    wanted = {
        *LOSSES,
        "accuracy",
        "gradient_norm",
        "learning_rate",
        "clips_per_second",
        "step_seconds",
        "memory_mb",
    }
    assert wanted <= steps[0].keys()


def test_the_same_seed_gives_the_same_weights_with_0_1_and_2_workers_and_from_memory(once):
    weights = [
        (once(**settings) / "model.safetensors").read_bytes()
        for settings in (
            {},
            {"train": {"loader": {"workers": 1}}},
            {"train": {"loader": {"workers": 2, "prefetch": 3}}},
            {"train": {"loader": {"workers": 1, "memory_mb": 100, "start": "forkserver"}}},
        )
    ]
    assert weights[0] == weights[1] == weights[2] == weights[3]
    assert weights[0] != (once(train={"seed": 2}) / "model.safetensors").read_bytes()


def test_two_processes_give_the_losses_of_one_with_the_same_global_batch(once):
    """20 steps, mined and normalised over both processes' features; SGD as published, drop path on."""
    settings = {
        "train": {
            "epochs": 4,
            "optim": {"name": "sgd", "lr": 0.02, "bias_lr_factor": 2.0},
            "loader": {"workers": 1},
        },
        "model": {"drop_path": 0.3},
    }
    one, two = once(world=1, **settings), once(world=2, **settings)
    alone, shared = losses(one), losses(two)
    assert len(alone) == 20
    np.testing.assert_allclose(shared, alone, rtol=1e-5, atol=1e-5)
    assert np.ptp(alone[:, 0]) > 0.1, "training moves"
    accuracy = [[r["accuracy"] for r in records(folder)] for folder in (one, two)]
    assert accuracy[0] == pytest.approx(accuracy[1])


def test_tensorboard_gets_losses_rates_attention_histograms_and_a_picture_of_part_maps(once):
    board = EventAccumulator(str(once(train={"picture_every": 5}) / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    for name in (*LOSSES, "accuracy", "gradient_norm", "learning_rate"):
        assert f"train/{name}" in tags["scalars"]
    assert any(t.startswith("train/attention_") for t in tags["scalars"])
    assert any(t.startswith("learning_rate/") for t in tags["scalars"])
    assert "embedding/global" in tags["histograms"] and "embedding/parts" in tags["histograms"]
    assert tags["images"] == ["part_maps"]


@pytest.mark.parametrize(
    "settings",
    [
        {"activation_checkpointing": True},
        {"compile": True, "compile_backend": "eager"},
        pytest.param({"compile": True, "compile_backend": "aot_eager"}, marks=pytest.mark.slow),
    ],
)
def test_activation_checkpointing_and_compile_change_no_result(once, settings):
    # three blocks, so that one of the trunk drops frames
    model = {"drop_path": 0.5, "backbone_args": {"depth": 3}, "parts": 3}
    plain, other = (once(train={"epochs": 2, **more}, model=model) for more in ({}, settings))
    np.testing.assert_allclose(losses(other), losses(plain), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler on the CPU; none is here")
def test_the_default_compiler_changes_no_result(once):
    """One branch and one part: every kernel is a second of compiling."""
    parts = {"hips": ["left_hip", "right_hip"]}
    model = {"drop_path": 0.5, "backbone_args": {"depth": 3}, "local_only": True, "parts": parts}
    runs = [once(train={"compile": on, "epochs": 1}, model=model) for on in (True, False)]
    compiled, plain = (losses(run, LOSSES[:-1]) for run in runs)
    assert len(compiled) == 5
    np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-4)


def test_accumulated_gradients_make_one_step_of_several_batches_and_end_with_the_epoch(once):
    steps = records(once(train={"optim": {"accumulate": 2}}))
    assert ["gradient_norm" in r for r in steps] == 3 * [False, True, False, True, True]


def test_bf16_trains(once):
    steps = losses(once(train={"precision": "bf16"}))
    assert np.isfinite(steps).all()
    np.testing.assert_allclose(steps[0], losses(once())[0], rtol=0.05, atol=0.05)


def test_the_ema_follows_the_weights_and_can_be_chosen(once):
    folder = once(train={"checkpoint": {"choose": "ema"}})
    ema, _ = load_model(folder / "model.safetensors")
    last, extra = load_model(folder / "last.safetensors")
    assert (
        extra["weights"] == "last"
        and json.loads((folder / "model.json").read_text())["extra"]["weights"] == "ema"
    )
    pairs = [(a, b) for (_, a), (_, b) in zip(ema.named_parameters(), last.named_parameters(), strict=True)]
    assert any(not torch.equal(a, b) for a, b in pairs)
    plain = once()
    assert (plain / "ema.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert (plain / "last.safetensors").samefile(plain / "model.safetensors")


def test_validation_holds_identities_out_and_chooses_among_last_and_ema(once):
    config = {"validation": {"share": 0.4, "every_epochs": 1}, "checkpoint": {"choose": "validation"}}
    folder = once(train=config)
    model, extra = load_model(folder / "model.safetensors")
    assert (
        model.num_persons == 3
        and extra["weights"] == "best"
        and extra["validation"]["weights"] in ("last", "ema")
    )
    found = records(folder, "validation")
    assert [r["epoch"] for r in found] == [1, 2, 3]
    assert all(
        0 <= r[k] <= 1 for r in found for k in ("last_mean_ap", "last_rank_1", "ema_mean_ap", "ema_rank_1")
    )
    best = max(max(r["last_mean_ap"], r["ema_mean_ap"]) for r in found)
    assert json.loads((folder / "best.json").read_text())["extra"]["validation"]["mean_ap"] == pytest.approx(
        best
    )


def test_two_processes_validate_and_choose_as_one_does(once):
    config = {"validation": {"share": 0.4, "every_epochs": 1}, "checkpoint": {"choose": "validation"}}
    one, two = (once(world=world, train=config) for world in (1, 2))
    best = [json.loads((folder / "best.json").read_text())["extra"]["validation"] for folder in (one, two)]
    assert best[0]["step"] == best[1]["step"]
    assert best[0]["mean_ap"] == pytest.approx(best[1]["mean_ap"], abs=1e-6)


def test_centers_of_both_branches_are_trained(once):
    folder = once()
    newest = sorted((folder / "checkpoints").glob("state-*.pt"))[-1]
    first = sorted((once(train={"epochs": 1}) / "checkpoints").glob("state-*.pt"))[-1]
    now, then = (torch.load(p, weights_only=True)["trainer"]["objective"] for p in (newest, first))
    for name in ("global_centers.centers", "part_centers.centers"):
        assert (now[name] - then[name]).abs().max(dim=1).values.min() > 1e-4, "every person's"


@pytest.mark.parametrize(
    "switch",
    [
        {},
        {"global_only": True},
        {"local_only": True},
        {"kps": False},
        {"part_specific": True},
        {"tcss": "sequence"},
        {"guidance": "published"},
        {"parts": 3},
    ],
    ids=str,
)
def test_every_trained_parameter_gets_a_gradient_whatever_is_switched_off(switch):
    """DDP needs it, and a parameter without one would be dead weight."""
    model = KeyReID(ModelConfig(**{**MODEL, **switch}), num_persons=3, num_cameras=2)
    objective = Objective(model, LossConfig())
    batch = {
        "images": torch.randn(4, 2, 3, 64, 32),
        "part_maps": torch.rand(4, 2, model.num_parts, 64, 32),
        "persons": torch.tensor([0, 0, 1, 1]),
        "cameras": torch.tensor([0, 1, 0, 1]),
        "keys": torch.arange(4),
        "erased": torch.ones(4, 2),
    }
    total, details, _ = objective(batch)
    total.backward()
    without = [n for n, p in objective.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert details["loss"].item() == pytest.approx(total.item())


def test_the_random_state_of_every_generator_comes_back():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    state = random_state()
    first = draw()
    assert draw() != first
    set_random_state(state)
    assert draw() == first
