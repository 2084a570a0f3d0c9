"""Pictures of an evaluated run: which rankings, which frames, which curves."""

import json
from pathlib import Path

import numpy as np

from cache import PoseCache
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.model import KeyReID
from stages.reid.scoring.pictures import Match, curve_picture, part_map_picture, ranking_picture, read_rgb

QUERIES, TOP, FRAMES = 6, 10, 4


def illustrate(folder: Path, dataset: Dataset, cache: PoseCache, model: KeyReID, run: Path) -> list[Path]:
    """Draw ranking.png, part-maps.png and, where run has a training log, loss-curve.png; their paths.

    folder: an evaluation's, with ranking.json in it.
    """
    tracklets = {t.name: t for t in dataset.test_tracklets()}
    lists = json.loads((folder / "ranking.json").read_text())
    drawn = [folder / "ranking.png", folder / "part-maps.png"]
    ranking_picture(
        drawn[0],
        [_row(dataset, tracklets, answer_list) for answer_list in _spread(lists, QUERIES)],
        "Query, then its ten nearest: green right person, red wrong (same person, same camera left out)",
    )
    frames = [_middle(tracklets[answer_list["query"]]) for answer_list in _spread(lists, FRAMES)]
    names = model.config.part_names
    groups = PartGroups.of(model.config.parts)
    maps = joints_to_parts(cache.read_heatmaps(frames), groups.joints[: groups.count]) / np.float32(255)
    pictures = [read_rgb(dataset.root / frame) for frame in frames]
    part_map_picture(drawn[1], pictures, maps, names, f"Heat of each part ({cache.info.estimator})")
    if (run / "metrics.jsonl").is_file():
        drawn.append(folder / "loss-curve.png")
        curve_picture(drawn[-1], run / "metrics.jsonl", f"Training of {run.name}")
    return drawn


def _spread(items: list, count: int) -> list:
    """count items at even steps, so that they are of different persons."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def _middle(tracklet: Tracklet) -> str:
    return tracklet.frames[len(tracklet.frames) // 2]


def _row(dataset: Dataset, tracklets: dict[str, Tracklet], answer_list: dict) -> tuple[Match, list[Match]]:
    def match(name: str, distance: float, right: bool) -> Match:
        tracklet = tracklets[name]
        label = f"person {tracklet.person}, camera {'?' if tracklet.camera is None else tracklet.camera}"
        return Match(dataset.root / _middle(tracklet), label, distance, right)

    answers = [match(m["name"], m["distance"], m["right"]) for m in answer_list["matches"][:TOP]]
    return match(answer_list["query"], 0.0, True), answers
