"""The picture near the top of the README: a query of walkers, the heat of its parts, its ranking.

python docs/tools/overview.py RUN DATA CACHE docs/overview.webp     (an evaluated run on walkers)
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cache import PoseCache
from cache.files import write_whole
from stages.datasets import load_dataset
from stages.datasets.tracklet import Dataset
from stages.parts import PARTS, part_joints
from stages.reid.scoring.pictures import NEUTRAL, RIGHT, WRONG, heat_bar, read_rgb

COLUMNS = 7


def choose(lists: list[dict], cache: PoseCache, dataset: Dataset) -> dict:
    """The query with the first answer right, both right and wrong ones shown, and the most visible parts."""
    tracklets = {t.name: t for t in dataset.query}

    def seen(answers: dict) -> float:
        frames = list(tracklets[answers["query"]].frames)
        heat = cache.read_heatmaps(frames).max((0, 2, 3))
        return float(np.sort(heat)[:6].mean())

    mixed = []
    for answers in lists:
        right = [match["right"] for match in answers["matches"][:COLUMNS]]
        if right[0] and 3 <= sum(right) < len(right):
            mixed.append(answers)
    return max(mixed, key=seen)


def draw(run: Path, root: Path, cache: PoseCache) -> Figure:
    """Rows: frames of the query's tracklet and the heat of each part; its nearest tracklets."""
    dataset = load_dataset("walkers", root)
    tracklets = {t.name: t for t in dataset.test_tracklets()}
    answers = choose(json.loads((run / "eval/ranking.json").read_text()), cache, dataset)
    query = tracklets[answers["query"]]
    frames = list(query.frames)
    heat = cache.read_heatmaps(frames).astype(np.float32) / 255
    middle = frames[int(heat.max((2, 3)).mean(1).argmax())]
    heat = heat[frames.index(middle)]
    figure = Figure(figsize=(9, 5.6), layout="compressed")
    axes = figure.subplots(2, COLUMNS)
    _show(axes[0, 0], root / middle, f"query\ncamera {query.camera}", NEUTRAL)
    for axis, name, joints in zip(axes[0, 1:], PARTS[6], part_joints(6), strict=True):
        _show(axis, root / middle, f"heat of\n{name}", None)
        part = heat[joints].max(axis=0)
        axis.imshow(part, extent=(0, 128, 256, 0), cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.6 * part)
    for place, (axis, match) in enumerate(zip(axes[1], answers["matches"], strict=False), start=1):
        tracklet = tracklets[match["name"]]
        sign, color = ("✓", RIGHT) if match["right"] else ("✗", WRONG)
        title = f"rank {place} {sign}\ncamera {tracklet.camera}"
        _show(axis, root / tracklet.frames[len(tracklet.frames) // 2], title, color)
    heat_bar(figure, axes[0])
    return figure


def _show(axis, path: Path, title: str, color: str | None) -> None:
    axis.imshow(read_rgb(path, (256, 128)), extent=(0, 128, 256, 0))
    axis.set_title(title, fontsize=8, color=color or "black")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=color, linewidth=3, visible=color is not None)


def main() -> None:
    run, root, cache, output = map(Path, sys.argv[1:])
    drawn, packed = io.BytesIO(), io.BytesIO()
    draw(run, root, PoseCache.open(cache)).savefig(drawn, dpi=110, bbox_inches="tight", pad_inches=0.08)
    Image.open(drawn).convert("RGB").save(packed, "WEBP", quality=80, method=6)
    write_whole(output, packed.getbuffer())


if __name__ == "__main__":
    main()
