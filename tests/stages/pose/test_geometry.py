"""A joint's heat lies where the joint is in the frame, whatever the network's input was."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.pose import geometry

GRID = (32, 64)


@settings(max_examples=60, deadline=None)
@given(
    frame=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    padding=st.floats(1.0, 2.0),
    spot=st.tuples(st.floats(0.12, 0.88), st.floats(0.12, 0.88)),
    turn=st.floats(-0.4, 0.4),
)
def test_a_gaussian_in_the_input_peaks_at_its_place_in_the_frame(frame, padding, spot, turn):
    target, heatmap = (192, 256), (48, 64)
    affine = geometry.frame_to_input(frame, target, padding)
    # A general affine: turned about the input's centre, and shrunk so that the frame stays inside.
    centre = (np.array(target) - 1) / 2
    rotation = 0.7 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = geometry.compose(np.column_stack([rotation, centre - rotation @ centre]), affine)
    joint = np.array(spot) * frame - 0.5
    at = geometry.apply(geometry.input_to_heatmap(np.array([4.0, 4.0])), geometry.apply(affine, joint))
    y, x = np.mgrid[0 : heatmap[1], 0 : heatmap[0]]
    heat = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8).astype(np.float32)
    to_heatmap = geometry.input_to_heatmap(np.array([4.0, 4.0]))
    cells = geometry.compose(to_heatmap, geometry.compose(affine, geometry.grid_to_frame(frame, GRID)))
    grid = geometry.sampling_grid(cells[None], GRID, heatmap)
    on_frame = geometry.warp_heat(torch.from_numpy(heat)[None, None], grid)[0, 0].numpy()
    weight = on_frame**4
    peak = (
        np.array([(weight.sum(0) * np.arange(32)).sum(), (weight.sum(1) * np.arange(64)).sum()])
        / weight.sum()
    )
    found = geometry.apply(geometry.grid_to_frame(frame, GRID), peak)
    cell = np.array(frame) / GRID
    assert (np.abs(found - joint) <= 0.6 * np.maximum(cell, 4 / np.abs(np.diag(affine[:, :2])))).all()


def test_a_frame_of_the_inputs_size_is_left_alone():
    affine = geometry.frame_to_input((128, 256), (128, 256))
    assert np.allclose(affine, [[1, 0, 0], [0, 1, 0]])
    image = np.random.default_rng(0).integers(0, 255, (256, 128, 3), np.uint8)
    assert geometry.warp_frame(image, affine, (128, 256)) is image


def test_a_frame_of_the_inputs_proportions_is_resized_as_it_would_be_warped():
    image = np.random.default_rng(0).integers(0, 255, (256, 128, 3), np.uint8)
    affine = geometry.frame_to_input((128, 256), (64, 128))
    warped = cv2.warpAffine(image, affine, (64, 128), flags=cv2.INTER_LINEAR)
    assert np.abs(geometry.warp_frame(image, affine, (64, 128)).astype(int) - warped).max() <= 1


@pytest.mark.parametrize("frame", [(128, 256), (100, 100), (300, 120), (64, 128)])
@pytest.mark.parametrize("padding", [1.0, 1.25])
def test_the_whole_frame_lies_in_the_input_and_fills_it_but_for_the_padding(frame, padding):
    affine = geometry.frame_to_input(frame, (192, 256), padding)
    corners = geometry.apply(affine, np.array([[-0.5, -0.5], [frame[0] - 0.5, frame[1] - 0.5]]))
    size = corners[1] - corners[0]
    assert np.allclose(corners.mean(axis=0), [95.5, 127.5])
    assert max(size[0] / 192, size[1] / 256) == pytest.approx(1 / padding)
    assert size[0] / size[1] == pytest.approx(frame[0] / frame[1])


def test_the_affine_is_mmposes_but_for_its_half_pixel():
    from mmpose.structures.bbox import get_warp_matrix

    theirs = get_warp_matrix(np.array([64.0, 128.0]), np.array([192.0, 256.0]) * 1.25, 0, (192, 256))
    ours = geometry.frame_to_input((128, 256), (192, 256), 1.25)
    assert np.allclose(theirs[:, :2], ours[:, :2])
    assert np.abs(theirs[:, 2] - ours[:, 2]).max() < 0.5


def test_heat_outside_the_input_is_zero_and_its_border_is_kept():
    heat = torch.ones(1, 1, 64, 48)
    shifted = np.array([[[1.0, 0.0, -20.0], [0.0, 1.0, -0.4]]])
    found = geometry.warp_heat(heat, geometry.sampling_grid(shifted, GRID, (48, 64)))[0, 0]
    assert (found[:, :19] == 0).all() and torch.allclose(found[:, 20:], torch.ones(64, 12))


def test_near_cells_make_the_heat_that_sampling_makes_to_the_bit():
    affine = geometry.frame_to_input((128, 256), (64, 128))
    to_heatmap = geometry.input_to_heatmap(np.array([2.0, 2.0]))
    cells = geometry.compose(to_heatmap, geometry.compose(affine, geometry.grid_to_frame((128, 256), GRID)))
    grid = geometry.sampling_grid(np.array([cells] * 3), GRID, GRID)
    near = geometry.near_weights(grid, GRID)
    heat = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 17, 64, 32)).astype(np.float32))
    assert torch.equal(geometry.warp_heat(heat, grid, near), geometry.warp_heat(heat, grid))
    assert torch.equal(geometry.warp_heat(heat[1:2], grid[:1], near), geometry.warp_heat(heat[1:2], grid[:1]))


def test_other_grids_have_no_near_cells():
    still = geometry.IDENTITY[None] + [[[0, 0, 0.25], [0, 0, 0.25]]]
    moved = still * [[[1, 1, 5], [1, 1, 1]]]
    for affines, heatmap, has in [
        (still, GRID, True),
        (moved, GRID, False),
        (np.concatenate([still, moved]), GRID, False),
        (still, (48, 64), False),
    ]:
        grid = geometry.sampling_grid(affines, GRID, heatmap)
        assert (geometry.near_weights(grid, heatmap) is not None) == has
