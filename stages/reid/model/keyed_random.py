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


def hashed(keys: Tensor, number: Tensor | int) -> Tensor:
    """Mix a number into int64 keys; broadcasts. One step of SplitMix64 at position `number`."""
    step = GAMMA * (number + 1)
    value = keys + (_signed(step % (1 << 64)) if isinstance(step, int) else step)
    value = (value ^ _shift_right(value, 30)) * MULTIPLIERS[0]
    value = (value ^ _shift_right(value, 27)) * MULTIPLIERS[1]
    return value ^ _shift_right(value, 31)


def keyed_uniform(keys: Tensor, salt: int, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform numbers in [0, 1), float32 [*keys.shape, *shape], a function of (key, salt, position).

    keys: int64, any shape. salt: an int of its own for every place that draws.
    """
    positions = torch.arange(math.prod(shape), device=keys.device)
    stream = hashed(hashed(keys, salt), 0)
    bits = hashed(stream[..., None], positions)
    return (_shift_right(bits, 40).float() * 2.0**-24).reshape(*keys.shape, *shape)


def uniform(
    keys: Tensor | None, salt: int, batch: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """`keyed_uniform` where keys [batch] are given, else torch's global generator: [batch, *shape]."""
    if keys is None:
        return torch.rand(batch, *shape, device=device)
    return keyed_uniform(keys, salt, shape)
