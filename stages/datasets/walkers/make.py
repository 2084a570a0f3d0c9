"""The stage: from a config to a folder in MARS layout, written atomically."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import joblib
import numpy as np

from cache.border import saving
from cache.errors import KeyReIDError
from cache.files import write_whole, writing_folder
from cache.text_files import load_record
from stages.datasets.times import TIMES, write_times
from stages.datasets.tracklet import JUNK
from stages.datasets.walkers.config import LOOK, WalkersConfig
from stages.datasets.walkers.film import Film, film_by_number
from stages.datasets.walkers.layout import write_info, write_keypoints, write_occluders
from stages.datasets.walkers.plan import Plan, TrackletPlan, make_plan
from stages.datasets.walkers.record import RECORD, FrameRecord, record_text
from stages.datasets.walkers.sheet import draw_sheet
from stages.datasets.walkers.timetable import TRAVEL, timetable, travel_times
from stages.datasets.walkers.wardrobe import changed_parts
from stages.interrupts import workers_unaware


def film_to_disk(plan: TrackletPlan, config: WalkersConfig, root: Path) -> tuple[Film, str]:
    """Film one tracklet and write its JPEG files; returns the film without frames, and the files' digest."""
    cv2.setNumThreads(1)  # tracklets run in parallel, not OpenCV's threads
    made = film_by_number(plan, config.seed, config.camera_effect)
    digest = hashlib.sha256()
    for path, frame in zip(plan.frame_paths(), made.frames, strict=True):
        encoded, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])
        if not encoded:
            raise KeyReIDError(f"{path}: OpenCV could not encode the frame as JPEG")
        digest.update(data.tobytes())
        (root / path).write_bytes(data.tobytes())
    return replace(made, frames=made.frames[:0]), digest.hexdigest()


def is_made(config: WalkersConfig, root: Path) -> bool:
    """Whether `root` holds all of this config's data: same fingerprint, all frames, same sum of bytes."""
    record = load_record(root / RECORD)
    if record.get("fingerprint") != config.fingerprint():
        return False
    if not isinstance(record.get("info"), list):
        return False
    if not all((root / "info" / str(name)).is_file() for name in record["info"]):
        return False
    frames = [root / path for tracklet in make_plan(config).tracklets() for path in tracklet.frame_paths()]
    return sum(path.stat().st_size for path in frames if path.is_file()) == record.get("frame_bytes")


def run(
    config: WalkersConfig,
    root: Path,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make the data set in `root` and return `root`; does nothing where it is already made.

    workers: processes; the bytes do not depend on them. force: replace a different walkers data set.
    progress: called with frames done and frames in all.
    Nothing of it is in `root` before all is made. Raises KeyReIDError where `root` holds something else.
    """
    root = Path(root)
    if is_made(config, root):
        if not (root / TRAVEL).is_file():  # made by an earlier version
            with saving(root):
                _write_times(config, make_plan(config), root)
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        if not (root / RECORD).is_file():
            raise KeyReIDError(f"{root}: holds something other than walkers; name a new or empty folder")
        if not force:
            raise KeyReIDError(
                f"{root}: holds walkers made with other settings, or incomplete; "
                "--force replaces them, or name another folder"
            )
    plan = make_plan(config)
    with writing_folder(root) as partial, workers_unaware():
        _write(config, plan, partial, workers, progress)
    return root


def _write(
    config: WalkersConfig, plan: Plan, root: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    tracklets = plan.tracklets()
    for folder in sorted({Path(t.frame_paths()[0]).parent for t in tracklets}):
        (root / folder).mkdir(parents=True)
    total = sum(t.frames for t in tracklets)
    jobs = (joblib.delayed(film_to_disk)(t, config, root) for t in tracklets)
    films = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
    keypoints, occlusions, records, digest = [], [], [], hashlib.sha256()
    done = 0
    for tracklet, (made, files) in zip(tracklets, films, strict=True):
        done += tracklet.frames
        if progress:
            progress(done, total)
        keypoints.append(made.keypoints)
        occlusions += made.occlusions
        records += made.records
        digest.update(files.encode())
    frames = [p for t in tracklets for p in t.frame_paths()]
    covered = [(p, o) for p, o in zip(frames, occlusions, strict=True) if o is not None]
    write_info(plan, root)
    write_keypoints(root, frames, np.concatenate(keypoints))
    write_occluders(root, covered)
    _write_times(config, plan, root)
    draw_sheet(plan, root)
    hidden = {path for path, _ in covered}  # frames with something or somebody before the walker
    clothes = {t.person: t.identity.clothes for t in plan.tracklets() if t.person > 0}
    record = {
        "maker": "walkers",
        "look": LOOK,
        "fingerprint": config.fingerprint(),
        "config": config.model_dump(),
        "frames": total,
        "frame_bytes": sum((root / p).stat().st_size for p in frames),
        "frames_sha256": digest.hexdigest(),
        "info": sorted(p.name for p in (root / "info").iterdir()),
        "counts": _counts(plan, hidden, dict(zip(frames, records, strict=True))),
        "lookalikes": [
            {"persons": [a, b], "unlike": changed_parts(clothes[a], clothes[b])}
            for a, b, _ in sorted(plan.pairs)
        ],
        "occluded_tracklets": [t.name for t in tracklets if not hidden.isdisjoint(t.frame_paths())],
    }
    (root / RECORD).write_text(record_text(record, frames, records))


def _write_times(config: WalkersConfig, plan: Plan, root: Path) -> None:
    write_times(root / TIMES, timetable(plan, config.seed))
    write_whole(root / TRAVEL, travel_times(config.cameras, config.max_frames).encode())


def _counts(plan: Plan, covered: set[str], records: dict[str, FrameRecord]) -> dict[str, int | float]:
    """covered: frames with something or somebody before the walker."""
    walkers = [t for t in plan.test if t.person != JUNK]
    frames = [path for t in walkers for path in t.frame_paths()]
    occluded = sum(path in covered for path in frames)
    hidden = sum(records[path].mostly_hidden for path in frames)
    others = sum(records[path].other_person for path in frames)
    return {
        "train_persons": len({t.person for t in plan.train}),
        "train_tracklets": len(plan.train),
        "train_frames": sum(t.frames for t in plan.train),
        "test_persons": len({t.person for t in plan.test if t.person > 0}),
        "test_tracklets": len(plan.test),
        "test_frames": sum(t.frames for t in plan.test),
        "queries": len(plan.query),
        "distractor_tracklets": sum(t.person == 0 for t in plan.test),
        "junk_tracklets": sum(t.person == JUNK for t in plan.test),
        "test_walker_frames": len(frames),
        "test_walker_frames_occluded": occluded,
        "test_walker_frames_mostly_hidden": hidden,
        "test_walker_frames_of_others": others,
        "test_occlusion": round(occluded / max(1, len(frames)), 4),
    }
