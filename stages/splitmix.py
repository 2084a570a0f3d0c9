"""SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the generator behind everything that is drawn by key.

Its 64-bit numbers are held in int64, whose products and sums wrap around as unsigned ones do. The same
code mixes arrays of numpy and tensors of torch, so that both draw the same numbers.
"""

from typing import TypeVar

Keys = TypeVar("Keys")  # an int64 array of numpy, or tensor of torch


def signed(value: int) -> int:
    """A whole number modulo 2^64, as int64 holds it."""
    value %= 1 << 64
    return value - (1 << 64) if value >> 63 else value


GAMMA = signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)


def shift_right(value: Keys, bits: int) -> Keys:
    """An int64 shifted as if it had no sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def mix(value: Keys) -> Keys:
    """A bijection of int64 that scatters neighbouring values: the finaliser of SplitMix64."""
    value = (value ^ shift_right(value, 30)) * _FIRST
    value = (value ^ shift_right(value, 27)) * _SECOND
    return value ^ shift_right(value, 31)
