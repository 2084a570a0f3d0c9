"""The grid of a position embedding is found from its vectors, not from their number."""

import pytest
import torch
import torch.nn.functional as F

from stages.reid.model.patch_grid import likely_grid, resample


def learnt(high, wide, width=64, seed=0):
    """Position vectors as training makes them: neighbours are alike, with noise. [h*w, width]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, width, 5, 3, generator=generator)
    smooth = F.interpolate(coarse, (high, wide), mode="bicubic", align_corners=True)[0].flatten(1).T
    return smooth + 0.3 * torch.randn(smooth.shape, generator=generator)


@pytest.mark.parametrize(
    "grid", [(14, 14), (16, 16), (32, 8), (16, 8), (24, 8), (21, 10), (28, 7), (16, 12), (12, 12)]
)
@pytest.mark.parametrize("ours", [(16, 8), (24, 8), (32, 8), (16, 16)])
def test_a_learnt_embedding_shows_its_grid_whatever_ours_is(grid, ours):
    for seed in range(4):
        assert likely_grid(learnt(*grid, seed=seed), ours) == grid


@pytest.mark.parametrize(
    ("count", "ours", "grid"),
    [(256, (32, 8), (16, 16)), (128, (24, 8), (16, 8)), (192, (24, 8), (24, 8)), (192, (16, 8), (16, 12))],
)
def test_where_vectors_do_not_tell_a_square_or_ours_is_taken(count, ours, grid):
    vectors = torch.randn(count, 32, generator=torch.Generator().manual_seed(1))
    assert likely_grid(vectors, ours) == grid


def test_numbers_that_make_no_upright_grid_have_none():
    assert likely_grid(torch.randn(13, 8), (16, 8)) is None


@pytest.mark.parametrize("bilinear", [False, True])
def test_resampling_keeps_what_lies_where(bilinear):
    rows = torch.arange(16.0)[:, None].expand(16, 8)
    ramp = torch.stack([rows, rows.flip(0)], dim=-1).flatten(0, 1)
    moved = resample(ramp, (16, 8), (32, 4), bilinear).unflatten(0, (32, 4))
    assert torch.allclose(moved[4:-4, 0, 0], (torch.arange(32) / 2 - 0.25)[4:-4], atol=0.06)
    assert torch.allclose(moved.sum(-1), torch.full((32, 4), 15.0), atol=1e-4)
    assert resample(ramp, (16, 8), (16, 8)) is ramp
