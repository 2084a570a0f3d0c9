"""Joint heatmaps to part maps."""

import numpy as np
import pytest

from stages.reid.model.parts import FLIP_JOINTS, JOINTS, PARTS, flip_parts
from stages.reid.part_maps import PartGroups, joints_to_parts


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
