"""A network over tracklets, into embeddings with names: for evaluation, galleries and ablation."""

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cache import PoseCache
from cache.files import sha256_of
from stages.datasets.tracklet import Tracklet
from stages.precision import choose, converted, name_of
from stages.reid.data.loader import naming_killed_workers, test_loader
from stages.reid.model import KeyReID
from stages.reid.model.weights import load_model
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed import embed_tracklets
from stages.reid.scoring.embeddings import Embeddings, of_tracklets

CLIP_FIELDS = ("clip_length", "clip_order", "clip_stride", "clip_cap")

Progress = Callable[[str, int, int], None]  # what is done, how many batches of it, of how many


def silent(what: str, done: int, total: int) -> None:
    """No progress shown."""


@dataclass(frozen=True)
class Checkpoint:
    """A network on a device, and what its file says. extra: what training wrote beside it."""

    path: Path
    model: KeyReID
    extra: dict[str, Any]
    sha256: str

    @classmethod
    def load(cls, path: Path, device: str, precision: str = "fp32") -> "Checkpoint":
        """precision: numbers of the network; auto: what is fast there. Raises as `load_model`."""
        model, extra = load_model(path)
        model = converted(model, choose(precision, device)).to(device)
        return cls(path, model, extra, sha256_of(path))

    def about(self) -> dict[str, Any]:
        """For the header of embeddings."""
        return {"path": str(self.path.resolve()), "sha256": self.sha256}


def pose_record(poses: PoseCache) -> dict[str, str]:
    """What a pose cache was made with, for the header of embeddings."""
    info = poses.info
    weights = info.weights_sha256 or ""
    return {
        "estimator": info.estimator,
        "weights_sha256": weights,
        "fingerprint": info.fingerprint,
        "path": str(poses.folder.resolve()),
    }


def embed_set(
    model: KeyReID,
    config: EvalConfig,
    root: Path,
    tracklets: Sequence[Tracklet],
    poses: PoseCache,
    cameras: Sequence[int],
    dataset: str,
    about: Mapping[str, Any],
    progress: Progress = silent,
    what: str = "embed",
) -> Embeddings:
    """Embeddings of tracklets, a row each, in their order.

    cameras: numbers that the network has an embedding for, in its order. poses: a pose cache, or what reads
    heat like one. dataset: the data set of the tracklets. about: for the header.
    Raises KeyReIDError for frames that are missing, on disk or among the poses.
    """
    device = next(model.parameters()).device
    with naming_killed_workers():
        batches = test_loader(model, config, root, tracklets, poses, cameras, device)
        shown = _shown(batches, len(batches), what, progress)
        features, visibility = embed_tracklets(model, shown, len(tracklets), config.camera)
    return described(model, config, root, tracklets, (features, visibility), dataset, about)


def described(
    model: KeyReID,
    config: EvalConfig,
    root: Path,
    tracklets: Sequence[Tracklet],
    found: tuple[np.ndarray, np.ndarray],
    dataset: str,
    about: Mapping[str, Any],
) -> Embeddings:
    """Features and visibility of tracklets, as `embed_tracklets` returns them, with names and a header."""
    features, visibility = found
    parts = 0 if model.local_branch is None else model.num_parts
    header = {"dataset": dataset, "distance": config.distance, "camera": config.camera}
    header |= {name: getattr(config, name) for name in CLIP_FIELDS}
    header |= {"precision": name_of(model), "device": next(model.parameters()).device.type}
    header |= {"version": importlib.metadata.version("keyreid")}
    header |= {"created": datetime.now(UTC).isoformat(timespec="seconds")}
    return of_tracklets(
        tracklets,
        features,
        dataset,
        root,
        visibility=visibility if parts else None,
        parts=parts,
        global_width=0 if model.global_branch is None else model.backbone.width,
        normalised=getattr(model, "unit_blocks", False),
        about=header | dict(about),
    )


def _shown(batches: Iterable, total: int, what: str, progress: Progress) -> Iterator:
    for done, batch in enumerate(batches, start=1):
        yield batch
        progress(what, done, total)
