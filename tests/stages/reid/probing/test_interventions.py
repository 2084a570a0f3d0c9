"""What stands in for heat, attention and patches."""

import numpy as np
import pytest
import torch

from stages.parts import PARTS
from stages.reid.probing import interventions

NAMES = list(PARTS[6])


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((5, 2, 6, 16, 8), np.float32))


CLIPS = np.arange(5)


def test_each_part_gets_the_heat_of_the_one_before_it(maps):
    changed = interventions.another_part(maps, CLIPS)
    assert torch.equal(changed[:, :, 1], maps[:, :, 0]) and torch.equal(changed[:, :, 0], maps[:, :, 5])


def test_left_and_right_change_places_and_head_and_torso_stay(maps):
    swap = interventions.left_right(6)
    changed = swap(maps, CLIPS)
    for one, other in (("left arm", "right arm"), ("left leg", "right leg"), ("head", "head")):
        assert torch.equal(changed[:, :, NAMES.index(one)], maps[:, :, NAMES.index(other)])
    assert torch.equal(swap(changed, CLIPS), maps)


@pytest.mark.parametrize("empty", [0.0, -1.0])
def test_moved_maps_leave_the_frame_and_nothing_comes_in(maps, empty):
    down = np.full((5, 2, 6), 3)
    changed = interventions.moved(maps, down, -down + 1, empty)  # two to the left
    assert torch.equal(changed[..., 3:, :-2], maps[..., :-3, 2:])
    assert (changed[..., :3, :] == empty).all() and (changed[..., -2:] == empty).all()


@pytest.mark.parametrize("change", [interventions.shifted(2, 0.0, 7), interventions.noisy(2.0, 0.0, 7)])
def test_what_is_drawn_belongs_to_the_clip_whatever_the_batch(maps, change):
    whole = change(maps, CLIPS)
    cut = torch.cat([change(maps[:2], CLIPS[:2]), change(maps[2:], CLIPS[2:])])
    assert torch.equal(whole, cut) and not torch.equal(whole, maps)
    assert not torch.equal(change(maps, CLIPS + 1), whole)


def test_a_shift_moves_all_maps_of_a_clip_alike_and_noise_each_on_its_own():
    peak = torch.zeros(1, 2, 6, 32, 32)
    peak[..., 16, 16] = 1
    places = [
        {tuple(row[-2:].tolist()) for row in change(peak, np.zeros(1, int)).nonzero()}
        for change in (interventions.shifted(4, 0.0, 0), interventions.noisy(4.0, 0.0, 0))
    ]
    [(row, column)] = places[0]
    assert abs(row - 16) + abs(column - 16) == 4
    assert len(places[1]) > 8
