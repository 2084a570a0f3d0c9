"""Start weights of the ViT from a local file: timm's own and the original ones."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cache.errors import KeyReIDError
from stages.reid.model.vit_families import checkpoint_filter
from stages.reid.model.weights_file import first_line, read_tensors, unfit, unwrapped

# Entries for the tokens before the patches, in the names of timm and of the original files.
CLASS_TOKENS = ("cls_token", "dist_token")
REGISTERS = ("reg_token", "register_tokens", "storage_tokens")


@dataclass(frozen=True)
class LoadReport:
    """What a weights file gave. Each list is of entry names, with shapes where they differ."""

    path: Path
    loaded: list[str]
    missing: list[str]  # of the network, kept as initialised
    unused: list[str]  # of the file
    wrapping: str  # where in the file the entries were, "" for a plain state dict
    resampled: list[str]  # of the loaded ones, with both shapes

    def __str__(self) -> str:
        where = f" ({self.wrapping})" if self.wrapping else ""
        lines = [f"{self.path}{where}: {len(self.loaded)} entries loaded: {grouped(self.loaded)}"]
        for title, names in (
            ("resampled", self.resampled),
            ("not in the file", self.missing),
            ("not used", self.unused),
        ):
            if names:
                lines.append(f"{len(names)} {title}: {', '.join(names)}")
        return "; ".join(lines)


def load_vit(vit: nn.Module, path: Path, guidance: str = "prior") -> LoadReport:
    """Load a ViT file into a whole ViT, position and patch embedding resampled to its grid.

    Accepts the layouts that timm converts (its own, the original jx_vit, DeiT and DINOv2 ones),
    whatever the classifier, and in the usual wrappings. With guidance published, positions are resampled
    bilinearly as released. Raises KeyReIDError when not one entry fits, for other numbers of class and
    register tokens, and for values that no network can use; other entries that do not fit are listed.
    """
    file, wrapping = unwrapped(read_tensors(path), f"weights {path}")
    own = vit.state_dict()
    state = converted(vit, own, file, path, guidance)
    loaded, unused = [], [f"{name} (no tensor)" for name, v in file.items() if not isinstance(v, Tensor)]
    for name, value in state.items():
        if name not in own:
            unused.append(name)
        elif reason := unfit(value, own[name]):
            raise KeyReIDError(f"weights {path}: {name} {reason}; take another file")
        elif tuple(value.shape) != tuple(own[name].shape):
            unused.append(f"{name} {list(value.shape)} (expected {list(own[name].shape)})")
        else:
            loaded.append(name)
    if not loaded:
        first = "; ".join(unused[:4]) or "it is empty"
        raise KeyReIDError(f"weights {path}: not one entry fits the backbone ({first}); is it the right ViT?")
    vit.load_state_dict({name: state[name] for name in loaded}, strict=False)
    resampled = [
        f"{name} {list(file[name].shape)} -> {list(own[name].shape)}"
        for name in loaded
        if name in file and file[name].shape != own[name].shape
    ]
    return LoadReport(path, loaded, sorted(own.keys() - set(loaded)), unused, wrapping, resampled)


def converted(
    vit: nn.Module, own: Mapping[str, Tensor], file: Mapping[str, Any], path: Path, guidance: str
) -> dict[str, Tensor]:
    """The tensors of a file under timm's names, resampled to the grid of `vit`, whose state dict is `own`."""
    for name, value in file.items():
        if name in own and not isinstance(value, Tensor):
            raise KeyReIDError(f"weights {path}: {name} {unfit(value, own[name])}; take another file")
    tensors = {name: value for name, value in file.items() if isinstance(value, Tensor)}
    theirs, ours = prefix_tokens(tensors), prefix_tokens(own)
    if theirs[0] and theirs != ours:
        raise KeyReIDError(
            f"weights {path}: has {theirs[0]} class and {theirs[1]} register tokens, the backbone {ours[0]} "
            f"and {ours[1]}; choose the backbone that the file was made for"
        )
    resampled = guidance == "published" and getattr(vit, "pos_embed", None) is not None
    bilinear = {"interpolation": "bilinear", "antialias": False} if resampled else {}
    try:
        return checkpoint_filter(vit)(tensors, vit, **bilinear)
    except Exception as error:  # timm takes the names and shapes of a ViT for granted
        reason = first_line(error)
        raise KeyReIDError(f"weights {path}: cannot be read as a ViT's state dict ({reason})") from error


def prefix_tokens(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Numbers of class and of register tokens in a ViT's state dict."""
    registers = [state[name].shape[-2] for name in REGISTERS if name in state and state[name].dim() > 1]
    return sum(name in state for name in CLASS_TOKENS), sum(registers)


def grouped(names: Iterable[str]) -> str:
    """Entry names in short, with the number of entries: "blocks.0-11 (144), cls_token, norm (2)"."""
    counts, numbers = Counter(), defaultdict(set)
    for name in names:
        module, *rest = name.split(".")
        counts[module] += 1
        if rest and rest[0].isdigit():
            numbers[module].add(int(rest[0]))
    return ", ".join(
        module
        + (f".{ranges(numbers[module])}" if numbers[module] else "")
        + (f" ({count})" if count > 1 else "")
        for module, count in sorted(counts.items())
    )


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: 0, 1, 2, 5 as "0-2,5"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
