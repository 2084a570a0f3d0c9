"""Finding, fetching, checking and reading weights, without ever running code from the file.

torch is imported where it is needed: a rerun that has nothing to do is quick without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import KeyReIDError
from cache.files import sha256_of
from stages.pose.config import EstimatorSpec

if TYPE_CHECKING:
    import torch

OLD_HEAD = "keypoint_head."


def weights_folder() -> Path:
    """Where fetched weights are kept: KEYREID_WEIGHTS, or keyreid/weights in the user's cache folder."""
    given = os.environ.get("KEYREID_WEIGHTS")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "keyreid" / "weights"


def find_weights(spec: EstimatorSpec, given: Path | None = None) -> tuple[Path, str]:
    """Path and SHA-256 of the weights: `given`, or beside the spec, or in the weights folder, or fetched.

    Raises KeyReIDError where there are none (it says where to get the file and where to put it) or where
    the file is not the one that the spec names.
    """
    if given is not None:
        if not given.is_file():
            raise KeyReIDError(f"weights file {given} does not exist")
        return given, sha256_of(given)
    places = [spec.folder / spec.weights.file, weights_folder() / spec.weights.file]
    path = next((place for place in places if place.is_file()), None) or _fetch(spec, places[-1])
    digest = sha256_of(path)
    if not digest.startswith(spec.weights.sha256):
        raise KeyReIDError(
            f"{path} is not the file that {spec.name} names: SHA-256 {digest[:12]}..., expected "
            f"{spec.weights.sha256}...; delete it to fetch it again, or give another with --pose-weights"
        )
    return path, digest


def _fetch(spec: EstimatorSpec, target: Path) -> Path:
    """Download to a temporary name, check, rename."""
    get = f"get {spec.weights.url}" if spec.weights.url else "make them with keyreid fit-pose"
    way_out = f"{get} and put the file at {target}, or give its path with --pose-weights"
    if spec.weights.url is None:
        raise KeyReIDError(f"weights of {spec.name} ({spec.weights.file}) are not there; {way_out}")
    import torch

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(spec.weights.url, target, hash_prefix=spec.weights.sha256)
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError; RuntimeError: hash
        raise KeyReIDError(f"weights of {spec.name} cannot be fetched ({error}); {way_out}") from error
    return target


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, from .safetensors or a checkpoint of torch.save, in mmpose's present names.

    Taken out of the usual wrappings (DataParallel and the like); mmpose 0.x called the head `keypoint_head`.
    Raises KeyReIDError.
    """
    import torch

    from stages.weights_file import read_tensors, unwrapped

    state, _ = unwrapped(read_tensors(path), f"weights {path}")
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise KeyReIDError(
            f"weights {path} do not hold a state_dict of tensors; expected a checkpoint of mmpose"
        )
    return {
        f"head.{name.removeprefix(OLD_HEAD)}" if name.startswith(OLD_HEAD) else name: value
        for name, value in state.items()
    }


def load_into(network: torch.nn.Module, path: Path) -> None:
    """Load weights strictly. Raises KeyReIDError naming what is missing, left over or of another shape."""
    state = read_state_dict(path)
    own = network.state_dict()
    counters = [name for name in own if name.endswith("num_batches_tracked")]  # never used in evaluation
    missing = sorted(own.keys() - state.keys() - set(counters))
    extra = sorted(state.keys() - own.keys())
    shapes = [
        f"{name} {list(state[name].shape)}, expected {list(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
    ]
    problems = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (("missing", missing), ("left over", extra), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise KeyReIDError(f"weights {path} do not fit this network: {'; '.join(problems)}")
    network.load_state_dict(state, strict=False)
