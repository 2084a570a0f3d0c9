"""Tagged tokens show whose channels lie in which row, and that their heat lies with them."""

import os
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.reid.model import tcss

CPU = torch.device("cpu")
KEYS = torch.tensor([1, 2])


def time_order(keys=KEYS, kept=None, patches=8):
    return tcss.time_order(4, patches, len(keys), keys, CPU, kept)


def test_along_time_every_token_takes_from_its_patch_and_every_token_is_taken_once():
    for order in time_order():
        assert order.sort().values.tolist() == list(range(32))
        assert (order % 8 == torch.arange(32) % 8).all()


def test_along_time_is_drawn_for_each_patch_of_each_clip():
    order = time_order(patches=64)
    frames = order.view(2, 4, 64).div(64, rounding_mode="floor").transpose(1, 2)
    assert len({tuple(row) for row in frames[0].tolist()}) == 8  # four shifts, shuffled or not
    assert not torch.equal(order[0], order[1])


def test_along_time_kept_patches_take_from_the_same_patch_where_both_frames_kept_it():
    draw = torch.Generator().manual_seed(4)
    kept = torch.stack([torch.randperm(8, generator=draw)[:5].sort().values for _ in range(8)]).view(2, 4, 5)
    every, some = time_order(), time_order(kept=kept)
    for clip in range(2):
        token = {(t, int(p)): 5 * t + j for t in range(4) for j, p in enumerate(kept[clip, t])}
        for (t, p), place in token.items():
            source = divmod(int(every[clip, 8 * t + p]), 8)
            assert some[clip, place] == token.get(source, place)
    assert (some != torch.arange(20)).float().mean() > 0.2


def test_over_the_sequence_all_tokens_are_shifted_and_two_halves_interleaved():
    for shift in (5, 3):
        order = tcss.sequence_order(32, shift, CPU).tolist()
        shifted = [*range(shift, 32), *range(shift)]
        assert order[0::2] == shifted[:16] and order[1::2] == shifted[16:]


def mixed(mode, training=True, shift=5, keys=KEYS):
    """Numbers of the tokens whose channels each row has, first half and second, [B, T*n] each; and heat.

    Every channel of a token is its number, 1000 b more in clip b. There are as many parts as tokens; part
    j has heat 1 on token j alone.
    """
    number = torch.arange(32).view(4, 8) + 1000 * torch.arange(2)[:, None, None]
    tokens = number[..., None].expand(-1, -1, -1, 6).float()
    heat = torch.eye(32).view(32, 4, 8).transpose(0, 1).expand(2, -1, -1, -1)
    rows, heat = tcss.mix(tokens, heat, mode, shift, keys, training, 8, None)
    first, second = rows[..., :3], rows[..., 3:]
    assert (first == first[..., :1]).all() and (second == second[..., :1]).all(), "a half is torn apart"
    return first[..., 0].long(), second[..., 0].long(), heat


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("mode", ["off", "time", "sequence"])
def test_half_of_a_rows_channels_are_of_another_token_and_its_heat_is_of_both(mode, training):
    first, second, heat = mixed(mode, training)
    own = torch.arange(32) + 1000 * torch.arange(2)[:, None]
    assert torch.equal(first, own)
    assert torch.equal(second.sort(dim=1).values, own), "every token once"
    assert torch.equal(second, own) == (mode == "off" or (mode == "time" and not training))
    held = torch.nn.functional.one_hot(torch.stack([first, second], dim=2) % 1000, 32).float().mean(dim=2)
    assert torch.equal(heat, held.transpose(1, 2))


def test_along_time_the_other_half_is_of_the_same_patch_of_another_frame():
    first, second, _ = mixed("time")
    assert torch.equal(first % 8, second % 1000 % 8)
    assert (first != second).float().mean() > 0.5
    assert torch.equal(second, mixed("time")[1])
    assert not torch.equal(second, mixed("time", keys=KEYS + 5)[1])


def test_over_the_sequence_the_other_half_is_by_its_order():
    _, second, _ = mixed("sequence", training=False, shift=3)
    assert second[0].tolist() == tcss.sequence_order(32, 3, CPU).tolist()


def test_a_single_frame_is_left_as_it_is():
    tokens, heat = torch.randn(2, 1, 8, 6), torch.rand(2, 1, 3, 8)
    for mode in ("time", "sequence"):
        rows, kept = tcss.mix(tokens, heat, mode, 5, KEYS, True, 8, None)
        assert torch.equal(rows, tokens[:, 0]) and torch.equal(kept, heat[:, 0])


COMPILER = pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="no C++ compiler for torch.compile"
)


@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, COMPILER])]
)
def test_the_time_form_draws_the_same_when_compiled(backend):
    keys = torch.tensor([3, 2**62, -5, 123456789012345678])
    compiled = torch.compile(tcss.time_order, fullgraph=True, backend=backend)
    kept = torch.arange(64).mul(2).expand(4, 4, 64)
    for own in (None, kept):
        assert torch.equal(compiled(4, 128, 4, keys, CPU, own), tcss.time_order(4, 128, 4, keys, CPU, own))


@given(st.integers(1, 9))
def test_clip_permutations_are_permutations(frames):
    choices = tcss.clip_permutations(frames, CPU)
    assert choices.shape == (2 * frames, frames)
    assert (choices.sort(dim=1).values == torch.arange(frames)).all()
