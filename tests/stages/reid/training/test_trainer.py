"""Updates: what a resume keeps and what it may change, clipping."""

import copy

import pytest
import torch

from stages.reid.training.trainer import Trainer
from tests.stages.reid.steps import steps, trainer, weights

START = {"optim": {"name": "adamw", "weight_decay": 0.01, "momentum": 0.9}}


def moments(trained: Trainer) -> dict[str, torch.Tensor]:
    """AdamW's mean gradient of every parameter, by name."""
    names = {id(p): n for n, p in trained.model.named_parameters()}
    return {names[id(p)]: state["exp_avg"] for p, state in trained.optimizer.state.items()}


@pytest.fixture(scope="module")
def state() -> dict:
    """Of a run of 3 steps."""
    trained = trainer(**START)
    steps(trained, range(3))
    return copy.deepcopy(trained.state())


@pytest.mark.parametrize(
    ("optim", "key", "expected"),
    [
        ({"weight_decay": 0.5}, "weight_decay", {0.5}),
        ({"decay_vectors": False}, "weight_decay", {0.01, 0.0}),
        ({"momentum": 0.5}, "betas", {(0.5, 0.999)}),
        ({"bias_lr_factor": 3.0}, "initial_lr", {0.001, 0.003}),
        ({"head_lr_factor": 4.0}, "lr_scale", {1.0, 4.0}),
        ({"layer_decay": 0.5}, "lr_scale", {1.0, 0.5, 0.25, 0.125}),
        ({"lr": 0.01}, "initial_lr", {0.01}),
    ],
    ids=str,
)
def test_a_resume_takes_changed_settings_of_the_optimiser_and_keeps_what_it_has_learnt(
    state, optim, key, expected
):
    changed = trainer(optim=START["optim"] | optim)
    changed.load_state(copy.deepcopy(state))
    assert {group[key] for group in changed.optimizer.param_groups} == expected
    unchanged = trainer(**START)
    unchanged.load_state(copy.deepcopy(state))
    found, kept = moments(changed), moments(unchanged)
    assert (
        found.keys()
        == kept.keys()
        == dict(changed.model.named_parameters()).keys()
        - {n for n, p in changed.model.named_parameters() if not p.requires_grad}
    )
    assert all(torch.equal(found[name], kept[name]) for name in kept)
    before = weights(changed)
    steps(changed, range(3, 4))
    assert any(not torch.equal(v, before[k]) for k, v in weights(changed).items())


def test_a_resume_takes_changed_settings_of_sgd_and_of_the_centers():
    trained = trainer(optim={"name": "sgd", "lr": 0.01})
    steps(trained, range(2))
    changed = trainer(optim={"name": "sgd", "lr": 0.01, "momentum": 0.3, "center_lr": 0.125})
    changed.load_state(copy.deepcopy(trained.state()))
    assert {group["momentum"] for group in changed.optimizer.param_groups} == {0.3}
    assert [group["lr"] for group in changed.center_optimizer.param_groups] == [0.125]
    buffers = [s["momentum_buffer"] for s in changed.optimizer.state.values()]
    assert buffers and all(b.abs().sum() > 0 for b in buffers)


def test_a_resume_goes_on_as_the_run_would_have(state):
    whole, resumed = trainer(**START), trainer(**START)
    steps(whole, range(5))
    resumed.load_state(copy.deepcopy(state))
    steps(resumed, range(3, 5))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())


def test_an_average_that_begins_with_a_resume_begins_at_the_weights():
    trained = trainer(ema={"decay": 0.0})
    steps(trained, range(2))
    resumed = trainer(ema={"decay": 0.9})
    resumed.load_state(copy.deepcopy(trained.state()))
    average = resumed.ema.module.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in resumed.model.state_dict().items())


def test_clipping_shortens_the_step_and_the_norm_told_is_that_before():
    """With SGD without momentum and decay the first step is the gradient, times the rate."""
    free = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "bias_lr_factor": 1.0}
    lengths, norms = [], []
    for limit in (None, 0.01):
        trained = trainer(optim=free | {"clip_norm": limit})
        before = [p.detach().clone() for p in trained.model.parameters()]
        (result,) = steps(trained, range(1))
        moved = [p.detach() - b for p, b in zip(trained.model.parameters(), before, strict=True)]
        rate = trained.learning_rate()
        lengths.append(float(torch.cat([m.flatten() for m in moved]).norm()) / rate)
        norms.append(result.details["gradient_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and norms[0] > 0.1
    assert lengths == [pytest.approx(norms[0], rel=1e-3), pytest.approx(0.01, rel=1e-2)]
