"""Tagged tokens through the whole of LocalBranch.rows: class row, patch rows, and the heat beside them."""

import pytest
import torch

from tests.stages.reid.model.tiny import tiny_model

FRAMES, PATCHES, WIDTH = 4, 8, 32
KEYS = torch.tensor([1, 2])


def tagged_rows(training: bool = True, **fields):
    """What `rows` makes of two clips: tags of each row's slots int64 [B, 1+n, T], and the guide [B, T*n, n].

    The tag of a token is 100 * clip + 9 * frame + its place in the frame, 0 for the class token. There
    are as many parts as patch tokens; part j has heat 1 on token j alone, numbered frame by frame.
    """
    branch = tiny_model(**fields).local_branch.train(training)
    tags = (
        torch.arange(FRAMES * (1 + PATCHES)).view(FRAMES, 1 + PATCHES) + 100 * torch.arange(2)[:, None, None]
    )
    tokens = tags[..., None].expand(-1, -1, -1, WIDTH).float()
    heat = torch.eye(FRAMES * PATCHES).view(-1, FRAMES, PATCHES).transpose(0, 1).expand(2, -1, -1, -1)
    rows, guide = branch.rows(tokens, heat, KEYS)
    slots = rows.view(2, 1 + PATCHES, FRAMES, WIDTH)
    assert (slots == slots[..., :1]).all(), "a token is torn apart"
    return slots[..., 0].long(), guide


FORMS = {
    "off": {"tcss": "off"},
    "time": {"tcss": "time"},
    "time-at-test": {"tcss": "time", "training": False},
    "sequence": {"tcss": "sequence"},
    "sequence-shift-3": {"tcss": "sequence", "tcss_shift": 3, "training": False},
}


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)
def test_the_class_row_is_the_class_tokens_of_all_frames_in_time_order(fields):
    tags, _ = tagged_rows(**fields)
    assert tags[:, 0].tolist() == [[0, 9, 18, 27], [100, 109, 118, 127]]


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)
def test_heat_is_beside_the_row_that_holds_its_token_and_nowhere_else(fields):
    tags, guide = tagged_rows(**fields)
    place = tags[:, 1:] - 100 * torch.arange(2)[:, None, None]
    token = place // 9 * PATCHES + place % 9 - 1  # numbered as the parts are
    held = torch.nn.functional.one_hot(token, FRAMES * PATCHES).sum(dim=2)  # [B, n, T*n]
    assert (held.sum(dim=1) == 1).all(), "every token once"
    assert torch.equal(guide, held.transpose(1, 2) / FRAMES)


@pytest.mark.parametrize("fields", [FORMS["off"], FORMS["time-at-test"]], ids=["off", "time-at-test"])
def test_in_order_row_p_holds_patch_p_of_all_frames_in_time_order(fields):
    tags, _ = tagged_rows(**fields)
    expected = [[9 * frame + 1 + patch for frame in range(FRAMES)] for patch in range(PATCHES)]
    assert tags[0, 1:].tolist() == expected


def test_along_time_row_p_holds_patch_p_of_all_frames_in_another_order():
    tags, _ = tagged_rows(tcss="time")
    expected = torch.tensor([[9 * t + 1 + p for t in range(FRAMES)] for p in range(PATCHES)])
    for clip in range(2):
        found = tags[clip, 1:] - 100 * clip
        assert torch.equal(found.sort(dim=1).values, expected)
        assert not torch.equal(found, expected)


@pytest.mark.parametrize("shift", [5, 3])
def test_over_the_sequence_all_tokens_are_shifted_and_dealt_from_two_halves(shift):
    tags, _ = tagged_rows(tcss="sequence", tcss_shift=shift, training=False)
    numbers = [9 * t + 1 + p for t in range(FRAMES) for p in range(PATCHES)]
    shifted = numbers[shift:] + numbers[:shift]
    dealt = [tag for pair in zip(shifted[:16], shifted[16:], strict=True) for tag in pair]
    # slot t of all rows holds the t-th run of n tokens, as frame t did
    assert tags[0, 1:].T.flatten().tolist() == dealt
