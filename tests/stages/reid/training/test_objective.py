"""Losses and learning rates agree with the published ones."""

import json

import numpy as np
import pytest
import torch

from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.keyreid import ClipOutput
from stages.reid.training.config import LossConfig, OptimConfig, ScheduleConfig
from stages.reid.training.objective import (
    CenterLoss,
    Objective,
    attention_loss,
    identity_loss,
    released_attention_loss,
    triplet_loss,
)
from stages.reid.training.optim import Schedule, build_optimizer, layer_scale, parameter_groups

SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"depth": 2, "embed_dim": 16, "num_heads": 2, "patch_size": 16},
    "image_size": (64, 32),
}


@pytest.fixture(scope="module")
def published(real_data):
    return json.loads((real_data / "published" / "losses_schedule.json").read_text())


@pytest.fixture(scope="module")
def figures(published):
    """The inputs as published/losses_schedule.json describes them: 7 scores, 7 features, persons, centers."""
    rng = np.random.Generator(np.random.PCG64(20260101))
    scores = [torch.tensor(rng.standard_normal((16, 10)).astype(np.float32)) for _ in range(7)]
    widths = [768] + [3072] * 6
    features = [torch.tensor((rng.standard_normal((16, w)) * 0.3).astype(np.float32)) for w in widths]
    centers = [torch.tensor(rng.standard_normal((10, w)).astype(np.float32)) for w in (768, 3072)]
    return scores, features, torch.tensor(np.repeat([1, 4, 7, 9], 4)), centers


def test_each_loss_agrees_with_the_published_figures(published, figures):
    scores, features, persons, centers = figures
    close = {"rel": 1e-5, "abs": 1e-5}
    assert [identity_loss(s, persons).item() for s in scores] == pytest.approx(published["id_each"], **close)
    assert [triplet_loss(f, persons).item() for f in features] == pytest.approx(
        published["triplet_each"], **close
    )
    found = []
    for i, feature in enumerate(features):
        loss = CenterLoss(10, feature.shape[1])
        loss.centers.data = centers[min(i, 1)]
        found.append(loss(feature, persons).item())
    assert found == pytest.approx(published["center_each"], **close)


def test_the_total_agrees_with_the_published_figures(published, figures):
    scores, features, persons, centers = figures

    class Network:  # what the losses ask of a network
        config = ModelConfig(guidance="published")

    objective = Objective.__new__(Objective)
    torch.nn.Module.__init__(objective)
    objective.model, objective.config, objective.global_share = Network(), LossConfig(), 0.75
    objective.global_centers, objective.part_centers = CenterLoss(10, 768), CenterLoss(10, 3072)
    objective.global_centers.centers.data, objective.part_centers.centers.data = centers
    blank = dict.fromkeys(ClipOutput._fields)
    out = ClipOutput(
        **{
            **blank,
            "global_feature": features[0],
            "part_features": torch.stack(features[1:], dim=1),
            "global_embedding": features[0],
            "part_embeddings": torch.stack(features[1:], dim=1),
            "global_logits": scores[0],
            "part_logits": torch.stack(scores[1:], dim=1),
            "frame_scores": torch.zeros(16, 4),
        }
    )
    total, details = objective.losses(out, persons, torch.ones(16, 4))
    assert total.item() == pytest.approx(published["total_without_attention"], rel=1e-5)
    assert details["identity_loss"].item() == pytest.approx(published["id"], rel=1e-5)
    assert details["triplet_loss"].item() == pytest.approx(published["triplet"], rel=1e-5)
    assert details["center_loss"].item() == pytest.approx(published["center"], rel=1e-5)


def test_learning_rates_agree_with_the_published_schedule(published):
    weight, bias = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.008}, {"params": [bias], "lr": 0.016}])
    schedule = Schedule(optimizer, ScheduleConfig(), epochs=120, total_steps=1200)
    rates = {}
    for epoch in range(120):  # ours count from 0, the published from 1
        schedule.set(epoch, epoch * 10)
        rates[epoch + 1] = [group["lr"] for group in optimizer.param_groups]
    expected = {int(epoch): rate for epoch, rate in published["lr_by_epoch"].items() if int(epoch) > 0}
    assert {epoch: rates[epoch][0] for epoch in expected} == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert rates[40][1] == pytest.approx(1.6e-5 + (0.016 - 1.6e-5) * (1 + np.cos(np.pi / 3)) / 2, rel=1e-6)
    assert rates[120] == pytest.approx([1.6e-5, 1.6e-5], rel=1e-9)
    fresh = Schedule(optimizer, ScheduleConfig(first_epoch=0), epochs=120, total_steps=1200)
    fresh.set(0, 0)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([8e-5, 8e-5])
    assert published["lr_by_epoch"]["0"] == pytest.approx(8e-5)


