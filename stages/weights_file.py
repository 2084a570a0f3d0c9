"""Weights files of others: read without running their code, taken out of their wrappings, and checked.

The one reader of both stages: pose networks and ViTs come in the same containers.
"""

import stages.compat  # noqa: F401  isort: skip  (before torch's users)
import argparse
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from safetensors.torch import load_file
from torch import Tensor

from cache.border import reading
from cache.errors import KeyReIDError
from stages.torchscript import is_archive, read_archive

# What training programs put a state dict into, beside epochs and optimisers; the first one there counts.
CONTAINERS = ("model_ema", "state_dict_ema", "teacher", "target_encoder", "state_dict", "model", "module")
# What they put before every name: DataParallel, Lightning and their like.
PREFIXES = ("module.", "model.")
# What they put before a ViT that is part of a larger network: DINO, MAE and I-JEPA, TransReID, CLIP-ReID.
VIT_PREFIXES = (*PREFIXES, "teacher.", "backbone.", "encoder.", "base.", "image_encoder.")
# Names that only a ViT has: a prefix before one of them is the ViT's, however much else the file holds.
VIT_NAMES = ("cls_token", "class_embedding", "patch_embed.proj.weight")
_REFUSED = re.compile(r"(?:GLOBAL|class|function)\s+([\w.]+)")
_TERMINAL = re.compile(r"\x1b\[[0-9;]*m")


def read_tensors(path: Path) -> dict:
    """What a .safetensors, a torch file (.pth, .pt, .bin) or a TorchScript archive holds, without its code.

    Beside tensors and plain values, NumPy's arrays and argparse's Namespace are read: they can do nothing.
    Raises KeyReIDError for a missing or damaged file, and for one that holds other objects.
    """
    if not path.is_file():
        raise KeyReIDError(f"weights {path}: no such file")
    with reading(f"weights {path}", "a safetensors or plain torch file"):
        if path.suffix == ".safetensors":
            return load_file(path)
        if is_archive(path):
            return read_archive(path)
        with torch.serialization.safe_globals([argparse.Namespace, *_numpy_constructors()]):
            state = _load(path)
    if not isinstance(state, dict):
        raise KeyReIDError(f"weights {path}: holds a {type(state).__name__}, expected a state dict")
    return state


def _numpy_constructors() -> list:
    """What it takes to unpickle a plain numpy array, under the names that numpy 1 and numpy 2 write."""
    dtypes = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    old_and_new = [
        (function, f"numpy.{package}.multiarray.{function.__name__}")
        for function in (_reconstruct, scalar)
        for package in ("core", "_core")
    ]
    return [np.ndarray, np.dtype, *dtypes, *old_and_new]


def _load(path: Path) -> Any:
    """torch.load without the file's code. Raises KeyReIDError for a file that needs it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = _TERMINAL.sub("", str(error))
        refused = _REFUSED.search(text) if "weights_only" in text.lower() or "Unsupported" in text else None
        if refused is None:
            raise ValueError("damaged, or of another format") from error
        raise KeyReIDError(
            f"weights {path}: holds {refused[1]} beside its tensors, an object whose code would have to run. "
            "If you trust the file's origin, save its tensors alone: python -c \"import torch; s = "
            f"torch.load('{path.name}', weights_only=False, map_location='cpu'); s = s.get('state_dict', "
            "s.get('model', s)); torch.save(s, 'tensors.pth')\""
        ) from error


def unwrapped(state: Mapping, label: str, prefixes: Sequence[str] = PREFIXES) -> tuple[dict[str, Any], str]:
    """A state dict out of its wrappings: its entries, and where they were, "" for a plain one.

    Known containers are opened, then those of `prefixes` that most names share, or that stand before a ViT,
    are taken off; names without it stay. Raises KeyReIDError for a name that is not a string; label: of the
    file, for the message.
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
    while prefix := next((p for p in prefixes if _covers(p, state)), None):
        short = {name.removeprefix(prefix): value for name, value in state.items()}
        if len(short) < len(state):
            raise KeyReIDError(f"{label}: has entries with and without {prefix!r} of the same name; keep one")
        state = short
        steps.append(f"without {prefix!r}")
    return dict(state), ", ".join(steps)


def _covers(prefix: str, state: Mapping) -> bool:
    if any(prefix + name in state for name in VIT_NAMES):
        return True
    return 2 * sum(name.startswith(prefix) for name in state) > len(state)


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
