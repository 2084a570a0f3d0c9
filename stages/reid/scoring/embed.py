"""Tracklets to embeddings: every clip through the network, the clips of a tracklet averaged."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cache.errors import KeyReIDError


@torch.inference_mode()
def embed_tracklets(
    model: torch.nn.Module,
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
    parameter = next(iter(model.parameters()), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    # Heat is in [-1, 1] for the released arithmetic and in [0, 1] otherwise.
    signed = getattr(getattr(model, "config", None), "guidance", "prior") == "published"
    training = model.training
    model.eval()
    widths = model.block_widths if getattr(model, "unit_blocks", False) else None
    lengths = torch.zeros(num_tracklets, len(widths)) if widths else None
    features: Tensor | None = None
    visibility: Tensor | None = None
    counts = torch.zeros(num_tracklets)
    try:
        for batch in batches:
            cameras = batch["cameras"].to(device, non_blocking=True) if camera == "given" else None
            maps = batch["part_maps"].to(device, non_blocking=True)
            output = model.embed(batch["images"].to(device, non_blocking=True), maps, cameras)
            heat = maps.float().amax((3, 4)).mean(1)  # [B, K]
            if signed:
                heat = (heat + 1) / 2
            if features is None or visibility is None:
                features = torch.zeros(num_tracklets, output.shape[1])
                visibility = torch.zeros(num_tracklets, heat.shape[1])
            index = batch["tracklet"].cpu()
            output = output.float().cpu()
            features.index_add_(0, index, output)
            if lengths is not None:
                lengths.index_add_(0, index, block_lengths(output, widths))
            visibility.index_add_(0, index, heat.cpu())
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


def block_lengths(features: Tensor, widths: Sequence[int]) -> Tensor:
    """Euclidean length of each block of columns, of the given widths: [N, F] -> [N, blocks]."""
    return torch.stack([block.norm(dim=1) for block in features.split(list(widths), dim=1)], dim=1)


def blocks_of_length(features: Tensor, widths: Sequence[int], lengths: Tensor) -> Tensor:
    """Each block of columns scaled to its length: [N, F], [N, blocks] -> [N, F]; a block of zeros stays."""
    blocks = zip(features.split(list(widths), dim=1), lengths.unbind(1), strict=True)
    return torch.cat([functional.normalize(block, dim=1) * length[:, None] for block, length in blocks], 1)
