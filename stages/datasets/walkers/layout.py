"""Writes a data set in MARS layout: names, tracklet tables and queries, byte for byte the same each time."""

import csv
from pathlib import Path

import numpy as np
import scipy.io

from cache.manifest import COCO_JOINTS
from stages.datasets.walkers.film import Occlusion
from stages.datasets.walkers.plan import Plan

OCCLUDER_COLUMNS = ("frame", "kind", "left", "top", "right", "bottom", "covered")


def _save_mat(path: Path, values: dict[str, np.ndarray]) -> None:
    scipy.io.savemat(path, values)
    with path.open("r+b") as file:  # the header's text holds the time of writing
        file.write(b"MATLAB 5.0 MAT-file, walkers".ljust(116))


def write_info(plan: Plan, root: Path) -> None:
    """The five files of MARS's `info` folder; lines end with CR LF, as MARS's do."""
    info = root / "info"
    info.mkdir(parents=True, exist_ok=True)
    for split, tracklets in (("train", plan.train), ("test", plan.test)):
        names = [Path(path).name for t in tracklets for path in t.frame_paths()]
        (info / f"{split}_name.txt").write_bytes("".join(f"{name}\r\n" for name in names).encode())
        ends = np.cumsum([t.frames for t in tracklets])
        # a row: first and last line of the list of names (from 1), person, camera
        rows = [(end - t.frames + 1, end, t.person, t.camera) for t, end in zip(tracklets, ends, strict=True)]
        _save_mat(info / f"tracks_{split}_info.mat", {f"track_{split}_info": np.array(rows, np.int32)})
    query = np.array(plan.query, np.int64)[None] + 1
    kind = np.uint16 if query.max(initial=0) < 2**16 else np.int32
    _save_mat(info / "query_IDX.mat", {"query_IDX": query.astype(kind)})


def write_keypoints(root: Path, frames: list[str], keypoints: np.ndarray) -> None:
    """keypoints.npz: `frames` [F] relative paths, `keypoints` float32 [F, 17, 3], `joints` [17] names."""
    with (root / "keypoints.npz").open("wb") as file:
        np.savez_compressed(file, frames=np.array(frames), keypoints=keypoints, joints=np.array(COCO_JOINTS))


def write_occluders(root: Path, records: list[tuple[str, Occlusion]]) -> None:
    """occluders.csv: one line per frame in which something stands before the walker; pixels of the frame."""
    with (root / "occluders.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(OCCLUDER_COLUMNS)
        for frame, occlusion in records:
            numbers = [f"{v:.2f}" for v in occlusion.box] + [f"{occlusion.covered:.4f}"]
            writer.writerow([frame, occlusion.kind, *numbers])
