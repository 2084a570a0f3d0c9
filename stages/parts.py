"""Body parts: which of the seventeen COCO joints belong to which part. numpy only, no torch.

The pose cache stores joints. A part's heat is the maximum over its joints, taken when read, so
that another grouping needs no new extraction.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cache.errors import KeyReIDError
from cache.manifest import COCO_JOINTS as JOINTS

HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")

# The three built-in groupings, by their number of parts. Six parts are those of the released code.
PARTS: dict[int, dict[str, tuple[str, ...]]] = {
    3: {
        "head": HEAD,
        "upper body": (
            "left_shoulder",
            "right_shoulder",
            "left_elbow",
            "right_elbow",
            "left_wrist",
            "right_wrist",
        ),
        "lower body": ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    },
    4: {
        "head": HEAD,
        "torso": TORSO,
        "arms": ("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        "legs": ("left_knee", "right_knee", "left_ankle", "right_ankle"),
    },
    6: {
        "head": HEAD,
        "torso": TORSO,
        "left arm": ("left_elbow", "left_wrist"),
        "right arm": ("right_elbow", "right_wrist"),
        "left leg": ("left_knee", "left_ankle"),
        "right leg": ("right_knee", "right_ankle"),
    },
}

Grouping = int | Mapping[str, Sequence[str]]


def mirrored(joint: str) -> str:
    """The joint on the other side of the body; the nose is its own."""
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


def grouping(parts: Grouping) -> dict[str, tuple[str, ...]]:
    """Part names with their joints: a built-in grouping by number (3, 4, 6) or your own mapping.

    Raises KeyReIDError for a number without a grouping, an unknown joint, an empty part or no part.
    """
    if isinstance(parts, int):
        if parts not in PARTS:
            raise KeyReIDError(f"parts: {parts} is not a built-in grouping; expected 3, 4, 6 or a mapping")
        return PARTS[parts]
    if not parts:
        raise KeyReIDError("parts: the mapping is empty; name at least one part with its joints")
    for name, joints in parts.items():
        if not joints:
            raise KeyReIDError(f"parts: part {name!r} has no joints; list some of {', '.join(JOINTS)}")
        for joint in joints:
            if joint not in JOINTS:
                raise KeyReIDError(
                    f"parts: {joint!r} in part {name!r} is not a joint; expected some of {', '.join(JOINTS)}"
                )
    return {name: tuple(joints) for name, joints in parts.items()}


def part_joints(parts: Grouping) -> list[np.ndarray]:
    """Per part, the rows of its joints in the order of JOINTS (int64)."""
    return [np.array([JOINTS.index(joint) for joint in joints]) for joints in grouping(parts).values()]
