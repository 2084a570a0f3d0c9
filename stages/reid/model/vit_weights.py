"""Start weights of the ViT from a local file: timm's own and the original ones."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cache.errors import KeyReIDError
from stages.reid.model.vit_families import checkpoint_filter


@dataclass(frozen=True)
class LoadReport:
    """What a weights file gave. Each is a list of entry names, with shapes where they differ."""

    path: Path
    loaded: list[str]
    missing: list[str]  # of the network, kept as initialised
    unused: list[str]  # of the file

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.loaded)} entries loaded"]
        for title, names in (("not in the file", self.missing), ("not used", self.unused)):
            if names:
                lines.append(f"{len(names)} {title}: {', '.join(names)}")
        return "; ".join(lines)


def read_tensors(path: Path) -> dict:
    """Tensors of a .safetensors or of a torch file (.pth, .pt, .bin), without running its code.

    Raises KeyReIDError for a missing file, one that is neither, and one that holds more than tensors.
    """
    if not path.is_file():
        raise KeyReIDError(f"weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise KeyReIDError(f"weights {path}: no safetensors or plain torch file ({reason[0]})") from error
    if not isinstance(state, dict):
        raise KeyReIDError(f"weights {path}: holds a {type(state).__name__}, expected a state dict")
    return state


def load_vit(vit: nn.Module, path: Path, guidance: str = "prior") -> LoadReport:
    """Load a ViT file into a whole ViT, position and patch embedding resampled to its grid.

    Accepts the layouts that timm converts (its own, the original jx_vit, DeiT and DINOv2 ones),
    whatever the classifier. With guidance published, positions are resampled bilinearly as released.
    Raises KeyReIDError when not one entry fits; entries that do not fit are listed and left out.
    """
    state = {name.removeprefix("module."): value for name, value in read_tensors(path).items()}
    resampled = guidance == "published" and getattr(vit, "pos_embed", None) is not None
    bilinear = {"interpolation": "bilinear", "antialias": False} if resampled else {}
    try:
        state = checkpoint_filter(vit)(state, vit, **bilinear)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise KeyReIDError(f"weights {path}: cannot be read as a ViT's state dict ({reason[0]})") from error
    own = vit.state_dict()
    loaded, unused = [], []
    for name, value in state.items():
        if name not in own:
            unused.append(name)
        elif tuple(value.shape) != tuple(own[name].shape):
            unused.append(f"{name} {list(value.shape)} (expected {list(own[name].shape)})")
        else:
            loaded.append(name)
    if not loaded:
        first = "; ".join(unused[:4]) or "it is empty"
        raise KeyReIDError(f"weights {path}: not one entry fits the backbone ({first}); is it the right ViT?")
    vit.load_state_dict({name: state[name] for name in loaded}, strict=False)
    return LoadReport(path, loaded, sorted(own.keys() - set(loaded)), unused)
