"""Random numbers that depend on a sample's key alone, not on who draws them or when.

A counter goes through the finaliser of SplitMix64 (Steele, Lea and Flood, 2014). So a sample gets
the same augmentation in any worker, process or batch layout, and after a resume.
"""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def mix(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that scatters neighbouring values."""
    x = np.asarray(x, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * _M1
        x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


def sample_keys(seed: int, epoch: int, count: int) -> np.ndarray:
    """Keys int64 [count], not negative, of the samples of one epoch in order."""
    with np.errstate(over="ignore"):
        base = mix(np.uint64(seed) * _GOLDEN + np.uint64(1))
        base = mix(base + np.uint64(epoch) * _GOLDEN)
        keys = mix(base + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (keys >> np.uint64(1)).astype(np.int64)


def uniform(keys: np.ndarray, salt: int, count: int) -> np.ndarray:
    """float64 [B, count] in [0, 1) for keys int64 [B]; another salt gives independent draws."""
    with np.errstate(over="ignore"):
        base = mix(keys.astype(np.uint64) + mix(np.uint64(salt) + _GOLDEN))
        bits = mix(base[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (bits >> np.uint64(11)) * 2.0**-53
