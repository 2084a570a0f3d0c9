"""Fitting a pose network on walkers, and the weights that are shipped."""

import json

import numpy as np
import pytest
import torch

from cache.errors import KeyReIDError
from stages.pose import fit
from stages.pose.config import load_spec
from stages.pose.estimator import HRNetEstimator, build_network
from stages.pose.fit_data import MIRROR, augment, make_pool
from stages.pose.pck import measure, pck
from stages.pose.weights import find_weights, read_state_dict

TINY = fit.FitConfig(frames=48, held_out=48, steps=10, batch_size=8, warmup=5, workers=1, threads=1)


@pytest.fixture(scope="module")
def pool():
    return make_pool(seed=7, size=48)


def test_pools_are_the_same_for_a_seed_and_any_number_of_workers(pool):
    again = make_pool(seed=7, size=49, workers=2)
    assert np.array_equal(again.frames[:48], pool.frames)
    assert np.array_equal(again.keypoints[:48], pool.keypoints)


def loss_on(network: torch.nn.Module, pool) -> float:
    """Loss on the pool's frames as they are; by the statistics of the batch, as in training."""
    codec = network.head.decoder
    inputs, affine = fit.to_input(pool.frames, codec)
    points = pool.keypoints.copy()
    points[..., :2] = fit.geometry.apply(affine, points[..., :2])
    heat, weights = map(torch.from_numpy, fit.targets(codec, points, 0.5))
    with torch.no_grad():
        made = network.train().head.forward(network.extract_feat(fit.to_tensor(network, inputs)))
    return float(network.head.loss_module(made, heat, weights))


def test_a_few_steps_lower_the_loss(pool):
    torch.manual_seed(0)
    network = build_network(load_spec("walkers"))
    before = loss_on(network, pool)  # that of no heat at all: the last layer begins near zero
    fit.fit(network, pool, TINY.model_copy(update={"steps": 40}))
    assert loss_on(network, pool) < 0.97 * before


def test_saved_weights_load_where_stage_one_loads_them(tmp_path):
    losses = []
    path = fit.run(TINY, tmp_path, report=lambda step, loss, seconds: losses.append(loss))
    assert len(losses) == 1 and losses[0] > 0
    estimator = HRNetEstimator(load_spec("walkers"), path)
    heat = estimator.forward(estimator.prepare(np.zeros((1, 128, 64, 3), np.uint8)))
    assert heat.shape == (1, 17, 64, 32) and torch.isfinite(heat).all()
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["command"].startswith("keyreid fit-pose --frames 48 --held-out 48 --steps 10")
    assert 0 <= record["pck_0.05_held_out"] <= 1


def test_the_same_seed_gives_the_same_weights(pool):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        network = build_network(load_spec("walkers"))
        fit.fit(network, pool, TINY.model_copy(update={"steps": 4}))
        states.append(network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_impossible_learning_rate_is_one_clear_error(pool):
    network = build_network(load_spec("walkers"))
    with torch.no_grad():
        network.head.final_layer.bias.fill_(float("nan"))
    with pytest.raises(KeyReIDError, match="lower the learning rate"):
        fit.fit(network, pool, TINY)


def test_a_marked_joint_moves_with_its_marker():
    rng = np.random.default_rng(1)
    for trial in range(40):
        frame, points = np.zeros((256, 128, 3), np.uint8), np.zeros((17, 3), np.float32)
        points[5] = [rng.integers(40, 90), rng.integers(60, 200), 2]
        x, y = points[5, :2].astype(int)
        frame[y - 3 : y + 4, x - 3 : x + 4] = 255
        moved, after = augment(np.random.default_rng([2, trial]), frame, points)
        joint = 5 if after[5, 2] else MIRROR[5]
        if after[joint, 2] < 2:
            continue  # erased or out of the frame
        grey = moved.astype(float).sum(-1)
        grey = np.where(grey > np.percentile(grey, 99.5) * 0.7, grey, 0)
        near = grey[max(0, int(after[joint, 1]) - 2) :, max(0, int(after[joint, 0]) - 2) :][:5, :5]
        assert near.max() == pytest.approx(grey.max(), rel=0.35)


def test_heat_is_asked_for_where_a_joint_is_seen_and_only_there():
    codec = build_network(load_spec("walkers")).head.decoder
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 0] = [20, 40, 2]
    points[0, 1] = [30, 60, 1]
    heat, weights = fit.targets(codec, points, hidden_weight=0.5)
    row, column = np.unravel_index(heat[0, 0].argmax(), heat[0, 0].shape)
    assert (column, row) == (10, 20) and heat[0, 0].max() == pytest.approx(1, abs=0.05)
    assert heat[0, 1:].max() == 0
    assert weights[0, 0] == 1 and np.allclose(weights[0, 1:], 0.5 * fit.JOINT_WEIGHTS[1:])


def test_pck_counts_visible_joints_within_a_twentieth_of_the_height():
    true = np.zeros((1, 17, 3))
    true[0, :3, 2] = [2, 2, 1]
    found = np.zeros((1, 17, 3))
    found[0, 0, 0], found[0, 1, 0], found[0, 2, 0] = 12.7, 12.9, 500
    result = pck(found, true, height=256)
    assert (result.share, result.joints) == (0.5, 2)
    assert np.isnan(result.per_joint[3])


def shipped() -> torch.nn.Module:
    from stages.pose.weights import load_into

    spec = load_spec("walkers")
    network = build_network(spec, initialise=False)
    load_into(network, find_weights(spec)[0])
    return network


def test_the_shipped_weights_are_small_and_their_record_belongs_to_them():
    spec = load_spec("walkers")
    path, digest = find_weights(spec)
    record = json.loads((spec.folder / "walkers.json").read_text())
    assert path.parent == spec.folder and path.stat().st_size <= 4 * 2**20
    assert record["weights_sha256"] == digest
    assert digest.startswith(spec.weights.sha256) and len(spec.weights.sha256) >= 8
    assert record["command"].startswith("keyreid fit-pose")


def test_going_on_from_weights_begins_with_them_and_records_where_they_came_from(tmp_path):
    first = fit.run(TINY.model_copy(update={"steps": 2}), tmp_path / "first")
    config = TINY.model_copy(update={"steps": 1, "start": first, "learning_rate": 1e-9})
    second = fit.run(config, tmp_path / "second")
    before, after = read_state_dict(first), read_state_dict(second)
    assert torch.allclose(before["head.final_layer.weight"], after["head.final_layer.weight"], atol=1e-6)
    record = json.loads(second.with_suffix(".json").read_text())
    known = json.loads(first.with_suffix(".json").read_text())
    assert record["started_from"]["weights_sha256"] == known["weights_sha256"]
    assert record["started_from"]["command"] == known["command"]


@pytest.mark.parametrize(
    ("look", "share"), [("clean", 0.95), pytest.param("hard", 0.83, marks=pytest.mark.slow)]
)
def test_the_shipped_weights_find_the_visible_joints_of_other_walkers(tmp_path, look, share):
    from stages.datasets.walkers import make
    from stages.datasets.walkers.config import WalkersConfig

    config = WalkersConfig(
        seed=4711, look=look, identities=16, tracklets=1, min_frames=3, max_frames=4, distractors=0, junk=0
    )
    network = shipped()
    found = measure(lambda frames: fit.predict(network, frames), make.run(config, tmp_path / "held-out"))
    assert found.frames >= 180
    assert found.share >= share
