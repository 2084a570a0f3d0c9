"""Occluded queries of Market-1501: made the same way everywhere by a seed, and scored by how much is hidden.

    python -m benchmarks.occluded_queries --data-root /data/market --keypoints keypoints.npz --make occluded
    python -m benchmarks.occluded_queries --data-root occluded --evals eval-plain eval-visible

The first command writes a data root in the layout `market1501` whose query images are covered by a
rectangle of another picture or by a cut-out thing; gallery and training images are links to the original
ones. Each query has one of five shares hidden, 0 to 60 %. Beside them: occlusion.csv, and keypoints.npz
for import-poses, in which joints under the occluder have no score. The second prints the scores of
evaluations of it by share, and for queries of which few joints are left.
"""

import argparse
import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np

from benchmarks.made.occluded import SHARES, occlude
from stages.datasets import load_dataset
from stages.datasets.market1501 import QUERY, TEST, TRAIN
from stages.frame_file import read_picture
from stages.pose.keypoint_files import Poses, read_poses
from stages.reid.scoring.compare import QueryScore, read_queries
from stages.reid.scoring.statistics import interval_by_person

TABLE, KEYPOINTS = "occlusion.csv", "keypoints.npz"
COLUMNS = ("query", "kind", "share", "hidden", "joints")
SEEN = 0.3  # score of a joint that counts as found
FEW = 8  # joints


def make(root: Path, keypoints: Path, out: Path, seed: int) -> str:
    """Write the data root `out`; returns the SHA-256 of all query pictures, in order."""
    data = load_dataset("market1501", root, tracklets="image")
    poses = read_poses(keypoints, None, list(data.frames()))
    base = (data.root / data.query[0].frames[0]).parent.parent.resolve()
    (out / QUERY).mkdir(parents=True)
    for folder in (TRAIN, TEST):
        (out / folder).symlink_to(base / folder, target_is_directory=True)
    frames = [tracklet.frames[0] for tracklet in data.query]
    moved = {
        _short(frame): pose for frame, pose in poses.items() if not _short(frame).startswith(f"{QUERY}/")
    }
    digest, rows = hashlib.sha256(), []
    for number, frame in enumerate(frames):
        # Half the list further stands another person: queries are in order of persons.
        other = read_picture(data.root / frames[(number + len(frames) // 2) % len(frames)])
        picture = read_picture(data.root / frame)
        made = occlude(picture, cv2.resize(other, picture.shape[1::-1]), _short(frame), seed)
        name = f"{_short(frame).partition('.')[0]}.png"
        cv2.imwrite(str(out / name), made.picture)
        digest.update(made.picture.tobytes())
        pose = poses.get(frame, np.zeros((17, 3), np.float32)).copy()
        pose[covered(pose, made.hidden), 2] = 0
        moved[name] = pose
        left = int((pose[:, 2] >= SEEN).sum())
        rows.append(
            (name.partition(".")[0], made.kind, made.share, round(float(made.hidden.mean()), 4), left)
        )
    write(out, moved, rows)
    return digest.hexdigest()


def write(out: Path, poses: Poses, rows: list[tuple]) -> None:
    np.savez_compressed(
        out / KEYPOINTS, names=np.array(list(poses)), keypoints=np.stack(list(poses.values()))
    )
    with (out / TABLE).open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def _short(frame: str) -> str:
    """Folder and name: the same wherever the data set lies."""
    return "/".join(frame.split("/")[-2:])


def covered(pose: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Which joints of a pose [17, 3] lie under an occluder, hidden [H, W]; bool [17]."""
    x, y = (pose[:, :2] + 0.5).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < hidden.shape[1]) & (y < hidden.shape[0])
    return inside & hidden[np.where(inside, y, 0), np.where(inside, x, 0)]


def groups(root: Path) -> dict[str, tuple[float, set[str]]]:
    """Mean hidden share and the queries of every group that is scored on its own."""
    with (root / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = {f"{100 * share:.0f} %": [r for r in rows if float(r["share"]) == share] for share in SHARES}
    for kind in ("rectangle", "cut-out"):
        chosen[kind] = [
            r for r in rows if r["kind"] != "none" and (r["kind"] == "rectangle") == (kind == "rectangle")
        ]
    chosen[f"at most {FEW} joints left"] = [r for r in rows if int(r["joints"]) <= FEW]
    chosen["all"] = rows
    return {
        name: (float(np.mean([float(r["hidden"]) for r in some])), {r["query"] for r in some})
        for name, some in chosen.items()
        if some
    }


def table(root: Path, evaluations: list[Path], protocol: str) -> str:
    """mAP with its interval by person, and Rank-1, of each evaluation in each group."""
    scores = [read_queries(path)[protocol] for path in evaluations]
    head = "  ".join(f"{path.name[:30]:>30s}" for path in evaluations)
    lines = [f"{'queries':24s} {'n':>5s} {'hidden':>7s}  {head}   (mAP, 95 % by person, Rank-1)"]
    for name, (hidden, queries) in groups(root).items():
        cells = (f"{_cell([s[q] for q in sorted(queries & s.keys())]):>30s}" for s in scores)
        lines.append(f"{name:24s} {len(queries):5d} {100 * hidden:5.1f} %  {'  '.join(cells)}")
    return "\n".join(lines)


def _cell(scores: list[QueryScore]) -> str:
    if not scores:
        return "-"
    ap = np.array([s.average_precision for s in scores])
    [(low, high)] = interval_by_person(ap[None], np.array([s.person for s in scores]), 2000)
    rank1 = np.mean([s.first_rank == 1 for s in scores])
    return f"{100 * ap.mean():.1f} ({100 * low:.1f}..{100 * high:.1f}) {100 * rank1:.1f}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="Market-1501, or with --evals what --make wrote")
    parser.add_argument(
        "--keypoints", type=Path, help="keypoints of all its images (import-poses reads them)"
    )
    parser.add_argument("--make", type=Path, help="new folder for the data root with occluded queries")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other occluders")
    parser.add_argument("--evals", type=Path, nargs="+", help="folders that keyreid eval has written")
    parser.add_argument("--protocol", default="standard", help="of those in queries.csv")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    if given.data_root is None or not (given.evals or (given.make and given.keypoints)):
        print("skipped: needs --data-root of Market-1501 and --keypoints with --make, or --evals")
    elif given.evals:
        print(table(given.data_root, given.evals, given.protocol))
    else:
        digest = make(given.data_root, given.keypoints, given.make, given.seed)
        print(f"{given.make}: queries of seed {given.seed}, SHA-256 of their pixels {digest}")


if __name__ == "__main__":
    main()
