"""From seventeen joint heatmaps to part maps. numpy only."""

from dataclasses import dataclass

import numpy as np

from stages.reid.model.parts import JOINTS, Grouping, grouping, mirrored


@dataclass(frozen=True)
class PartGroups:
    """A grouping with what a flip needs.

    joints: rows of the joints of each group; the first `count` groups are the parts themselves, the
    rest are mirror images that are no part of their own. flip[k]: the group that is part k after a flip.
    """

    joints: tuple[np.ndarray, ...]
    count: int
    flip: np.ndarray

    @classmethod
    def of(cls, parts: Grouping) -> "PartGroups":
        """Raises KeyReIDError for a grouping that is none."""
        members = [frozenset(joints) for joints in grouping(parts).values()]
        count = len(members)
        flip = []
        for joints in members[:count]:
            partner = frozenset(mirrored(joint) for joint in joints)
            if partner not in members:
                members.append(partner)
            flip.append(members.index(partner))
        rows = tuple(np.array(sorted(JOINTS.index(joint) for joint in joints)) for joints in members)
        return cls(rows, count, np.array(flip))


def joints_to_parts(heatmaps: np.ndarray, joints: tuple[np.ndarray, ...]) -> np.ndarray:
    """Heat of each group: the maximum over its joints.

    heatmaps: uint8 or float [N, 17, h, w]. joints: rows of each group. Returns the same type, [N, K, h, w].
    """
    out = np.empty((len(heatmaps), len(joints), *heatmaps.shape[2:]), dtype=heatmaps.dtype)
    for k, rows in enumerate(joints):
        np.copyto(out[:, k], heatmaps[:, rows[0]])
        for row in rows[1:]:
            np.maximum(out[:, k], heatmaps[:, row], out=out[:, k])
    return out
