"""Random numbers that depend on keys alone, not on the order or the place in which they are drawn.

Every sample of a batch carries an int64 key. What is drawn for it is a hash of key, salt and
position, so batch size, number of processes and device do not change it.
"""

import functools
import math

import torch
from torch import Tensor

from stages.splitmix import GAMMA, mix, shift_right, signed


def _step(number: int) -> int:
    return signed(GAMMA * (number + 1))


def hashed(keys: Tensor, number: int) -> Tensor:
    """Mix a number into int64 keys. One step of SplitMix64 at position `number`."""
    return mix(keys + _step(number))


def hashed_range(keys: Tensor, count: int) -> Tensor:
    """`hashed` for the numbers 0 to count - 1, along a new last axis: [*keys.shape, count].

    The constants come from a table. torch.compile takes a product with torch.arange for index arithmetic,
    and its C++ must not overflow.
    """
    if count == 1:
        return hashed(keys, 0)[..., None]
    table = _table(count, keys.device) if torch.compiler.is_compiling() else _kept_table(count, keys.device)
    return mix(keys[..., None] + table)


def _table(count: int, device: torch.device) -> Tensor:
    table = torch.tensor([_step(number) for number in range(count)], dtype=torch.int64)
    return table.to(device, non_blocking=True)


_kept_table = functools.lru_cache(maxsize=64)(_table)  # an upload waits for the device


def keyed_uniform(keys: Tensor, salt: int, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform numbers in [0, 1), float32 [*keys.shape, *shape], a function of (key, salt, position).

    keys: int64, any shape. salt: an int of its own for every place that draws.
    """
    bits = hashed_range(hashed(hashed(keys, salt), 0), math.prod(shape))
    return _unit(bits).reshape(*keys.shape, *shape)


def keyed_uniforms(keys: Tensor, salts: int) -> Tensor:
    """`keyed_uniform` for the salts 0 to salts - 1 in one go: float32 [*keys.shape, salts]."""
    return _unit(hashed(hashed(hashed_range(keys, salts), 0), 0))


def _unit(bits: Tensor) -> Tensor:
    return shift_right(bits, 40).float() * 2.0**-24


def uniform(
    keys: Tensor | None, salt: int, batch: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """`keyed_uniform` where keys [batch] are given, else torch's global generator: [batch, *shape]."""
    if keys is None:
        return torch.rand(batch, *shape, device=device)
    return keyed_uniform(keys, salt, shape)
