"""Temporal attention: uniform at first, blind to order, and able to leave out a frame."""

import pytest
import torch

from stages.reid.model.global_branch import FrameAttention, agreement


@pytest.fixture
def trained():
    torch.manual_seed(0)
    attention = FrameAttention(16, 8, parts=3)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return attention


@pytest.fixture
def clip():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, 5, 16, generator=draw), torch.rand(2, 5, 3, generator=draw)


def test_it_starts_as_the_mean_of_the_frames_and_learns_from_there(clip):
    features, visibility = clip
    attention = FrameAttention(16, 8, parts=3)
    pooled, scores, weights = attention(features, visibility)
    assert (scores == 0).all()
    torch.testing.assert_close(weights, torch.full((2, 5), 0.2))
    torch.testing.assert_close(pooled, features.mean(1))
    (pooled * torch.randn(pooled.shape)).sum().backward()
    assert attention.score.weight.grad.abs().sum() > 0 and attention.evidence.weight.grad.abs().sum() > 0


def test_frames_in_another_order_have_the_same_weights(trained, clip):
    order = torch.tensor([3, 1, 4, 0, 2])
    pooled, _, weights = trained(*clip)
    pooled_too, _, weights_too = trained(*(x[:, order] for x in clip))
    assert weights.std() > 0.01
    torch.testing.assert_close(weights_too, weights[:, order])
    torch.testing.assert_close(pooled_too, pooled)


@pytest.mark.parametrize("frames", [1, 3])
def test_weights_sum_to_one_over_any_number_of_frames(trained, clip, frames):
    pooled, scores, weights = trained(*(x[:, :frames] for x in clip))
    assert pooled.shape == (2, 16) and scores.shape == (2, frames)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_agreement_is_low_for_a_frame_of_someone_else():
    draw = torch.Generator().manual_seed(2)
    person, other = torch.randn(2, 16, generator=draw)
    features = (person + 0.1 * torch.randn(1, 5, 16, generator=draw)).clone()
    features[:, 3] = other
    found = agreement(features)[0]
    assert found[3] < 0.5 < 0.8 < found[[0, 1, 2, 4]].min() and found.max() <= 1 + 1e-6
    assert agreement(features[:, :1]).tolist() == [[1.0]]


@pytest.mark.parametrize("what", ["disagrees", "hidden"])
def test_a_frame_unlike_the_others_can_be_given_less(what):
    attention = FrameAttention(16, 8, parts=3)
    features, visibility = torch.ones(1, 4, 16), torch.ones(1, 4, 3)
    with torch.no_grad():
        if what == "disagrees":
            features[:, 2, ::2] = -1
            attention.evidence.weight[0, -1] = 3.0
        else:
            visibility[:, 2] = 0
            attention.evidence.weight[0, :3] = 1.0
    _, _, weights = attention(features, visibility)
    assert weights[0, 2] < 0.5 * weights[0, [0, 1, 3]].min()
