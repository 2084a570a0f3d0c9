"""fp16 with a scaler of gradients, by the path that CUDA takes, here on the CPU."""

import copy
import math

import pytest
import torch

from stages.reid.training.trainer import MOST_SKIPPED, NotFiniteError
from tests.stages.reid.steps import SCALE, steps, trainer, weights

SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "bias_lr_factor": 1.0, "weight_decay": 0.0}


def spoil(trained, factor=math.inf):
    """Make gradients that are not finite; returns what ends it."""
    return trained.model.backbone.camera.register_hook(lambda gradient: gradient * factor)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fp16_follows_fp32(name):
    """Accumulated and clipped, so that every part of an update is in it."""
    optim = {"name": name, "accumulate": 2, "clip_norm": 1.0}
    exact, half = trainer(optim=optim), trainer(fp16=True, optim=optim)
    before = weights(exact)
    plain, scaled = steps(exact, range(6)), steps(half, range(6))
    assert [r.details["loss"] for r in scaled] == pytest.approx(
        [r.details["loss"] for r in plain], rel=5e-3
    ), "losses"
    assert [r.details["gradient_norm"] for r in scaled if r.updated] == pytest.approx(
        [r.details["gradient_norm"] for r in plain if r.updated], rel=2e-2
    ), "norms are reported without the scale"
    assert half.updates == exact.updates == 3
    after, found = weights(exact), weights(half)
    for name in ("objective.global_centers.centers", "objective.part_centers.centers"):
        moved = after[name] - before[name]
        assert moved.norm() > 1e-2
        assert (found[name] - after[name]).norm() < 0.02 * moved.norm(), "centers learn without the scale"


def test_gradients_are_unscaled_before_they_are_clipped():
    trained = trainer(fp16=True, optim=SGD | {"momentum": 0.0, "clip_norm": 0.01})
    before = [p.detach().clone() for p in trained.model.parameters()]
    (result,) = steps(trained, range(1))
    assert result.details["gradient_norm"] > 0.1
    moved = [p.detach() - b for p, b in zip(trained.model.parameters(), before, strict=True)]
    length = float(torch.cat([m.flatten() for m in moved]).norm())
    assert length == pytest.approx(0.01 * trained.learning_rate(), rel=1e-2)


def test_a_skipped_step_changes_no_weight_no_center_and_no_average():
    trained = trainer(fp16=True, optim=SGD)
    steps(trained, range(2))
    before, updates = weights(trained), trained.updates
    buffers = copy.deepcopy([s["momentum_buffer"] for s in trained.optimizer.state.values()])
    hook = spoil(trained)
    (result,) = steps(trained, range(2, 3))
    hook.remove()
    after = weights(trained)
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert all("neck" in name for name in changed), (
        "statistics of the necks, which belong to the forward pass"
    )
    assert not any("centers" in name or name.startswith("ema.") for name in changed)
    now = [s["momentum_buffer"] for s in trained.optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(now, buffers, strict=True))
    assert trained.updates == updates and trained.skipped == 1
    assert result.details["loss_scale"] == SCALE and trained.accelerator.scaler.get_scale() == SCALE / 2
    steps(trained, range(3, 4))
    assert trained.skipped == 0 and trained.updates == updates + 1
    assert any(not torch.equal(value, after[name]) for name, value in weights(trained).items())


def test_a_resume_takes_the_scaler_along():
    whole = trainer(fp16=True, optim=SGD)
    steps(whole, range(2))
    hook = spoil(whole)
    steps(whole, range(2, 3))
    hook.remove()
    state = copy.deepcopy(whole.state())
    resumed = trainer(fp16=True, optim=SGD)
    resumed.load_state(state)
    assert resumed.accelerator.scaler.state_dict() == whole.accelerator.scaler.state_dict()
    assert resumed.skipped == 1
    for trained in (whole, resumed):  # with a growth of the scale in it
        steps(trained, range(3, 8))
    assert whole.accelerator.scaler.get_scale() > SCALE / 2
    assert resumed.accelerator.scaler.state_dict() == whole.accelerator.scaler.state_dict()
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())


@pytest.mark.parametrize(("scale", "most"), [(SCALE, 11), (2.0**60, MOST_SKIPPED)])
def test_gradients_that_are_never_finite_stop_the_run(scale, most):
    trained = trainer(fp16=True, scale=scale, optim=SGD)
    before = weights(trained)
    spoil(trained, math.nan)
    with pytest.raises(NotFiniteError) as caught:
        for number in range(50):
            steps(trained, range(number % 10, number % 10 + 1))
    assert caught.value.details["updates_skipped"] == trained.skipped == most
    assert math.isnan(caught.value.details["gradient_norm"])
    assert all(torch.equal(v, before[k]) for k, v in weights(trained).items() if "neck" not in k)
