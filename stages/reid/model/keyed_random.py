"""Random numbers that depend on keys alone, not on the order or the place in which they are drawn.

Every sample of a batch carries an int64 key. What is drawn for it is a hash of key, salt and
position, so batch size, number of processes and device do not change it.
"""

import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """A 64-bit constant as torch's int64 holds it; products wrap around as unsigned ones do."""
    return value - (1 << 64) if value >> 63 else value


# Constants of the SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014).
GAMMA = _signed(0x9E3779B97F4A7C15)
MULTIPLIERS = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)  # >> keeps the sign of an int64


def _step(number: int) -> int:
    return _signed(GAMMA * (number + 1) % (1 << 64))


def hashed(keys: Tensor, number: int) -> Tensor:
    """Mix a number into int64 keys. One step of SplitMix64 at position `number`."""
    return _mixed(keys + _step(number))


def hashed_range(keys: Tensor, count: int) -> Tensor:
    """`hashed` for the numbers 0 to count - 1, along a new last axis: [*keys.shape, count].

    The constants come from a table. torch.compile takes a product with torch.arange for index arithmetic,
    and its C++ must not overflow.
    """
    if count == 1:
        return hashed(keys, 0)[..., None]
    table = torch.tensor([_step(number) for number in range(count)], dtype=torch.int64)
    return _mixed(keys[..., None] + table.to(keys.device, non_blocking=True))


def _mixed(value: Tensor) -> Tensor:
    value = (value ^ _shift_right(value, 30)) * MULTIPLIERS[0]
    value = (value ^ _shift_right(value, 27)) * MULTIPLIERS[1]
    return value ^ _shift_right(value, 31)


def keyed_uniform(keys: Tensor, salt: int, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform numbers in [0, 1), float32 [*keys.shape, *shape], a function of (key, salt, position).

    keys: int64, any shape. salt: an int of its own for every place that draws.
    """
    bits = hashed_range(hashed(hashed(keys, salt), 0), math.prod(shape))
    return (_shift_right(bits, 40).float() * 2.0**-24).reshape(*keys.shape, *shape)


def uniform(
    keys: Tensor | None, salt: int, batch: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """`keyed_uniform` where keys [batch] are given, else torch's global generator: [batch, *shape]."""
    if keys is None:
        return torch.rand(batch, *shape, device=device)
    return keyed_uniform(keys, salt, shape)
