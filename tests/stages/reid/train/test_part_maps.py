"""Joint heatmaps to part maps."""

import numpy as np
import pytest

from stages.reid.model.parts import FLIP_JOINTS, JOINTS, PARTS, flip_parts
from stages.reid.part_maps import PartGroups, gaussian_maps, joints_to_parts


@pytest.mark.parametrize("parts", [3, 4, 6])
def test_a_part_is_the_maximum_over_its_joints(parts):
    heat = np.random.default_rng(0).integers(0, 256, (3, 17, 8, 4), dtype=np.uint8)
    maps = joints_to_parts(heat, PartGroups.of(parts).joints)
    assert maps.dtype == np.uint8 and maps.shape == (3, parts, 8, 4)
    for k, joints in enumerate(PARTS[parts].values()):
        np.testing.assert_array_equal(maps[:, k], heat[:, [JOINTS.index(j) for j in joints]].max(axis=1))


@pytest.mark.parametrize("parts", [3, 4, 6])
def test_flipping_parts_is_flipping_joints_before_grouping(parts):
    heat = np.random.default_rng(1).random((2, 17, 4, 4))
    groups = PartGroups.of(parts)
    assert len(groups.joints) == groups.count == parts
    np.testing.assert_array_equal(groups.flip, flip_parts(parts))
    np.testing.assert_array_equal(
        joints_to_parts(heat, groups.joints)[:, groups.flip],
        joints_to_parts(heat[:, FLIP_JOINTS], groups.joints),
    )


def test_a_part_whose_mirror_image_is_no_part_still_flips():
    parts = {"left hand": ["left_wrist"], "head": ["nose"]}
    heat = np.random.default_rng(2).random((2, 17, 4, 4))
    groups = PartGroups.of(parts)
    assert groups.count == 2
    flipped = joints_to_parts(heat, groups.joints)[:, groups.flip]
    np.testing.assert_array_equal(flipped[:, 0], heat[:, JOINTS.index("right_wrist")])
    np.testing.assert_array_equal(flipped[:, 1], heat[:, 0])


def test_gaussians_have_their_peak_at_the_keypoint_and_end_at_a_radius_of_an_eleventh_of_the_width():
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[0, 0] = (64.4, 100.9, 0.9)  # nose
    keypoints[1, 0] = (32, 50, 0.05)  # scores too low
    keypoints[1, 9] = (10, 20, 0.5)  # left wrist, on a frame half as large
    size = np.array([[256, 128], [128, 64]])
    maps = gaussian_maps(keypoints, size, PartGroups.of(6).joints, (256, 128))
    assert maps.shape == (2, 6, 256, 128)
    rows, columns = np.nonzero(maps[0, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (89, 111, 53, 75)
    assert maps[0, 0, 100, 64] == 255
    assert maps[0, 0, 100, 64 + 5] == round(255 * np.exp(-(5**2) / (2 * (23 / 4) ** 2)))
    assert not maps[0, 1:].any() and not maps[1, 0].any()
    y, x = np.unravel_index(maps[1, 2].argmax(), (256, 128))
    assert abs(y - 40.5) <= 1 and abs(x - 20.5) <= 1 and maps[1, 2].max() == 255
