"""Part maps by the released recipe."""

import numpy as np

from stages.reid.model.parts import JOINTS, PARTS
from stages.reid.model.published_maps import gaussians, published_part_maps


def body(*seen: tuple[str, float, float, float]) -> np.ndarray:
    points = np.zeros((1, 17, 3), dtype=np.float32)
    for joint, x, y, score in seen:
        points[0, JOINTS.index(joint)] = x, y, score
    return points


def test_a_keypoint_peaks_at_its_pixel_and_no_heat_is_minus_one():
    maps = published_part_maps(body(("nose", 40.6, 80.2, 0.9)), np.array([[256, 128]]))
    assert maps.shape == (1, 6, 256, 128) and maps.dtype == np.float32
    head = maps[0, list(PARTS[6]).index("head")]
    assert np.unravel_index(head.argmax(), head.shape) == (80, 40)
    assert head.max() == 1 and head.min() == -1
    assert (maps[0, 1:] == -1).all()


def test_the_kernel_has_the_released_radius_and_deviation():
    drawn = gaussians(np.array([[64.0, 100.0, 1.0]]), 256, 128)
    radius = 128 // 11
    assert drawn[100, 64 + radius] > 0 and drawn[100, 64 + radius + 1] == 0
    sigma = (2 * radius + 1) / 4
    assert np.isclose(drawn[103, 66], np.exp(-(3**2 + 2**2) / (2 * sigma**2)), rtol=1e-6)


def test_joints_of_low_score_are_not_drawn():
    maps = published_part_maps(body(("nose", 40, 80, 0.1)), np.array([[256, 128]]))
    assert (maps == -1).all()


def test_joints_of_a_part_are_joined_by_their_maximum():
    both = gaussians(np.array([[30.0, 50.0, 1.0], [34.0, 50.0, 1.0]]), 256, 128)
    one, two = (gaussians(np.array([[x, 50.0, 1.0]]), 256, 128) for x in (30.0, 34.0))
    assert np.array_equal(both, np.maximum(one, two))


def test_a_keypoint_outside_the_frame_leaves_what_reaches_inside():
    drawn = gaussians(np.array([[-3.0, 50.0, 1.0]]), 256, 128)
    assert 0 < drawn.max() < 1 and drawn.argmax() % 128 == 0


def test_frames_of_another_size_are_scaled_to_the_maps():
    maps = published_part_maps(body(("nose", 100, 300, 0.9)), np.array([[512, 256]]))
    row, column = np.unravel_index(maps[0, 0].argmax(), (256, 128))
    assert abs(row - 150) <= 1 and abs(column - 50) <= 1
    assert maps[0, 0].max() == 1


def test_the_empty_option_gives_what_the_released_script_writes():
    maps = published_part_maps(body(("nose", 40, 80, 0.9)), np.array([[256, 128]]), empty=True)
    assert (maps == -1).all()
