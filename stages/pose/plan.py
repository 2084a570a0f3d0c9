"""The plan of a stage-one run, made before any work."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from zlib_ng import zlib_ng

from cache.border import reading
from cache.chunks import FLOOR
from cache.differences import differences
from cache.files import write_whole
from cache.manifest import PLAN, Manifest, ShardEntry, fingerprint
from cache.shard import SCHEMA, frames_digest, shard_name
from cache.text_files import load_record
from stages.pose.config import EstimatorSpec, PoseConfig
from stages.pose.sources import content_digest
from stages.precision import choose
from stages.versions import kind_of, versions_of

PACKAGES = (
    "torch", "mmpose", "mmengine", "mmcv-lite", "numpy", "opencv-python-headless", "simplejpeg", "h5py",
    "keyreid",
)  # fmt: skip


def packages(device: str | None = None) -> dict[str, str]:
    """What can change a cache's bytes in this process: versions, and for a network the kind of its device."""
    versions = versions_of(PACKAGES) | {"zlib-ng": zlib_ng.ZLIBNG_RUNTIME_VERSION}
    return versions if device is None else versions | kind_of(device)


def other_packages(made_with: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs, as `differences` says it. zlib, which packed before zlib-ng did, makes the same bytes."""
    return differences(_packed_alike(made_with, now), _packed_alike(now, made_with))


def _packed_alike(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """`one`, with the zlib-ng of `other` in the place of zlib."""
    if "zlib" not in one or "zlib-ng" in one or "zlib-ng" not in other:
        return dict(one)
    return {key: value for key, value in one.items() if key != "zlib"} | {"zlib-ng": other["zlib-ng"]}


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
    own = functools.partial(packages, chosen["device"])
    return Recipe(spec.name, weights_sha256, network, chosen, input_size, own)


class KnownSettings(BaseModel):
    """Settings of an existing cache that a config may leave open."""

    model_config = ConfigDict(extra="ignore", strict=True)

    batch_size: int | None = Field(None, ge=1)
    threads: int | None = Field(None, ge=1)
    precision: str | None = Field(None, pattern="^(fp32|bf16|fp16)$")
    half: bool | None = None  # caches made before there was `precision`: fp16 on a GPU, bf16 on a CPU
    shard_frames: int | None = Field(None, ge=1)


def known_settings(before: Manifest | None) -> dict[str, Any]:
    """The settings that a cache was made with; none where there is no cache. Raises KeyReIDError."""
    if before is None:
        return {}
    remedy = "choose another --cache folder, or --force to throw it away"
    with reading(f"{PLAN}: settings", remedy=remedy):
        known = KnownSettings.model_validate(before.parts.get("settings") or {})
    return known.model_dump(exclude_none=True)


def settings(
    config: PoseConfig, spec: EstimatorSpec, device: str, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything about the arithmetic that is fixed per cache.

    What the config leaves open is taken from `known`, the settings of the existing cache.
    """
    gpu = device != "cpu"
    open_ones = {
        "batch_size": (config.batch_size, 128 if gpu else 32),
        "threads": (config.threads, 4 if gpu else 1),
    }
    chosen = {
        key: given if given is not None else known.get(key, default)
        for key, (given, default) in open_ones.items()
    }
    return {
        **chosen,
        **_precision(config, device, known),
        "shard_frames": config.shard_frames if config.shard_frames else known.get("shard_frames"),
        "padding": spec.padding if config.padding is None else config.padding,
        "flip_test": config.flip_test,
        "device": device.split(":")[0],
        "layout": "channels_last",
    }


def precision_of(settings: Mapping[str, Any]) -> str:
    """fp32, bf16 or fp16, as a cache's settings say."""
    if "precision" in settings:
        return settings["precision"]
    return ("bf16" if settings["device"] == "cpu" else "fp16") if settings["half"] else "fp32"


def _precision(config: PoseConfig, device: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The precision as settings name it; as `half` in a cache that says so and agrees."""
    named = device.split(":")[0]
    if "half" in known:
        before = precision_of({"half": known["half"], "device": named})
        if config.precision in ("auto", before):
            return {"half": known["half"]}
    if config.precision == "auto" and "precision" in known:
        return {"precision": known["precision"]}
    return {"precision": choose(config.precision, device, half="fp16")}


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
    content = plan.encoded()
    if load_record(folder / PLAN, len(content)) != json.loads(content):
        write_whole(folder / PLAN, content)
