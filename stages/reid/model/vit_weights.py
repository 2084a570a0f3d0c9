"""Start weights of the ViT from a local file: timm's own, the original ones, and those of person networks."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cache.border import reading
from cache.errors import KeyReIDError
from stages.reid.model.patch_grid import as_text, likely_grid, resample
from stages.reid.model.vit_families import checkpoint_filter
from stages.reid.model.vit_file import POSITIONS, VitFile, describe, prefix_tokens
from stages.weights_file import VIT_PREFIXES, read_tensors, unfit, unwrapped

OTHER_BACKBONE = "choose the backbone that the file was made for"


@dataclass(frozen=True)
class LoadReport:
    """What a weights file gave. Each list is of entry names, with shapes where they differ."""

    path: Path
    loaded: list[str]
    missing: list[str]  # of the network, kept as initialised
    unused: list[str]  # of the file
    wrapping: str  # where in the file the entries were, "" for a plain state dict
    resampled: list[str]  # of the loaded ones, with both shapes, or both grids

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


def read_vit(path: Path) -> tuple[dict[str, Any], str]:
    """The entries of a ViT file out of their wrappings, CLIP's under `visual.`; and where they were."""
    file, wrapping = unwrapped(read_tensors(path), f"weights {path}", VIT_PREFIXES)
    if (
        "class_embedding" in file and "conv1.weight" in file
    ):  # CLIP's image encoder alone, as CLIP-ReID has it
        file = {f"visual.{name}": value for name, value in file.items()}
    return file, wrapping


def describe_file(path: Path) -> str:
    """In words: what a weights file is, and the backbone that goes with it. Errors as `read_tensors`."""
    file, wrapping = read_vit(path)
    about = describe(file)
    name = about.backbone()
    return (
        f"{path}: {about}"
        + (f"; {wrapping}" if wrapping else "")
        + (f"; goes with model.backbone={name}" if name else "")
    )


def load_vit(vit: nn.Module, path: Path, guidance: str = "prior") -> LoadReport:
    """Load a ViT file into a whole ViT, position and patch embedding resampled to its grid.

    Accepts the layouts that timm converts (its own, the original jx_vit, DeiT, DINOv2 and CLIP ones),
    whatever the classifier, and in the usual wrappings. With guidance published, positions are resampled
    bilinearly as released. Raises KeyReIDError when not one entry fits, for another patch embedding, other
    numbers of class and register tokens, and values that no network can use; other entries that do not
    fit are listed.
    """
    file, wrapping = read_vit(path)
    own = vit.state_dict()
    about = describe(file)
    for name, value in file.items():
        if name in own and not isinstance(value, Tensor):
            raise KeyReIDError(f"weights {path}: {name} {unfit(value, own[name])}; take another file")
    tensors = {name: value for name, value in file.items() if isinstance(value, Tensor)}
    ours = prefix_tokens(own)
    if about.class_tokens and (about.class_tokens, about.registers) != ours:
        raise KeyReIDError(
            f"weights {path}: has {about.class_tokens} class and {about.registers} register tokens, the "
            f"backbone {ours[0]} and {ours[1]}; {OTHER_BACKBONE}. {_advice(about)}"
        )
    tensors, moved = _positioned(vit, tensors, path, bilinear=guidance == "published")
    with reading(f"weights {path}", "a ViT's state dict"):  # whose names and shapes timm takes for granted
        state = checkpoint_filter(vit)(tensors, vit)
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
        raise KeyReIDError(
            f"weights {path}: not one entry fits the backbone ({first}); is it the right ViT? "
            f"{_advice(about)}"
        )
    missing = sorted(own.keys() - set(loaded))
    _refuse_other_patches(missing, unused, about, path)
    vit.load_state_dict({name: state[name] for name in loaded}, strict=False)
    resampled = moved + [
        f"{name} {list(file[name].shape)} -> {list(own[name].shape)}"
        for name in loaded
        if name in file and file[name].shape != own[name].shape and name not in POSITIONS
    ]
    return LoadReport(path, loaded, missing, unused, wrapping, resampled)


def _refuse_other_patches(missing: list[str], unused: list[str], about: VitFile, path: Path) -> None:
    """A network with a random first layer would train, and nobody would notice."""
    if about.stem:
        raise KeyReIDError(
            f"weights {path}: its patch embedding is a stem of convolutions (TransReID-SSL with ICS), which "
            "no backbone here has; take the weights of the same training without ICS"
        )
    if about.clip and any(name.startswith("norm_pre.") for name in unused):
        raise KeyReIDError(
            f"weights {path}: are CLIP's, whose tokens are normalised before the blocks, the backbone's are "
            f"not; {OTHER_BACKBONE}. {_advice(about)}"
        )
    lacking = [name for name in missing if name.startswith("patch_embed.")]
    if lacking:
        other = next((name for name in unused if name.startswith("patch_embed.")), "it has none")
        raise KeyReIDError(
            f"weights {path}: the patch embedding does not fit the backbone ({lacking[0]} is not filled: "
            f"{other}); {OTHER_BACKBONE}. {_advice(about)}"
        )


def _advice(about: VitFile) -> str:
    """The end of a message: what the file is, and which backbone fits."""
    name = about.backbone()
    return f"The file is {about}" + (f": model.backbone={name}" if name else "")


def _positioned(
    vit: nn.Module, file: dict[str, Tensor], path: Path, bilinear: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """A file's tensors with its positions on the grid of `vit`, and from which grid to which they went."""
    own, name = getattr(vit, "pos_embed", None), next((name for name in POSITIONS if name in file), None)
    if own is None or name is None:
        return file, []
    value, new = file[name], tuple(vit.patch_embed.grid_size)
    if reason := unfit(value, own):
        raise KeyReIDError(f"weights {path}: {name} {reason}; take another file")
    rows = value.reshape(-1, value.shape[-1])
    before = own.shape[1] - new[0] * new[1]  # positions of class and register tokens, in ours
    if "register_tokens" in file:
        before = 1  # of DINOv2's own files, which timm converts
    old = likely_grid(rows[before:], new)
    if old is None:
        raise KeyReIDError(
            f"weights {path}: {name} has {len(rows) - before} positions of patches, which make no upright "
            "grid; take another file"
        )
    if old == new:
        return file, []
    moved = resample(rows[before:], old, new, bilinear)
    shape = (*value.shape[:-2], before + len(moved), value.shape[-1])
    return (
        {**file, name: torch.cat([rows[:before], moved]).reshape(shape)},
        [f"{name} {as_text(old)} -> {as_text(new)}"],
    )


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
