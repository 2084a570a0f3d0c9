"""Frames and part maps are changed alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.parts import PARTS
from stages.reid.data import augment
from stages.reid.data.config import AugmentConfig
from stages.reid.data.keyed import sample_keys, uniform
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.model.backbone import pool_to_grid
from tests.stages.reid.model.tiny import tiny_model

SIZE, GRID = (128, 64), (64, 32)
MEAN = STD = (0.5, 0.5, 0.5)
GROUPS = PartGroups.of(6)
FILL = (0.485, 0.456, 0.406)


def draws(flip=False, shift=(0, 0), erased=(0, 0, 0, 0), count=1, gain=1.0, offset=0.0):
    return augment.Draws(
        np.full(count, flip), np.tile(shift, (count, 1)), np.tile(erased, (count, 1)),
        np.full(count, gain), np.full(count, offset),
    )  # fmt: skip


def moved(frames, change):
    """uint8 [N, H, W, 3] -> the same, moved."""
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    return augment.move_frames(planes, change).transpose(0, 2, 3, 1)


def images_of(frames, change):
    """uint8 [N, H, W, 3] -> normalised float32 [N, 3, H, W]."""
    planes = augment.move_frames(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)), change)
    return augment.normalise(
        torch.from_numpy(planes), torch.from_numpy(change.erased), MEAN, STD, FILL
    ).numpy()


def test_rectangles_are_filled_alike_on_a_cpu_and_as_a_gpu_does_it():
    rectangles = augment._rectangles(np.random.default_rng(1).random((40, 1, 4)), AugmentConfig(), SIZE)
    rectangles[::3] = 0
    one, other = (torch.randn(40, 3, *SIZE, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    augment.fill_one_by_one(one, torch.from_numpy(rectangles), (0.5, -1.0, 2.0))
    augment.fill_together(other, torch.from_numpy(rectangles), (0.5, -1.0, 2.0))
    assert torch.equal(one, other) and (one[1] == 2.0).any() and not (one[0] == 2.0).any()


SIDES = {"head": "head", "torso": "torso", "left arm": "right arm", "left leg": "right leg"}


@pytest.mark.parametrize("pool", [(1, 1), (16, 16)], ids=["cells of the cache", "patches"])
def test_a_flip_mirrors_frames_and_swaps_left_and_right_part_inputs_exactly(pool):
    random = np.random.default_rng(0)
    frames = random.integers(256, size=(4, 3, *SIZE), dtype=np.uint8)
    maps = joints_to_parts(random.integers(256, size=(4, 17, *GRID), dtype=np.uint8), GROUPS.joints)
    plain, flipped = draws(count=4), draws(flip=True, count=4)
    assert np.array_equal(augment.move_frames(frames, flipped), augment.move_frames(frames, plain)[..., ::-1])
    before, after = (
        augment.move_maps(maps, change, SIZE, GROUPS.flip, GRID, pool)[0] for change in (plain, flipped)
    )
    if pool != (1, 1):  # as the network takes them
        grid = tiny_model().grid
        before, after = (
            pool_to_grid(torch.from_numpy(heat)[None], grid)[0].unflatten(-1, grid).numpy()
            for heat in (before, after)
        )
    for one, other in SIDES.items():
        left, right = list(PARTS[6]).index(one), list(PARTS[6]).index(other)
        assert np.array_equal(after[:, left], before[:, right, :, ::-1])
        assert np.array_equal(after[:, right], before[:, left, :, ::-1])


@settings(max_examples=60, deadline=None)
@given(
    y=st.integers(12, 51), x=st.integers(8, 23), part=st.integers(0, 5), flip=st.booleans(),
    down=st.integers(-5, 5), right=st.integers(-5, 5),
)  # fmt: skip
def test_a_marked_keypoint_lands_where_its_heat_lands(y, x, part, flip, down, right):
    """A white 2x2 square on the frame, and its heat: one cell of the map, which is 2x2 pixels."""
    frame = np.zeros((1, *SIZE, 3), np.uint8)
    frame[0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 255
    maps = np.zeros((1, 6, *GRID), np.uint8)
    maps[0, part, y, x] = 255
    change = draws(flip, (down, right))
    image = moved(frame, change)[0, :, :, 0]
    heat, shown, _ = augment.move_maps(maps, change, SIZE, GROUPS.flip, GRID)
    expected_part = list(GROUPS.flip).index(part) if flip else part
    assert set(np.flatnonzero(heat[0].sum(axis=(1, 2)))) == {expected_part}
    image_centre = np.argwhere(image == 255).mean(axis=0) + 0.5
    weights = heat[0, expected_part]
    cells = np.argwhere(weights > 0)
    heat_centre = (cells * weights[weights > 0][:, None]).sum(axis=0) / weights.sum() + 0.5
    np.testing.assert_allclose(heat_centre * 2, image_centre, atol=1e-4)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert shown.min() >= 0 and shown.max() <= 1 + 1e-6


def test_flipping_twice_is_the_identity():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    maps = rng.integers(0, 256, (3, 6, *GRID), dtype=np.uint8)
    flip = draws(flip=True, count=3)
    once = moved(frames, flip)
    assert not np.array_equal(once, frames)
    np.testing.assert_array_equal(moved(once, flip), frames)
    heat = np.round(augment.move_maps(maps, flip, SIZE, GROUPS.flip, GRID)[0] * 255).astype(np.uint8)
    again = augment.move_maps(heat, flip, SIZE, GROUPS.flip, GRID)[0]
    np.testing.assert_array_equal(np.round(again * 255).astype(np.uint8), maps)


def test_without_draws_frames_and_maps_stay_as_they_are():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    maps = rng.integers(0, 256, (2, 6, *GRID), dtype=np.uint8)
    nothing = augment.identity(2)
    np.testing.assert_array_equal(moved(frames, nothing), frames)
    expected = (frames.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(images_of(frames, nothing), expected, atol=1e-6)
    heat, shown, _ = augment.move_maps(maps, nothing, SIZE, GROUPS.flip, GRID)
    np.testing.assert_allclose(heat, maps / 255, atol=1e-6)
    np.testing.assert_allclose(shown, 1)


def test_erased_areas_lose_their_heat_and_get_the_fill_value():
    erased = draws(erased=(20, 10, 61, 40))
    image = images_of(np.full((1, *SIZE, 3), 200, np.uint8), erased)[0]
    np.testing.assert_allclose(
        image[:, 20:61, 10:40], np.broadcast_to(np.array(FILL)[:, None, None], (3, 41, 30))
    )
    heat, shown, _ = augment.move_maps(np.full((1, 6, *GRID), 255, np.uint8), erased, SIZE, GROUPS.flip, GRID)
    assert (heat[0, :, 10:30, 5:20] == 0).all()
    np.testing.assert_allclose(heat[0, :, 30, 5:20], 0.5, atol=1e-6)  # half of the cells' 2 rows are covered
    assert (heat[0, :, 31:] == 1).all() and (heat[0, :, :10] == 1).all()
    np.testing.assert_allclose(heat[0, 0], shown[0, 0])


def test_padding_is_black_and_has_no_heat():
    change = draws(shift=(4, -6))
    image = images_of(np.full((1, *SIZE, 3), 255, np.uint8), change)[0]
    assert (image[:, :4] == -1).all() and (image[:, :, -6:] == -1).all() and (image[:, 4:, :-6] > 0.99).all()
    heat, *_ = augment.move_maps(np.full((1, 6, *GRID), 255, np.uint8), change, SIZE, GROUPS.flip, GRID)
    assert (
        (heat[0, :, :2] == 0).all() and (heat[0, :, :, -3:] == 0).all() and (heat[0, :, 2:, :-3] == 1).all()
    )


def test_maps_for_guidance_published_are_in_minus_one_to_one_with_half_heat_where_nothing_shows():
    changed = draws(shift=(4, 0), erased=(60, 0, 80, 64))
    maps = np.full((1, 6, *GRID), 255, np.uint8)
    heat = augment.published_range(*augment.move_maps(maps, changed, SIZE, GROUPS.flip, GRID)[:2])
    assert (heat[0, :, :2] == 0).all() and (heat[0, :, 30:40] == 0).all() and (heat[0, :, 5:20] == 1).all()
    cold = augment.published_range(*augment.move_maps(maps * 0, changed, SIZE, GROUPS.flip, GRID)[:2])
    assert (cold[0, :, 5:20] == -1).all()


@pytest.mark.parametrize("grid", [(8, 4), (16, 8), (21, 11), (64, 32), (84, 44)])
def test_maps_of_another_grid_keep_the_place_of_their_heat(grid):
    maps = np.zeros((1, 6, *GRID), np.uint8)
    maps[0, 2, 38:42, 18:22] = 255  # around 40/64 down and 20/32 across
    heat, *_ = augment.move_maps(maps, draws(), SIZE, GROUPS.flip, grid)
    rows, columns = heat[0, 2].sum(axis=1), heat[0, 2].sum(axis=0)
    assert ((np.arange(grid[0]) + 0.5) @ rows / rows.sum() / grid[0]) == pytest.approx(
        40 / 64, abs=0.5 / grid[0]
    )
    assert ((np.arange(grid[1]) + 0.5) @ columns / columns.sum() / grid[1]) == pytest.approx(
        20 / 32, abs=0.5 / grid[1]
    )


def test_draws_depend_on_the_sample_alone_and_not_on_its_batch():
    keys = sample_keys(seed=3, epoch=2, count=32)
    config = AugmentConfig(jitter=0.2)
    together = augment.draw(keys, 4, config, SIZE)
    alone = [augment.draw(keys[i : i + 1], 4, config, SIZE) for i in range(32)]
    for name in ("flip", "shift", "erased", "gain", "offset"):
        np.testing.assert_array_equal(
            getattr(together, name), np.concatenate([getattr(a, name) for a in alone])
        )


def test_draws_have_the_stated_probabilities_and_ranges():
    keys = sample_keys(seed=1, epoch=0, count=5000)
    config = AugmentConfig(flip=0.3, pad=10, erase=0.4, erase_area=(0.05, 0.2))
    drawn = augment.draw(keys, 2, config, SIZE)
    assert drawn.flip.mean() == pytest.approx(0.3, abs=0.02)
    assert set(drawn.shift.ravel()) == set(range(-5, 6)), "10 pixels at height 256 are 5 at 128"
    top, left, bottom, right = drawn.erased.T
    some = bottom > 0
    assert some.mean() == pytest.approx(0.4, abs=0.02)
    area = ((bottom - top) * (right - left) / (SIZE[0] * SIZE[1]))[some]
    assert area.min() > 0.045 and area.max() < 0.21
    assert (top >= 0).all() and (left >= 0).all() and bottom.max() <= SIZE[0] and right.max() <= SIZE[1]
    assert len(set(zip(*drawn.erased[some].T, strict=True))) > 2000, (
        "frames of a clip are drawn independently"
    )
    per_clip = augment.draw(keys, 2, AugmentConfig(per="clip"), SIZE)
    np.testing.assert_array_equal(per_clip.shift[0::2], per_clip.shift[1::2])
    np.testing.assert_array_equal(per_clip.erased[0::2], per_clip.erased[1::2])


def test_jitter_changes_brightness_within_its_limits():
    frames = np.full((1, *SIZE, 3), 100, np.uint8)
    np.testing.assert_array_equal(moved(frames, draws(gain=1.2, offset=10)), np.full_like(frames, 130))
    assert (moved(frames + 155, draws(gain=1.2, offset=10)) == 255).all()
    assert (moved(frames, draws(gain=0.5, offset=-60)) == 0).all()


def test_moving_maps_with_pooling_is_pooling_moved_maps():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (16, 6, *GRID), dtype=np.uint8)
    change = augment.draw(sample_keys(0, 0, 4), 4, AugmentConfig(), SIZE)
    fine, fine_shown, fine_lost = augment.move_maps(maps, change, SIZE, GROUPS.flip, GRID)
    pooled, shown, lost = augment.move_maps(maps, change, SIZE, GROUPS.flip, GRID, pool=(4, 4))
    np.testing.assert_allclose(pooled, fine.reshape(16, 6, 16, 4, 8, 4).mean(axis=(3, 5)), atol=1e-6)
    np.testing.assert_allclose(shown, fine_shown.reshape(16, 1, 16, 4, 8, 4).mean(axis=(3, 5)), atol=1e-6)
    np.testing.assert_allclose(lost, fine_lost, atol=1e-5)
    assert pooled.min() >= 0 and pooled.max() <= 1 and 0 < lost.max() <= 1


def test_what_is_lost_of_a_frame_is_the_share_of_its_heat_that_is_erased():
    maps = np.zeros((4, 6, *GRID), np.uint8)
    maps[:, 1, 10:20, 4:8] = 200  # cells of 2x2 pixels
    maps[:, 2, 50:60, 20:24] = 200
    maps[3] = 0
    erased = draws(erased=(0, 0, 60, 64), count=4)  # the heat of part 1, not that of part 2
    erased.erased[1] = (20, 8, 30, 16)  # half of the heat of part 1
    erased.erased[2] = 0
    *_, lost = augment.move_maps(maps, erased, SIZE, GROUPS.flip, GRID)
    np.testing.assert_allclose(lost, [0.5, 0.25, 0, 0], atol=1e-6)
    assert lost.dtype == np.float32
    shifted = replace(erased, shift=np.tile((-30, 0), (4, 1)))  # part 1 moves up by 15 cells, half of it away
    *_, lost = augment.move_maps(maps, shifted, SIZE, GROUPS.flip, GRID)
    assert lost[0] == pytest.approx(1 / 3, abs=1e-5), "of the heat that is left in the frame"


def test_keyed_numbers_are_uniform_and_differ_by_salt():
    keys = sample_keys(seed=0, epoch=0, count=20000)
    assert len(set(keys.tolist())) == 20000 and keys.min() >= 0
    one, two = uniform(keys, 1, 2), uniform(keys, 2, 2)
    assert one.min() >= 0 and one.max() < 1
    counts, _ = np.histogram(one, bins=20, range=(0, 1))
    assert counts.std() / counts.mean() < 0.05
    correlations = np.corrcoef(np.concatenate([one, two], axis=1).T) - np.eye(4)
    assert np.abs(correlations).max() < 0.03
