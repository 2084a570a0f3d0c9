"""What the network looked at: attention over frames and over patches, for a few tracklets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cache import PoseCache
from stages.datasets.tracklet import Tracklet
from stages.reid.data.clips import test_clips
from stages.reid.data.config import ClipConfig
from stages.reid.data.loader import test_loader
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.model import KeyReID


@dataclass(frozen=True)
class Look:
    """What the network saw in the middle clips of a tracklet.

    frames: those of the clips, in order. weights: float [n], temporal attention, summing to 1 in each
    clip; None without a global branch. middle: position in frames of the one the maps are drawn on.
    heat: float [K, 64, 32] in [0, 1], the parts of that frame. attention: float [K, rows, columns], share
    of each of its patches in a part's attention over the clip, and shares float [K, n], that of each frame,
    summing to 1 in each clip; None where there is no local branch or its rows are not places of the body.
    kept: bool [rows, columns], patches of the middle frame that the trunk saw; None: all.
    """

    frames: tuple[str, ...]
    weights: np.ndarray | None
    middle: int
    heat: np.ndarray
    attention: np.ndarray | None
    shares: np.ndarray | None
    kept: np.ndarray | None


def middle_clips(tracklet: Tracklet, trained: int, clips: int, evaluated: ClipConfig) -> Tracklet:
    """The clips in the middle of those that evaluation took of a tracklet, one after the other.

    Where clips overlap, frames come twice; what a clip short of frames repeats comes once. trained: clip
    length of the network. evaluated: which clips the evaluation took.
    """
    rows = test_clips(len(tracklet.frames), evaluated, trained)
    clips = 1 if evaluated.clip_order == "spread" else clips  # several of these may be short of frames
    first = max(0, (len(rows) - clips) // 2)
    places = [place for row in rows[first : first + clips].tolist() for place in dict.fromkeys(row)]
    return replace(tracklet, frames=tuple(tracklet.frames[place] for place in places))


@torch.inference_mode()
def look(
    model: KeyReID,
    root: Path,
    tracklets: Sequence[Tracklet],
    cache: PoseCache,
    cameras: Sequence[int],
    clips: int,
    evaluated: ClipConfig,
    batch_size: int = 8,
    camera: str = "given",
) -> list[Look]:
    """Run the network over the middle clips of each tracklet. cameras: those of its training, in order.

    evaluated: which clips the evaluation took; camera: as there.
    """
    config, length = model.config, evaluated.clip_length or model.config.clip_length
    shown = [middle_clips(t, model.config.clip_length, clips, evaluated) for t in tracklets]
    again = ClipConfig(batch_size=batch_size, workers=0, clip_length=length)
    batches = test_loader(model, again, root, shown, cache, cameras)
    device = next(model.parameters()).device
    placed = not config.global_only and config.guidance == "prior" and config.tcss_mode != "sequence"
    weights: list[list[np.ndarray]] = [[] for _ in shown]
    attention: list[list[np.ndarray]] = [[] for _ in shown]
    kept: list[list[np.ndarray]] = [[] for _ in shown]
    model.eval()
    for batch in batches:
        known = batch["cameras"].to(device) if camera != "unknown" else None
        out = model(batch["images"].to(device), batch["part_maps"].to(device), known)
        for i, at in enumerate(batch["tracklet"].tolist()):
            if out.frame_weights is not None:
                weights[at].append(out.frame_weights[i].cpu().numpy())
            if placed:
                attention[at].append(out.part_attention[i].cpu().numpy())
            if out.kept is not None:
                kept[at].append(out.kept[i].cpu().numpy())
    groups = PartGroups.of(config.parts)
    looks = []
    for at, tracklet in enumerate(shown):
        number = len(tracklet.frames)
        middle = number // 2
        heat = joints_to_parts(cache.read_heatmaps([tracklet.frames[middle]]), groups.joints[: groups.count])
        seen = kept[at][middle // length][middle % length] if kept[at] else None
        parts = np.stack(attention[at]) if placed else None  # [C, K, T, n]
        rows = shares = None
        if parts is not None:
            rows = parts[middle // length, :, middle % length]
            shares = np.stack([_of_frames(part.sum(axis=-1), number) for part in parts.swapaxes(0, 1)])
        looks.append(
            Look(
                tracklet.frames,
                # A last clip short of frames repeats its own; the repeats are not shown.
                _of_frames(np.stack(weights[at]), number) if weights[at] else None,
                middle,
                heat[0] / np.float32(255),
                None if rows is None else rows.reshape(len(rows), *model.grid),
                shares,
                None if seen is None else np.isin(np.arange(np.prod(model.grid)), seen).reshape(model.grid),
            )
        )
    return looks


def _of_frames(weights: np.ndarray, number: int) -> np.ndarray:
    """Attention of clips [C, T] as that of frames [number]; what went to a repeat is added to its frame."""
    clips, length = weights.shape
    total = np.zeros(number)
    for clip in range(clips):
        start = clip * length
        have = min(length, number - start)
        np.add.at(total, start + np.arange(length) % have, weights[clip])
    return total
