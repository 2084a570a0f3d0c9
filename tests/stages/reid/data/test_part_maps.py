"""Joint heatmaps to part maps."""

import numpy as np
import pytest

from stages.parts import JOINTS, PARTS, mirrored
from stages.reid.data.part_maps import PartGroups, gaussian_maps, joints_to_parts
from stages.reid.model.published_maps import drawn_map


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
    partners = [JOINTS.index(mirrored(joint)) for joint in JOINTS]
    assert len(groups.joints) == groups.count == parts
    np.testing.assert_array_equal(
        joints_to_parts(heat, groups.joints)[:, groups.flip],
        joints_to_parts(heat[:, partners], groups.joints),
    )


def test_a_part_whose_mirror_image_is_no_part_still_flips():
    parts = {"left hand": ["left_wrist"], "head": ["nose"]}
    heat = np.random.default_rng(2).random((2, 17, 4, 4))
    groups = PartGroups.of(parts)
    assert groups.count == 2
    flipped = joints_to_parts(heat, groups.joints)[:, groups.flip]
    np.testing.assert_array_equal(flipped[:, 0], heat[:, JOINTS.index("right_wrist")])
    np.testing.assert_array_equal(flipped[:, 1], heat[:, 0])


def test_gaussians_are_the_published_maps_pooled_in_0_to_1():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 1, (3, 17, 3)).astype(np.float32) * (128, 256, 1)
    keypoints[2, :, 2] = 0.05
    size = np.array([[256, 128], [256, 128], [300, 140]])
    groups = PartGroups.of(6).joints
    maps = gaussian_maps(keypoints, size, groups, (64, 32))
    expected = np.array(
        [[drawn_map(k[rows], *s) for rows in groups] for k, s in zip(keypoints, size, strict=True)]
    )
    pooled = expected.reshape(3, 6, 64, 4, 32, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(maps / 255, pooled, atol=0.6 / 255)
    assert maps[:2].max() > 240 and not maps[2].any()