def test_the_schedule_can_follow_steps():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    config = ScheduleConfig(every="step", warmup_epochs=2, warmup_lr=0.0, min_lr=0.0)
    schedule = Schedule(optimizer, config, epochs=10, total_steps=50)
    rates = []
    for step in range(50):
        schedule.set(step // 5, step)
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates[:9], np.arange(1, 10) / 10)
    assert np.all(np.diff(rates[10:]) < 0) and rates[-1] == pytest.approx(0, abs=1e-3)


def test_centers_get_the_gradient_of_the_unweighted_loss_and_features_the_weighted():
    torch.manual_seed(0)
    features, persons = torch.randn(6, 5, requires_grad=True), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = CenterLoss(3, 5)
    plain = loss(features, persons)
    for_features, for_centers = torch.autograd.grad(plain, [features, loss.centers])
    value, term = loss.weighted(features, persons, 0.0005)
    assert value.item() == pytest.approx(plain.item()) and term.item() == pytest.approx(0.0005 * plain.item())
    found = torch.autograd.grad(term, [features, loss.centers])
    torch.testing.assert_close(found[0], 0.0005 * for_features)
    torch.testing.assert_close(found[1], for_centers)
    assert torch.autograd.grad(loss.weighted(features, persons, 0.0)[1], loss.centers)[0].abs().sum() > 0


def test_batch_hard_takes_the_farthest_same_and_the_nearest_other():
    features = torch.tensor([[0.0], [1.0], [5.0], [3.0]])
    persons = torch.tensor([0, 0, 0, 1])
    # anchor 0: 5 and 3; anchor 1: 4 and 2; anchor 2: 5 and 2; anchor 3: itself (0) and 2
    expected = np.log1p(np.exp([2.0, 2.0, 3.0, -2.0])).mean()
    assert triplet_loss(features, persons).item() == pytest.approx(expected, rel=1e-5)
    assert triplet_loss(features, persons, margin=0.3).item() == pytest.approx(
        (2.3 + 2.3 + 3.3) / 4, rel=1e-5
    )


def test_a_batch_of_one_person_or_of_equal_features_gives_finite_gradients():
    features = torch.zeros(4, 3, requires_grad=True)
    for persons in (torch.zeros(4, dtype=torch.int64), torch.tensor([0, 0, 1, 1])):
        (gradient,) = torch.autograd.grad(triplet_loss(features, persons), features)
        assert torch.isfinite(gradient).all()


def losses_and_gradients(features, logits, persons, autocast):
    """Each loss with its gradient. The distances of the caller's features are small beside their norms."""
    scores = features[:, :4].abs()
    center = CenterLoss(4, features.shape[1])
    center.centers.data = features.detach()[:4] + 0.5
    inputs = (features, logits, center.centers)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = {
            "identity": identity_loss(logits, persons),
            "triplet": triplet_loss(features, persons),
            "triplet with margin": triplet_loss(features, persons, margin=0.3),
            "center": center.weighted(features, persons, 0.5)[1],
            "attention": attention_loss(scores.softmax(dim=1), torch.full((len(features), 4), 0.7)),
            "released attention": released_attention_loss(scores, torch.ones(len(features), 4)),
        }
    return {
        name: (loss.detach(), *torch.autograd.grad(loss, inputs, retain_graph=True, materialize_grads=True))
        for name, loss in losses.items()
    }


