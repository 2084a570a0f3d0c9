"""Weights files of others: read without running their code, taken out of their wrappings, and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cache.errors import KeyReIDError

# What training programs put a state dict into, beside epochs and optimisers; the first one there counts.
CONTAINERS = ("model_ema", "state_dict_ema", "teacher", "target_encoder", "state_dict", "model", "module")
PREFIXES = ("module.", "model.", "teacher.", "backbone.", "encoder.")


def read_tensors(path: Path) -> dict:
    """What a .safetensors or a torch file (.pth, .pt, .bin) holds, read without running its code.

    Raises KeyReIDError for a missing file, one that is neither, and one that holds more than tensors.
    """
    if not path.is_file():
        raise KeyReIDError(f"weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for a damaged file
        reason = first_line(error)
        raise KeyReIDError(f"weights {path}: no safetensors or plain torch file ({reason})") from error
    if not isinstance(state, dict):
        raise KeyReIDError(f"weights {path}: holds a {type(state).__name__}, expected a state dict")
    return state


def unwrapped(state: Mapping, label: str) -> tuple[dict[str, Any], str]:
    """A state dict out of its wrappings: its entries, and where they were, "" for a plain one.

    Known containers are opened, then known prefixes that most names share are taken off; names without
    it stay. Raises KeyReIDError for a name that is no string; label: of the file, for the message.
    """
    steps, opened = [], []
    while name := next((name for name in CONTAINERS if isinstance(state.get(name), Mapping)), None):
        if any(state is outer for outer in opened):
            raise KeyReIDError(f"{label}: its entry {name!r} holds itself, expected a state dict")
        opened.append(state)
        state = state[name]
        steps.append(f"entries of {name!r}")
    for name in state:
        if not isinstance(name, str):
            raise KeyReIDError(
                f"{label}: entry {name!r} is named by a {type(name).__name__}, expected a string"
            )
    while prefix := next((p for p in PREFIXES if 2 * sum(n.startswith(p) for n in state) > len(state)), None):
        short = {name.removeprefix(prefix): value for name, value in state.items()}
        if len(short) < len(state):
            raise KeyReIDError(f"{label}: has entries with and without {prefix!r} of the same name; keep one")
        state = short
        steps.append(f"without {prefix!r}")
    return dict(state), ", ".join(steps)


def unfit(value: Any, like: Tensor) -> str | None:
    """Why a value cannot fill an entry such as `like`, whatever the shapes; None where it can."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, expected a tensor"
    if value.layout != torch.strided or value.is_quantized:
        return "is sparse or quantized, expected a plain tensor"
    if value.is_complex() or (like.is_floating_point() and not value.is_floating_point()):
        return (
            f"is {str(value.dtype).removeprefix('torch.')}, expected {str(like.dtype).removeprefix('torch.')}"
        )
    return "has values that are not finite" if not finite(value) else None


def finite(value: Tensor) -> bool:
    """Whether a tensor is free of NaN and infinity."""
    if not value.is_floating_point() or not value.numel():
        return True
    low, high = torch.aminmax(value if value.dtype.itemsize > 1 else value.float())  # NaN comes through
    return bool(torch.isfinite(low) & torch.isfinite(high))


def first_line(error: Exception) -> str:
    """The reason an error gives, on one line; its type where it gives none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
