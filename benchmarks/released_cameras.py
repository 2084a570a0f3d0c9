"""What the released evaluator does to the scores of MARS, from the official metadata alone.

    python -m benchmarks.released_cameras --data-root data/mars      # its info/; no frames are needed

It is handed one camera per frame of the clips it reads (clips of 4, the last one filled, at most 41 per
tracklet) and takes the i-th of them for the camera of the i-th tracklet.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.datasets import Tracklet, load_dataset
from stages.reid.metrics import RankingScores, score_ranking
from stages.reid.scoring.protocols import PROTOCOLS, gallery_of

CLIP, MOST_CLIPS = 4, 41


def misread_cameras(tracklets: Sequence[Tracklet]) -> np.ndarray:
    """The cameras that the released evaluator takes the tracklets to have, int64 [N]."""
    cameras = np.array([t.camera for t in tracklets])
    lengths = np.array([len(t.frames) for t in tracklets])
    frames = np.minimum(-(-lengths // CLIP), MOST_CLIPS) * CLIP
    return np.repeat(cameras, frames)[: len(tracklets)]


def figures(root: Path) -> dict[str, float]:
    """Wrong cameras, same-camera pairs left in, queries that count; and scores of simulated rankings."""
    data = load_dataset("mars", root, check_files=False)
    tracklets = data.test_tracklets()
    row = {t.name: i for i, t in enumerate(tracklets)}
    persons = np.array([t.person for t in tracklets])
    query = np.array([row[t.name] for t in data.query])
    gallery = np.array([row[t.name] for t in data.gallery])
    gallery = gallery_of(PROTOCOLS["queries-dropped"], query, gallery, persons)
    cameras = np.array([t.camera for t in tracklets])
    real = cameras[query], cameras[gallery]
    taken = misread_cameras(data.query), misread_cameras([tracklets[i] for i in gallery])
    same_person = persons[query][:, None] == persons[gallery]
    same = same_person & (real[0][:, None] == real[1])
    removed = same_person & (taken[0][:, None] == taken[1])
    figures = {
        "wrong cameras": float((np.concatenate(real) != np.concatenate(taken)).mean()),
        "gallery tracklets taken for camera 1": int((taken[1] == 1).sum()),
        "gallery tracklets": len(gallery),
        "same person, same camera": int(same.sum()),
        "of these left in": int((same & ~removed).sum()),
        "right answers": int((same_person & ~same).sum()),
        "of these thrown away": int((same_person & ~same & removed).sum()),
        "valid queries": int((same_person & ~same).any(1).sum()),
        "valid queries, cameras misread": int((same_person & ~removed).any(1).sum()),
    }
    distances = simulate(same_person, same)
    for name, pair in (("cameras right", real), ("cameras misread", taken)):
        scores: RankingScores = score_ranking(distances, persons[query], persons[gallery], *pair)
        figures[f"mAP, {name}"] = scores.mean_ap
        figures[f"Rank-1, {name}"] = float(scores.cmc[0])
    return figures


def simulate(same_person: np.ndarray, same_camera: np.ndarray, seed: int = 0) -> np.ndarray:
    """Distances of an imagined network: noise, smaller for the same person, smaller still in one camera."""
    rng = np.random.default_rng(seed)
    distances = rng.normal(10, 1, same_person.shape)
    distances -= np.where(same_person, rng.normal(4, 1.3, same_person.shape), 0)
    return distances - 2 * same_camera


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    real = os.environ.get("KEYREID_REAL_DATA")
    parser.add_argument("--data-root", type=Path, default=Path(real) / "mars" if real else None)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    root = parse(arguments).data_root
    if root is None:
        print("skipped: needs --data-root of MARS (its info folder is enough)")
        return
    for name, value in figures(root).items():
        print(f"{name:40s} {value:,.4f}" if isinstance(value, float) else f"{name:40s} {value:,}")


if __name__ == "__main__":
    main()
