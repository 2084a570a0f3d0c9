"""Draws depend on the key alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.reid.model.drop_path import KeyedDropPath, frame_keys
from stages.reid.model.keyed_random import hashed, hashed_range, keyed_uniform, uniform
from stages.splitmix import GAMMA
from tests.stages.reid.model.tiny import tiny_clips, tiny_model

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, min_size=1, max_size=5), st.integers(0, 2**31))
def test_a_sample_draws_the_same_in_any_batch(keys, salt):
    together = keyed_uniform(torch.tensor(keys), salt, (3, 2))
    alone = [keyed_uniform(torch.tensor([key]), salt, (3, 2))[0] for key in keys]
    assert torch.equal(together, torch.stack(alone))
    assert (together >= 0).all() and (together < 1).all()


def test_first_numbers_are_those_of_splitmix64():
    # Published test vector of SplitMix64 for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = [int(hashed(torch.tensor([1234567]), i)) % 2**64 for i in range(3)]
    assert found == expected


def test_a_range_of_numbers_gives_what_each_gives_and_what_a_product_with_positions_would():
    keys = torch.tensor([0, -1, 1234567, 2**63 - 1, -(2**63)])
    for count in (0, 1, 2, 300):
        found = hashed_range(keys, count)
        assert found.shape == (5, count)
        assert all(torch.equal(found[:, number], hashed(keys, number)) for number in range(count))
        moved = keys[:, None] + GAMMA * torch.arange(count)  # hashing number 0 adds GAMMA once more
        assert torch.equal(found, hashed(moved, 0))


def test_draws_are_even_and_unlike_for_neighbouring_keys_and_salts():
    keys = torch.arange(1000)
    drawn = keyed_uniform(keys, 0, (50,))
    assert abs(drawn.mean() - 0.5) < 0.005
    assert abs(drawn.var() - 1 / 12) < 0.002
    other = keyed_uniform(keys, 1, (50,))
    for pair in (torch.stack([drawn.flatten(), other.flatten()]), torch.stack([drawn[0], drawn[1]])):
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.3
    assert abs(torch.corrcoef(torch.stack([drawn.flatten(), other.flatten()]))[0, 1]) < 0.02


def test_without_keys_the_global_generator_draws():
    torch.manual_seed(4)
    found = uniform(None, 0, 3, (2,), torch.device("cpu"))
    torch.manual_seed(4)
    assert torch.equal(found, torch.rand(3, 2))


def test_frames_of_a_clip_have_keys_of_their_own():
    keys = frame_keys(torch.tensor([3, 4]), 4)
    assert len(set(keys.tolist())) == 8
    assert torch.equal(keys[4:], frame_keys(torch.tensor([4]), 4))


def test_drop_path_keeps_the_mean():
    drop = KeyedDropPath(0.25, 7).train()
    drop.drawn = keyed_uniform(torch.arange(20000), 7)
    kept = drop(torch.ones(20000, 1, 1))
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(kept.mean() - 1) < 0.02
    assert torch.equal(drop.eval()(torch.ones(2, 1)), torch.ones(2, 1))


def test_training_does_not_depend_on_the_place_of_a_clip_in_the_batch():
    model = tiny_model(drop_path=0.5, tcss="time").train()
    images, maps, cameras = tiny_clips(model, batch=4)
    keys = torch.tensor([5, 6, 7, 8])
    order = torch.tensor([2, 0, 3, 1])
    one = model(images, maps, cameras, keys)
    two = model(images[order], maps[order], cameras[order], keys[order])
    assert torch.allclose(one.part_features[order], two.part_features, atol=1e-5)
    assert torch.allclose(one.global_feature[order], two.global_feature, atol=1e-5)
    other = model(images, maps, cameras, keys + 100)
    assert not torch.allclose(one.part_features, other.part_features, atol=1e-2)
