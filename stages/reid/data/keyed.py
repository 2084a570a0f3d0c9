"""Random numbers that depend on a sample's key alone, not on who draws them or when.

A counter goes through the finaliser of SplitMix64. So a sample gets the same augmentation in any worker,
process or batch layout, and after a resume.
"""

import numpy as np

from stages.splitmix import GAMMA, mix, shift_right, signed


def sample_keys(seed: int, epoch: int, count: int) -> np.ndarray:
    """Keys int64 [count], not negative, of the samples of one epoch in order."""
    base = mix(np.array([signed(seed * GAMMA + 1)]))
    base = mix(base + signed(epoch * GAMMA))
    return shift_right(mix(base + np.arange(1, count + 1) * GAMMA), 1)


def uniform(keys: np.ndarray, salt: int, count: int) -> np.ndarray:
    """float64 [B, count] in [0, 1) for keys int64 [B]; another salt gives independent draws."""
    base = mix(keys + mix(np.array([signed(salt + GAMMA)])))
    bits = mix(base[:, None] + np.arange(1, count + 1) * GAMMA)
    return shift_right(bits, 11) * 2.0**-53
