"""Cut tracklets from a video into the `folder` layout: person/camera/tracklet/frame.jpg.

A track is a person as far as the tracker knows, so the person's folder is camera and track id: tracks of
different cameras never share a person by accident. The tracklet's folder is its first and last frame, a
crop's name the number of its frame. Beside them: boxes.tsv (where each crop is from), times.tsv (when each
tracklet was filmed) and import-mot.json (with the frames that the decoder reported as damaged).
"""

import csv
import glob
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cache.border import saving
from cache.errors import KeyReIDError
from cache.files import refuse_here
from stages.datasets.times import TIMES, write_times, written
from stages.tracks.config import CutConfig
from stages.tracks.crops import write_crop
from stages.tracks.frames import FolderFrames
from stages.tracks.motfile import Boxes, read_boxes
from stages.tracks.segments import Segments, make_segments
from stages.tracks.video import VideoFrames

ABOUT = "import-mot.json"
BOXES = "boxes.tsv"  # a .csv there would be taken for the list of frames of the layout
Progress = Callable[[int, int], None]


def run(
    config: CutConfig,
    tracks: Path,
    source: Path,
    out: Path,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Cut the tracklets of `tracks` from `source` (video file or folder of images) into the new folder `out`.

    force: replace an `out` that this function made before. progress: called with crops written and in all.
    `out` appears whole or not at all. Memory: two frames, however long the video, and
    at most a quarter of a kilobyte per box of the track file, read whole to know the length of each track.
    Raises KeyReIDError naming the file, and the line or frame, of the first error.
    """
    _restore(out)
    _check_out(out, force)
    boxes = read_boxes(tracks, config)
    frames = (
        FolderFrames(source, config.first_frame)
        if source.is_dir()
        else VideoFrames(source, config.first_frame, config.count_frames)
    )
    try:
        row = int(np.argmax(boxes.frame))
        where = f"{tracks}, line {boxes.line[row]},"
        frames.check_last(int(boxes.frame[row]), where)
        segments = make_segments(boxes, *frames.size, config)
        aside = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
        try:
            with saving(out):
                aside.mkdir(parents=True)
                _write(aside, segments, frames, where, config, progress)
                _write_times(aside, segments, frames.rate, config)
                _write_about(aside, segments, boxes, frames, tracks, config)
                _put(aside, out, force)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        frames.close()
    return out


def person_name(camera: str, track: int) -> str:
    """The person's folder: unique over cameras."""
    return f"{camera}-{track:04d}"


def _restore(out: Path) -> None:
    """Recover from a process killed while it replaced `out`: see _put."""
    for old in sorted(out.parent.glob(f".{glob.escape(out.name)}.*.old")):
        if not (old / ABOUT).is_file():
            continue
        with saving(out):
            if out.exists():
                shutil.rmtree(old)
            else:
                old.rename(out)


def _check_out(out: Path, force: bool) -> None:
    refuse_here(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise KeyReIDError(f"{out}: is not a folder; name a new one for the tracklets")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise KeyReIDError(f"{out}: is not empty; name a new folder, or replace this one with --force")
    if not (out / ABOUT).is_file():
        raise KeyReIDError(f"{out}: holds no {ABOUT}, so it was not made by import-mot and is not replaced")


def _write(
    folder: Path,
    segments: Segments,
    frames: VideoFrames | FolderFrames,
    where: str,
    config: CutConfig,
    progress: Progress | None,
) -> None:
    names = _names(segments, config)
    for name in names:
        (folder / name).mkdir(parents=True)
    wanted, starts = np.unique(segments.frame, return_index=True)
    stops = np.append(starts[1:], len(segments.frame))
    digits = max(6, len(str(int(wanted[-1]))))
    with (folder / BOXES).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("frame", "number", "track", "left", "top", "width", "height"))
        for (number, image), start, stop in zip(frames.read(wanted, where), starts, stops, strict=True):
            for row in range(start, stop):
                left, top, right, bottom = segments.box[row].tolist()
                segment = segments.segment[row]
                name = f"{names[segment]}/{number:0{digits}d}.jpg"
                write_crop(folder / name, image, segments.box[row], config)
                table.writerow((name, number, segments.track[segment], left, top, right - left, bottom - top))
            if progress is not None:
                progress(stop, len(segments.frame))


def _names(segments: Segments, config: CutConfig) -> list[str]:
    """The folder of each tracklet, relative to the root."""
    return [
        f"{person_name(config.camera, track)}/{config.camera}/{first:06d}-{last:06d}"
        for track, first, last in zip(
            segments.track.tolist(), segments.first.tolist(), segments.last.tolist(), strict=True
        )
    ]


def _write_times(folder: Path, segments: Segments, rate: float, config: CutConfig) -> None:
    """The times of each tracklet, where the rate of the frames is known."""
    if not rate:
        return
    rows = []
    for name, first, last in zip(
        _names(segments, config), segments.first.tolist(), segments.last.tolist(), strict=True
    ):
        moments = (written(config.start, (number - config.first_frame) / rate) for number in (first, last))
        rows.append((name, config.camera, first, last, *moments))
    write_times(folder / TIMES, rows)


def _write_about(
    folder: Path,
    segments: Segments,
    boxes: Boxes,
    frames: VideoFrames | FolderFrames,
    tracks: Path,
    config: CutConfig,
) -> None:
    about = {
        "source": str(frames.path),
        "tracks": str(tracks),
        "frame_size": frames.size,
        "frames_per_second": frames.rate or None,
        "tracklets": len(segments.track),
        "tracks_used": len(np.unique(segments.track)),
        "crops": len(segments.frame),
        "boxes": len(boxes.frame) + sum(boxes.left_out.values()),
        "left_out": segments.left_out,
        "damaged_frames": sorted(frames.damaged),
        "damage": frames.said or None,
        "config": config.model_dump(mode="json"),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1))


def _put(aside: Path, out: Path, force: bool) -> None:
    """Rename the finished folder into place. Killed between the renames, the next run undoes the first."""
    old = None
    if out.is_dir():
        if any(out.iterdir()):
            _check_out(out, force)
            old = aside.with_suffix(".old")
            out.rename(old)
        else:
            out.rmdir()
    try:
        aside.rename(out)
    finally:
        if old is not None and not out.exists():
            old.rename(out)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
