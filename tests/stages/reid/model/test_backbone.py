"""Which patches are kept: a fixed number, by heat, the centre where there is none."""

import pytest
import torch

from stages.reid.model.backbone import TIE, distance_to_centre, gather_patches, kept_count, kept_patches

GRID = (16, 8)


def grid_of(kept: torch.Tensor) -> torch.Tensor:
    """bool [F, rows, columns] of kept patches."""
    return (
        torch.zeros(len(kept), GRID[0] * GRID[1], dtype=torch.bool).scatter(1, kept, True).unflatten(1, GRID)
    )


@pytest.mark.parametrize(
    ("patches", "keep", "count"), [(128, 0.5, 64), (128, 0.3, 38), (8, 0.01, 1), (9, 1.0, 9)]
)
def test_the_number_of_kept_patches_is_the_rounded_share_and_at_least_one(patches, keep, count):
    assert kept_count(patches, keep) == count


@pytest.mark.parametrize("keep", [0.01, 0.37, 0.5, 1.0])
def test_every_frame_keeps_the_same_number_ascending_and_each_once(keep):
    heat = torch.rand(5, 6, 128, generator=torch.Generator().manual_seed(1))
    heat[1] = 0
    heat[2] = 1
    kept = kept_patches(heat, keep, GRID)
    assert kept.shape == (5, kept_count(128, keep)) and kept.dtype == torch.int64
    assert (kept.diff(dim=1) > 0).all()
    assert torch.equal(kept, kept_patches(heat, keep, GRID))
    assert torch.equal(kept[2:3], kept_patches(heat[2:3], keep, GRID))  # whatever the batch


def test_without_heat_the_middle_of_the_frame_is_kept():
    kept = grid_of(kept_patches(torch.zeros(1, 6, 128), 0.25, GRID))[0]
    assert kept[6:10, 3:5].all()
    assert not kept[0].any() and not kept[-1].any() and not kept[:, 0].any() and not kept[:, -1].any()
    assert torch.equal(kept, grid_of(kept_patches(torch.full((1, 6, 128), 0.7), 0.25, GRID))[0])


@pytest.mark.parametrize("grid", [(16, 8), (8, 4), (4, 2), (21, 10)])
def test_no_two_patches_are_alike_where_heat_says_nothing(grid):
    distance = distance_to_centre(grid, torch.device("cpu"))
    assert len(distance.unique()) == grid[0] * grid[1] and distance.abs().max() < 2
    score = (0.5 - TIE * distance).view(grid)  # heat beside a joint
    for mirrored in (score.flip(0), score.flip(1), score.flip(0, 1)):
        middle = grid[0] % 2 * grid[1]  # a row that is its own mirror
        assert (score != mirrored).sum() >= score.numel() - middle


def test_patches_with_heat_of_any_part_are_kept_and_then_what_is_around_them():
    heat = torch.zeros(1, 6, *GRID)
    heat[0, 0, 0, 0] = 0.8  # a corner, far from the middle
    heat[0, 4, 15, 6] = 0.9
    kept = grid_of(kept_patches(heat.flatten(2), 10 / 128, GRID))[0]
    assert kept[15, 5:].all() and kept[0, 0] and kept[12:, 3:].sum() + kept[:4, :4].sum() == 10


def test_on_eight_rows_half_of_a_neighbours_heat_counts_and_nothing_is_blurred():
    heat = torch.zeros(1, 6, 8, 4)
    heat[0, 0, 0, 0], heat[0, 4, 7, 2] = 0.2, 0.9
    kept = torch.zeros(32, dtype=torch.bool)
    kept[kept_patches(heat.flatten(2), 7 / 32, (8, 4))[0]] = True
    assert kept.view(8, 4)[6:, 1:].all() and kept[0]  # six with 0.45 or more, then the corner's 0.2


def test_the_body_between_joints_is_kept_with_them():
    heat = torch.zeros(1, 6, *GRID)
    for row, column in ((3, 2), (3, 5), (5, 1), (5, 6), (7, 3), (7, 4)):  # shoulders, elbows, hips
        heat[0, 1, row, column] = 1.0
    kept = grid_of(kept_patches(heat.flatten(2), 0.375, GRID))[0]
    assert kept[4:7, 3:5].all()  # the chest
    assert not kept[11:].any()


def test_kept_patches_are_gathered_behind_the_prefix_tokens():
    tokens = torch.arange(2 * 11).view(2, 11, 1).float()
    kept = torch.tensor([[0, 3], [1, 7]])
    assert gather_patches(tokens, kept, prefix=3)[..., 0].tolist() == [[0, 1, 2, 3, 6], [11, 12, 13, 15, 21]]
