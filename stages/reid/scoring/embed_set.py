"""A network over tracklets, into embeddings with names: every clip once, the clips of a tracklet averaged."""

import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import sha256_of
from stages.datasets.tracklet import Tracklet
from stages.device import layout
from stages.precision import choose, converted, name_of
from stages.reid.data.loader import naming_killed_workers, test_loader
from stages.reid.model import KeyReID
from stages.reid.model.weights import load_model
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.named_rows import of_tracklets

CLIP_FIELDS = ("clip_length", "clip_order", "clip_stride", "clip_cap")

Progress = Callable[[str, int, int], None]  # called with the kind of work, batches done, batches in all


def silent(what: str, done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Checkpoint:
    """A network on a device, and what its file says. extra: what training wrote beside it."""

    path: Path
    model: KeyReID
    extra: dict[str, Any]
    sha256: str

    @classmethod
    def load(cls, path: Path, device: str, precision: str = "fp32") -> "Checkpoint":
        """precision: number format of the network; auto: what is fast there. Raises as `load_model`."""
        model, extra = load_model(path)
        model = converted(model, choose(precision, device))
        model = model.to(device, memory_format=layout(device))
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


@torch.inference_mode()
def embed_tracklets(
    model: KeyReID,
    batches: Iterable[Mapping[str, Tensor]],
    num_tracklets: int,
    camera: str = "given",
) -> tuple[np.ndarray, np.ndarray]:
    """Mean clip feature and mean part visibility of every tracklet; blocks keep their mean lengths.

    batches: dicts with images [B,T,3,H,W], part_maps [B,T,K,h,w], cameras int64 [B] (-1 unknown) and
             tracklet int64 [B], 0..num_tracklets-1. A batch may hold clips of many tracklets.
    camera:  "given", or "unknown" to keep every camera from the network.
    Returns features float32 [N, F] and visibility float32 [N, K] in [0, 1]: the highest heat of a part in
    a frame, averaged over frames and clips. Raises KeyReIDError for a tracklet without a clip.
    """
    device = next(model.parameters()).device
    signed = model.config.guidance == "published"  # whose heat is in [-1, 1], not in [0, 1]
    training = model.training
    model.eval()
    widths = model.block_widths if model.unit_blocks else None
    lengths = torch.zeros(num_tracklets, len(widths)) if widths else None
    features: Tensor | None = None
    visibility: Tensor | None = None
    counts = torch.zeros(num_tracklets)
    try:
        for index, output, heat in _on_host(_run(model, batches, device, camera)):
            if signed:
                heat = (heat + 1) / 2
            if features is None or visibility is None:
                features = torch.zeros(num_tracklets, output.shape[1])
                visibility = torch.zeros(num_tracklets, heat.shape[1])
            features.index_add_(0, index, output)
            if lengths is not None:
                lengths.index_add_(0, index, block_lengths(output, widths))
            visibility.index_add_(0, index, heat)
            counts.index_add_(0, index, torch.ones(len(index)))
    finally:
        model.train(training)
    if features is None or visibility is None or not bool(counts.all()):
        missing = int((counts == 0).sum())
        raise KeyReIDError(f"{missing} of {num_tracklets} tracklets gave no clip; expected one or more each")
    features /= counts[:, None]
    visibility /= counts[:, None]
    if lengths is not None:  # a mean of unit vectors is shorter
        features = blocks_of_length(features, widths, lengths / counts[:, None])
    return features.numpy(), visibility.clamp_(0, 1).numpy()


def _run(
    model: KeyReID, batches: Iterable[Mapping[str, Tensor]], device: torch.device, camera: str
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each batch: tracklets int64 [B], features [B, F] and highest heat of each part [B, K], float32."""
    for batch in batches:
        images, maps, cameras = (
            batch[name].to(device, non_blocking=True) for name in ("images", "part_maps", "cameras")
        )
        features = model.embed(images, maps, cameras if camera != "unknown" else None)
        yield batch["tracklet"], features.float(), maps.float().amax((3, 4)).mean(1)


def _on_host(batches: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
    """Each in host memory. Those of a GPU come one late, so that it has the next one to do meanwhile."""
    late: deque[tuple[tuple[Tensor, ...], torch.cuda.Event | None]] = deque()
    for tensors in batches:
        copied = torch.cuda.Event() if any(tensor.is_cuda for tensor in tensors) else None
        late.append((tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors), copied))
        if copied is not None:
            copied.record()
        if len(late) > 1:
            yield _waited(*late.popleft())
    yield from (_waited(*last) for last in late)


def _waited(tensors: tuple[Tensor, ...], copied: "torch.cuda.Event | None") -> tuple[Tensor, ...]:
    if copied is not None:
        copied.synchronize()
    return tensors


def block_lengths(features: Tensor, widths: Sequence[int]) -> Tensor:
    """Euclidean length of each block of columns, of the given widths: [N, F] -> [N, blocks]."""
    return torch.stack([block.norm(dim=1) for block in features.split(list(widths), dim=1)], dim=1)


def blocks_of_length(features: Tensor, widths: Sequence[int], lengths: Tensor) -> Tensor:
    """Each block of columns scaled to its length: [N, F], [N, blocks] -> [N, F]; a block of zeros stays."""
    blocks = zip(features.split(list(widths), dim=1), lengths.unbind(1), strict=True)
    return torch.cat([functional.normalize(block, dim=1) * length[:, None] for block, length in blocks], 1)


def described(
    model: KeyReID,
    config: EvalConfig,
    root: Path,
    tracklets: Sequence[Tracklet],
    features_and_visibility: tuple[np.ndarray, np.ndarray],
    dataset: str,
    about: Mapping[str, Any],
) -> Embeddings:
    """Features and visibility of tracklets, as `embed_tracklets` returns them, with names and a header."""
    features, visibility = features_and_visibility
    parts = 0 if model.local_branch is None else model.num_parts
    header = {"dataset": dataset, "distance": config.distance, "camera": config.camera}
    header |= {name: getattr(config, name) for name in CLIP_FIELDS}
    header |= {"precision": name_of(model), "device": next(model.parameters()).device.type}
    header |= {"version": importlib.metadata.version("keyreid")}
    return of_tracklets(
        tracklets,
        features,
        dataset,
        root,
        visibility=visibility if parts else None,
        parts=parts,
        global_width=0 if model.global_branch is None else model.backbone.width,
        normalised=model.unit_blocks,
        about=header | dict(about),
    )


def _shown(batches: Iterable, total: int, what: str, progress: Progress) -> Iterator:
    for done, batch in enumerate(batches, start=1):
        yield batch
        progress(what, done, total)