@pytest.mark.parametrize("width", [768, 3072])
def test_losses_and_gradients_under_autocast_are_those_of_float32(width):
    torch.manual_seed(0)
    spread = 0.03 * torch.randn(16, width)
    features = torch.nn.functional.layer_norm(torch.randn(width) + spread, (width,)).requires_grad_()
    logits, persons = torch.randn(16, 4, requires_grad=True), torch.arange(16) // 4
    plain, cast = (losses_and_gradients(features, logits, persons, on) for on in (False, True))
    for name, expected in plain.items():
        for found, wanted in zip(cast[name], expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_released_attention_loss_is_the_mean_over_clips_of_the_scores_of_erased_frames():
    scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    erased = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert released_attention_loss(scores, erased).item() == pytest.approx((4 + 5) / 2)


def test_attention_loss_is_minus_the_log_of_the_attention_on_what_is_to_be_seen():
    weights = torch.tensor([[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]])
    hidden = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    assert attention_loss(weights, hidden).item() == pytest.approx(-np.log(1 - 0.125 - 0.5) / 2)


def test_attention_loss_takes_weight_from_hidden_frames_and_none_where_all_are_hidden_alike():
    scores = torch.zeros(3, 4, requires_grad=True)
    hidden = torch.tensor([[0.0, 0.0, 1.0, 0.4], [0.6] * 4, [0.0] * 4])
    (gradient,) = torch.autograd.grad(attention_loss(scores.softmax(1), hidden), scores)
    assert gradient[0, 2] > gradient[0, 3] > 0 > gradient[0, 0] == gradient[0, 1]
    torch.testing.assert_close(gradient[1:], torch.zeros(2, 4), atol=1e-7, rtol=0)


def test_attention_loss_of_a_clip_without_anything_to_see_is_finite():
    weights = torch.tensor([[0.5, 0.5]], requires_grad=True)
    loss = attention_loss(weights, torch.ones(1, 2))
    (gradient,) = torch.autograd.grad(loss, weights)
    assert loss.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("guidance", ["prior", "published"])
def test_the_objective_uses_the_attention_loss_of_its_guidance(guidance):
    torch.manual_seed(0)
    args = {"depth": 2, "embed_dim": 16, "num_heads": 2, "patch_size": 16}
    sizes = {"backbone": "vit_tiny_patch16_224", "backbone_args": args, "image_size": (64, 32)}
    model = KeyReID(ModelConfig(**sizes, guidance=guidance), num_persons=3, num_cameras=0)
    with torch.no_grad():
        for parameter in model.global_branch.pool.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        if guidance == "published":
            model.global_branch.pool.tconv.bias.fill_(2.0)  # scores that its ReLU lets through
    images, maps = torch.randn(4, 4, 3, 64, 32), torch.rand(4, 4, 6, 4, 2)
    persons, erased = torch.tensor([0, 0, 1, 2]), torch.eye(4)
    out = model(images, maps)
    _, details = Objective(model, LossConfig()).losses(out, persons, erased)
    if guidance == "prior":
        expected = attention_loss(out.frame_weights, erased)
    else:
        expected = released_attention_loss(out.frame_scores, erased)
    assert details["attention_loss"].item() == pytest.approx(expected.item()) and expected > 0


def test_the_triplet_loss_compares_features_or_unit_embeddings():
    model = KeyReID(ModelConfig(**SMALL, global_only=True), num_persons=3, num_cameras=0)
    images, maps = torch.randn(4, 4, 3, 64, 32), torch.rand(4, 4, 6, 4, 2)
    persons = torch.tensor([0, 0, 1, 2])
    out = model(images, maps)
    unit = torch.nn.functional.normalize(out.global_embedding)
    for fields, compared in (
        ({}, out.global_feature),
        ({"triplet_on": "embedding", "triplet_scale": 5.0}, 5 * unit),
    ):
        _, details = Objective(model, LossConfig(**fields)).losses(out, persons, torch.zeros(4, 4))
        assert details["triplet_loss"].item() == pytest.approx(
            triplet_loss(compared, persons).item(), rel=1e-5
        )


def test_the_joined_triplet_loss_compares_what_the_test_compares():
    model = KeyReID(ModelConfig(**SMALL), num_persons=3, num_cameras=0).eval()
    images, maps = torch.randn(4, 4, 3, 64, 32), torch.rand(4, 4, 6, 4, 2)
    persons, config = torch.tensor([0, 0, 1, 2]), LossConfig(triplet_on="joined", triplet_scale=2.0)
    out = model(images, maps)
    _, details = Objective(model, config).losses(out, persons, torch.zeros(4, 4))
    expected = triplet_loss(2.0 * model.joined(out), persons)
    assert details["triplet_loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.fixture(scope="module")
def network():
    args = {"depth": 3, "embed_dim": 32, "num_heads": 2, "patch_size": 16}
    config = ModelConfig(
        backbone="vit_tiny_patch16_224", backbone_args=args, image_size=(64, 32), clip_length=2
    )
    return KeyReID(config, num_persons=5, num_cameras=2)


def test_every_parameter_is_in_one_group_and_biases_learn_twice_as_fast(network):
    groups = parameter_groups(network, OptimConfig())
    trained = [p for p in network.parameters() if p.requires_grad]
    assert sorted(map(id, trained)) == sorted(id(p) for g in groups for p in g["params"])
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert rate[id(parameter)] == pytest.approx(0.016 if name.endswith("bias") else 0.008), name
    assert {g["weight_decay"] for g in groups} == {1e-4}
    undecayed = parameter_groups(network, OptimConfig(decay_vectors=False))
    assert all(p.ndim == 1 for g in undecayed if g["weight_decay"] == 0 for p in g["params"])


def test_layer_decay_slows_lower_blocks_down(network):
    names = [n for n, p in network.named_parameters() if p.requires_grad]
    scales = {n: layer_scale(n, depth=3, decay=0.5) for n in names}
    assert scales["backbone.vit.cls_token"] == scales["backbone.camera"] == 0.5**4
    assert scales["backbone.vit.blocks.0.mlp.fc1.weight"] == 0.5**3
    assert scales["backbone.vit.blocks.1.mlp.fc1.weight"] == 0.5**2
    assert scales["global_branch.block.mlp.fc1.weight"] == 0.5
    assert {scales[n] for n in names if n.startswith(("local", "part_", "global_neck"))} == {1.0}
    optimizer = build_optimizer(
        network, OptimConfig(name="adamw", lr=1e-3, bias_lr_factor=1.0, layer_decay=0.5)
    )
    Schedule(optimizer, ScheduleConfig(warmup_epochs=0, min_lr=0.0), epochs=10, total_steps=10).set(-1, 0)
    assert {round(g["lr"] / 1e-3, 6) for g in optimizer.param_groups} == {1.0, 0.5, 0.25, 0.125, 0.0625}
