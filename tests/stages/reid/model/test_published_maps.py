"""Part maps by the released recipe."""

import numpy as np

from stages.reid.model.published_maps import drawn_map, gaussians


def head(x: float, y: float, score: float) -> np.ndarray:
    return np.array([[x, y, score]], np.float32)


def test_a_keypoint_peaks_at_its_pixel_and_the_map_goes_from_0_to_1():
    drawn = drawn_map(head(40.6, 80.2, 0.9), 256, 128)
    assert drawn.shape == (256, 128) and drawn.dtype == np.float32
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (80, 40)
    assert drawn.max() == 1 and drawn.min() == 0


def test_the_kernel_has_the_released_radius_and_deviation():
    drawn = gaussians(np.array([[64.0, 100.0, 1.0]]), 256, 128)
    radius = 128 // 11
    assert drawn[100, 64 + radius] > 0 and drawn[100, 64 + radius + 1] == 0
    sigma = (2 * radius + 1) / 4
    assert np.isclose(drawn[103, 66], np.exp(-(3**2 + 2**2) / (2 * sigma**2)), rtol=1e-6)


def test_joints_of_low_score_are_not_drawn():
    assert not drawn_map(head(40, 80, 0.1), 256, 128).any()


def test_joints_of_a_part_are_joined_by_their_maximum():
    both = gaussians(np.array([[30.0, 50.0, 1.0], [34.0, 50.0, 1.0]]), 256, 128)
    one, two = (gaussians(np.array([[x, 50.0, 1.0]]), 256, 128) for x in (30.0, 34.0))
    assert np.array_equal(both, np.maximum(one, two))


def test_a_keypoint_outside_the_frame_leaves_what_reaches_inside():
    drawn = gaussians(np.array([[-3.0, 50.0, 1.0]]), 256, 128)
    assert 0 < drawn.max() < 1 and drawn.argmax() % 128 == 0


def test_frames_of_another_size_are_scaled_to_the_maps():
    drawn = drawn_map(head(100, 300, 0.9), 512, 256)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert drawn.shape == (256, 128) and abs(row - 150) <= 1 and abs(column - 50) <= 1
    assert drawn.max() == 1
