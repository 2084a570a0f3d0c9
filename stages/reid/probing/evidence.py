"""What the parts of a trained network have in common, and which frames its temporal attention weighs less."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from stages.datasets.tracklet import Tracklet
from stages.datasets.walkers.record import FrameRecord
from stages.reid.data.clips import test_clips
from stages.reid.data.config import ClipConfig
from stages.reid.probing.interventions import mirror_order

MOST_CLIPS = 2000  # whose part features are kept


@dataclass
class Recording:
    """Of every clip, in order, frame_weights, each [T]; of every `step`-th, part features, each [K, W]."""

    step: int = 1
    clips: int = 0
    frame_weights: list[np.ndarray] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)


@contextmanager
def recording(model: nn.Module, clips: int) -> Iterator[Recording]:
    """Within, forward passes over a data set of this many clips are recorded."""
    kept = Recording(step=max(1, -(-clips // MOST_CLIPS)))
    plain = model.forward

    def forward(*given, **more):
        out = plain(*given, **more)
        if out.frame_weights is not None:
            kept.frame_weights += list(out.frame_weights.float().cpu().numpy())
        if out.part_features is not None:
            chosen = list(range(-kept.clips % kept.step, len(given[0]), kept.step))
            for features in out.part_features[chosen]:  # [K, W], before the necks
                pairs = zip(model.part_necks, features, strict=True)
                kept.parts.append(torch.cat([neck(f[None]) for neck, f in pairs]).float().cpu().numpy())
        kept.clips += len(given[0])
        return out

    model.forward = forward
    try:
        yield kept
    finally:
        del model.forward


def common_share(features: np.ndarray) -> float:
    """How much of the parts' variance is common to all of them, 1/K (nothing) to 1 (copies).

    features [N, K, W]: of K parts after their necks, centred here over the samples of each part. The sum of
    squares of the mean over parts, over the mean over parts of the sums of squares.
    """
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    own = (centred**2).sum((0, 2)).mean()
    return float((centred.mean(1) ** 2).sum() / own) if own else float("nan")


def side_cosines(features: np.ndarray, parts) -> dict[str, float]:
    """Mean cosine over samples of each left part and its right counterpart, {"left leg": 0.9, ...}.

    features [N, K, W] as in `common_share`, centred over the samples of each part. parts: their grouping.
    """
    from stages.parts import grouping

    names, order = list(grouping(parts)), mirror_order(parts)
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-12)
    return {
        names[k]: float((unit[:, k] * unit[:, other]).sum(1).mean())
        for k, other in enumerate(order)
        if k < other
    }


@dataclass(frozen=True)
class FrameWeights:
    """Temporal attention to some frames relative to the others of the same clip.

    ratio: mean weight of these frames over that of the others, in clips that have both. clips: how many.
    """

    ratio: float
    clips: int


def weights_of_hidden(
    weights: Sequence[np.ndarray],
    tracklets: Sequence[Tracklet],
    records: Mapping[str, FrameRecord],
    clips: ClipConfig,
    trained: int,
) -> dict[str, FrameWeights]:
    """Relative weight of frames "mostly hidden", of "another person", and of both kinds, "either".

    weights: of all test clips in order, each [T]. trained: clip length of the network.
    Means over clips of the mean weight in a clip are compared;
    the others are frames that are neither. Kinds without a clip are left out.
    """
    frames = [
        [tracklet.frames[i] for i in clip]
        for tracklet in tracklets
        for clip in test_clips(len(tracklet.frames), clips, trained)
    ]
    pairs: dict[str, list[tuple[float, float]]] = {"mostly hidden": [], "another person": [], "either": []}
    for weight, names in zip(weights, frames, strict=True):
        known = [records[name] for name in names]
        other = np.array([r.other_person for r in known])
        hidden = np.array([r.mostly_hidden for r in known]) & ~other
        rest = ~(other | hidden)
        for kind, mask in (("mostly hidden", hidden), ("another person", other), ("either", hidden | other)):
            if mask.any() and rest.any():
                pairs[kind].append((weight[mask].mean(), weight[rest].mean()))
    by_kind = {}
    for kind, values in pairs.items():
        if values:
            these, others = np.array(values, np.float64).mean(0)
            by_kind[kind] = FrameWeights(float(these / others), len(values))
    return by_kind
