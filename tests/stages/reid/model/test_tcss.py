"""Tagged tokens show which token lies in which slot, and that its weight lies with it."""

import os
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.reid.model import tcss
from tests.stages.reid.model.tiny import tiny_model

CPU = torch.device("cpu")


def tagged(batch: int, frames: int, patches: int):
    """Tokens and weights of two parts that carry the number of their token; clip b counts from 1000 b."""
    number = torch.arange(frames * patches).view(frames, patches) + 1000 * torch.arange(batch)[:, None, None]
    tokens = number[..., None].expand(-1, -1, -1, 3).float()
    weights = torch.stack([number, -number], dim=2).float()  # [B, T, 2, n]
    return tokens, weights


def slots(order, batch=2, frames=4, patches=8):
    tokens, weights = tagged(batch, frames, patches)
    rows, weights = tcss.arrange(tokens, weights, order)
    tags = rows.view(batch, patches, frames, 3)
    assert (tags == tags[..., :1]).all(), "a token is torn apart"
    return tags[..., 0], weights


def all_orders():
    keys = torch.tensor([1, 2])
    return {
        "off": tcss.in_order(4, 8, CPU),
        "time": tcss.time_order(4, 8, 2, keys, CPU),
        "sequence": tcss.sequence_order(4, 8, 5, CPU),
    }


@pytest.mark.parametrize("form", ["off", "time", "sequence"])
def test_token_and_weight_travel_together(form):
    tags, weights = slots(all_orders()[form])
    assert torch.equal(weights[:, 0], tags)
    assert torch.equal(weights[:, 1], -tags)


@pytest.mark.parametrize("form", ["off", "time", "sequence"])
def test_every_token_is_used_once(form):
    tags, _ = slots(all_orders()[form])
    for clip, found in enumerate(tags):
        assert found.flatten().sort().values.tolist() == [1000 * clip + i for i in range(32)]


def test_without_tcss_every_row_holds_the_same_patch_of_all_frames():
    tags, _ = slots(all_orders()["off"])
    frames, patches = tags[0].div(8, rounding_mode="floor"), tags[0] % 8
    assert (patches == torch.arange(8)[:, None]).all()
    assert (frames == torch.arange(4)).all()


def test_time_form_keeps_rows_in_their_place_in_the_body():
    tags, _ = slots(all_orders()["time"])
    assert ((tags % 1000) % 8 == torch.arange(8)[:, None]).all()


def test_time_form_draws_for_each_patch_of_each_clip():
    order = tcss.time_order(4, 64, 2, torch.tensor([1, 2]), CPU)
    frames = order.div(64, rounding_mode="floor")
    assert len({tuple(row) for row in frames[0].tolist()}) == 8  # four shifts, shuffled or not
    assert not torch.equal(order[0], order[1])


def test_sequence_form_shifts_and_interleaves_two_halves():
    tags, _ = slots(all_orders()["sequence"], batch=1)
    sequence = tags[0].T.flatten().int().tolist()  # frame by frame again
    shifted = [*range(5, 32), *range(5)]
    assert sequence[0::2] == shifted[:16]
    assert sequence[1::2] == shifted[16:]


@pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="no C++ compiler for torch.compile"
)
def test_the_time_form_draws_the_same_when_compiled():
    keys = torch.tensor([3, 2**62, -5, 123456789012345678])
    compiled = torch.compile(tcss.time_order, fullgraph=True)
    assert torch.equal(compiled(4, 128, 4, keys, CPU), tcss.time_order(4, 128, 4, keys, CPU))


@given(st.integers(1, 9))
def test_clip_permutations_are_permutations(frames):
    choices = tcss.clip_permutations(frames, CPU)
    assert choices.shape == (2 * frames, frames)
    assert (choices.sort(dim=1).values == torch.arange(frames)).all()


@pytest.mark.parametrize(("form", "moves"), [("off", False), ("time", False), ("sequence", True)])
def test_at_test_time_only_the_sequence_form_moves_tokens(form, moves):
    branch = tiny_model(tcss=form).local_branch.eval()
    order = branch.order(torch.zeros(2, 4, 8, 32), None)
    assert torch.equal(order.expand(2, -1, -1), tcss.in_order(4, 8, CPU).expand(2, -1, -1)) != moves


def test_time_form_in_training_moves_tokens():
    branch = tiny_model(tcss="time").local_branch.train()
    order = branch.order(torch.zeros(2, 4, 8, 32), torch.tensor([1, 2]))
    assert not torch.equal(order, tcss.in_order(4, 8, CPU).expand(2, -1, -1))
