"""What a run of stage one is going to make, before it makes anything."""

import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.chunks import FLOOR
from cache.errors import KeyReIDError
from cache.manifest import PLAN, Manifest, ShardEntry, fingerprint, load_manifest
from cache.shard import SCHEMA, frames_digest, shard_name
from stages.datasets.tracklet import Dataset
from stages.pose.config import EstimatorSpec, PoseConfig
from stages.versions import versions_of

PACKAGES = ("torch", "mmpose", "mmengine", "numpy", "opencv-python-headless", "h5py", "keyreid")


def packages(network: bool = False) -> dict[str, str]:
    """What can change a cache's bytes in this process: versions, and with a network the kind of CPU.

    The CPU is named by the instructions that torch uses here; ATEN_CPU_CAPABILITY limits them.
    """
    found = versions_of(PACKAGES) | {"zlib": zlib.ZLIB_RUNTIME_VERSION}
    if network:
        import torch

        found["cpu"] = torch.backends.cpu.get_cpu_capability()
    return found


@dataclass(frozen=True)
class Recipe:
    """How the poses of a cache are made. network: fingerprint of what the name and the weights leave open.

    input_size, packages: looked up only where something is to be made.
    """

    estimator: str
    weights_sha256: str
    network: str
    settings: Mapping[str, Any]
    input_size: Callable[[], tuple[int, int] | None] = lambda: None
    packages: Callable[[], dict[str, str]] = packages


def network_recipe(spec: EstimatorSpec, weights_sha256: str, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe of a pose network."""

    def input_size() -> tuple[int, int]:
        from stages.pose.estimator import input_size

        return input_size(spec)

    network = fingerprint({"mmpose_config": spec.mmpose_config, "model": spec.model})
    own = functools.partial(packages, network=True)
    return Recipe(spec.name, weights_sha256, network, chosen, input_size, own)


def divide(dataset: Dataset, target: int | None) -> list[tuple[str, ...]]:
    """Frames of each shard: runs of whole tracklets in dataset order, of at least `target` frames.

    A frame that several tracklets share belongs to the first. target None: a 32nd of all frames,
    but 64 to 2048.
    """
    seen: set[str] = set()
    own = []
    for tracklet in dataset.tracklets():
        fresh = [frame for frame in tracklet.frames if frame not in seen]
        seen.update(fresh)
        own.append(fresh)
    target = target or min(max(len(seen) // 32, 64), 2048)
    runs, current = [], []
    for frames in own:
        current.extend(frames)
        if len(current) >= target:
            runs.append(tuple(current))
            current = []
    return [*runs, tuple(current)] if current else runs


def settings(
    config: PoseConfig, spec: EstimatorSpec, device: str, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything about the arithmetic that is fixed per cache.

    What the config leaves open is taken from `known`, the settings of a cache that is already there.
    """
    gpu = device != "cpu"
    open_ones = {
        "batch_size": (config.batch_size, 128 if gpu else 32),
        "threads": (config.threads, 4 if gpu else 1),
        "half": (config.half, gpu),
    }
    chosen = {
        key: given if given is not None else known.get(key, default)
        for key, (given, default) in open_ones.items()
    }
    return {
        **chosen,
        "shard_frames": config.shard_frames if config.shard_frames else known.get("shard_frames"),
        "padding": spec.padding if config.padding is None else config.padding,
        "flip_test": config.flip_test,
        "device": device.split(":")[0],
        "layout": "channels_last",
    }


def content_digest(digests: np.ndarray) -> str:
    """SHA-256 over the frames' digests, in order."""
    return hashlib.sha256(np.ascontiguousarray(digests, "<u8").tobytes()).hexdigest()


def make_parts(
    runs: Sequence[Sequence[str]],
    digests: np.ndarray,
    bad: Iterable[int],
    recipe: Recipe,
) -> dict[str, Any]:
    """What the fingerprint is made of, by name."""
    return {
        "frames": {
            "count": sum(len(run) for run in runs),
            "names": frames_digest([frame for run in runs for frame in run]),
            "content": content_digest(digests),
            "unreadable": sorted(int(row) for row in bad),
        },
        "estimator": recipe.estimator,
        "network": recipe.network,
        "weights": recipe.weights_sha256,
        "settings": dict(recipe.settings),
        "format": {"schema": SCHEMA, "floor": FLOOR, "codec": "deflate, fletcher32"},
    }


def make_plan(
    runs: Sequence[Sequence[str]],
    parts: Mapping[str, Any],
    bad: Iterable[int],
    recipe: Recipe,
) -> Manifest:
    """The manifest-to-be of a cache that holds `runs`."""
    names = [frame for run in runs for frame in run]
    return Manifest(
        estimator=recipe.estimator,
        weights_sha256=recipe.weights_sha256,
        parts=parts,
        shards=tuple(
            ShardEntry(shard_name(number), len(run), frames_digest(run)) for number, run in enumerate(runs)
        ),
        packages=recipe.packages(),
        input_size=recipe.input_size(),
        zeroed=tuple(names[row] for row in sorted(bad)),
    )


def keep_plan(folder: Path, plan: Manifest) -> None:
    """Write plan.json unless it says that already."""
    try:
        if load_manifest(folder / PLAN) == plan:
            return
    except KeyReIDError:
        pass  # missing or damaged
    plan.save(folder / PLAN)
