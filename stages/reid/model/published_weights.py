"""The released weights: their entry names, and how they come into our network."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cache.errors import KeyReIDError
from stages.reid.model.config import ModelConfig
from stages.reid.model.keyreid import KeyReID
from stages.reid.model.weights import listed
from stages.weights_file import read_tensors, unfit, unwrapped

# Our name -> the released one. Part necks and classifiers count from 1 there.
RENAMED = {
    "backbone.camera": "base.Cam",
    "backbone.vit.": "base.",
    "global_branch.block.": "b1.0.",
    "global_branch.norm.": "b1.1.",
    "global_branch.pool.conv.": "attention_conv.",
    "global_branch.pool.tconv.": "attention_tconv.",
    "global_neck.": "bottleneck.",
    "global_classifier.": "classifier.",
    "local_branch.blocks.0.": "b2.0.",
    "local_branch.norm.": "b2.1.",
}
NUMBERED = {"part_necks": "bottleneck", "part_classifiers": "classifier"}

# In the file, but nothing of the forward pass: the ViT's own last block, norm and ImageNet classifier.
UNUSED = re.compile(r"base\.(blocks\.11|norm|fc)\..+")


def released_name(name: str) -> str:
    """The released entry that fills an entry of our state dict."""
    for ours, theirs in RENAMED.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    module, number, rest = name.split(".", 2)
    return f"{NUMBERED[module]}_{int(number) + 1}.{rest}"


def released_shape(name: str, shape: torch.Size) -> tuple[int, ...]:
    """The shape that a released entry has, from that of ours: two of them have axes of length 1 more."""
    if name == "base.Cam":
        return shape[0], 1, *shape[1:]
    if name == "attention_conv.weight":
        return *shape, 1, 1
    return tuple(shape)


def load_published(source: Path | str | Mapping[str, Tensor], published_maps: str = "gaussian") -> KeyReID:
    """The released network with its released weights, in evaluation mode.

    source: the released file (read without running its code), or its state dict. The numbers of
    identities and cameras are read from the shapes. published_maps: how part maps are to be made
    for it, "gaussian" or "empty". Raises KeyReIDError that lists what is missing, unknown or of
    another shape.
    """
    label = "state dict" if isinstance(source, Mapping) else f"weights {source}"
    state = tensors_of(source if isinstance(source, Mapping) else read_tensors(Path(source)), label)
    config = ModelConfig(guidance="published", published_maps=published_maps)
    with torch.device("meta"):
        model = KeyReID(config, rows(state, "classifier.weight"), rows(state, "base.Cam"))
    own = model.state_dict()
    sources = {name: released_name(name) for name in own}
    expected = {sources[name]: released_shape(sources[name], value.shape) for name, value in own.items()}
    wrong = unlike(state, expected)
    fitting = (
        (sources[name], unfit(state[sources[name]], value)) for name, value in own.items() if not wrong
    )
    wrong = wrong or [f"{name} {reason}" for name, reason in fitting if reason]
    if wrong:
        raise KeyReIDError(f"{label}: not the released network: {listed(wrong)}")
    copies = {
        name: state[sources[name]].detach().to("cpu", value.dtype, copy=True).reshape(value.shape)
        for name, value in own.items()
    }
    model.load_state_dict(copies, assign=True)
    return model.eval()


def rows(state: Mapping[str, Tensor], name: str) -> int:
    """Length of an entry's first axis; 1 where there is none, for `unlike` to report."""
    return max(1, len(state[name])) if name in state and state[name].dim() else 1


def tensors_of(state: Mapping, label: str) -> dict[str, Tensor]:
    """Plain entries of a released state dict: out of its wrapping, the shared block under one name.

    `block1.*` and `b2.0.*` are the same tensors under two names; either will do. label: of the state dict,
    for messages. Raises KeyReIDError where the two differ, and for entries that are not tensors.
    """
    plain, _ = unwrapped(state, label)
    for name, value in plain.items():
        if not isinstance(value, Tensor):
            raise KeyReIDError(f"{label}: entry {name!r} is a {type(value).__name__}, expected a tensor")
    for name in [name for name in plain if name.startswith("block1.")]:
        alias, value = "b2.0." + name.removeprefix("block1."), plain.pop(name)
        other = plain.setdefault(alias, value)
        if other is not value and not torch.equal(other, value):
            raise KeyReIDError(
                f"{label}: {name} and {alias} differ: in the released network they are one tensor"
            )
    return plain


def unlike(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Differences of a released state dict from the shapes it should have, in words."""
    lines = [f"{name} is missing" for name in expected if name not in state]
    for name, value in state.items():
        if name in expected and tuple(value.shape) != expected[name]:
            lines.append(f"{name} is {list(value.shape)}, expected {list(expected[name])}")
        elif name not in expected and not UNUSED.fullmatch(name):
            lines.append(f"{name} is unknown")
    return lines
