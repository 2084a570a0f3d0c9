"""Groupings of joints into parts."""

import subprocess
import sys

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.parts import JOINTS, PARTS, grouping, mirrored, part_joints
from stages.reid.data.part_maps import PartGroups


@pytest.mark.parametrize("number", [3, 4, 6])
def test_built_in_groupings_have_their_number_of_parts_and_no_joint_twice(number):
    assert len(grouping(number)) == number
    joints = [joint for members in PARTS[number].values() for joint in members]
    assert len(joints) == len(set(joints)) == len(JOINTS)


def test_six_parts_are_the_released_ones():
    assert list(PARTS[6]) == ["head", "torso", "left arm", "right arm", "left leg", "right leg"]
    assert part_joints(6)[2].tolist() == [7, 9]
    assert part_joints(6)[1].tolist() == [5, 6, 11, 12]


@pytest.mark.parametrize("number", [3, 4, 6])
def test_flipping_twice_changes_nothing(number):
    assert [mirrored(mirrored(joint)) for joint in JOINTS] == list(JOINTS)
    flip = PartGroups.of(number).flip
    assert np.array_equal(flip[flip], np.arange(number))


def test_flip_swaps_left_and_right_parts():
    assert PartGroups.of(6).flip.tolist() == [0, 1, 3, 2, 5, 4]


def test_own_grouping_is_taken_as_given():
    own = {"face": ["nose"], "feet": ["left_ankle", "right_ankle"]}
    assert [joints.tolist() for joints in part_joints(own)] == [[0], [15, 16]]
    assert PartGroups.of(own).flip.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (5, "3, 4, 6"),
        ({}, "empty"),
        ({"tail": []}, "tail"),
        ({"tail": ["coccyx"]}, "coccyx"),
    ],
)
def test_an_impossible_grouping_is_named(parts, words):
    with pytest.raises(KeyReIDError, match=words):
        grouping(parts)


def test_parts_and_config_need_no_torch():
    code = "import sys, stages.parts, stages.reid.model.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
