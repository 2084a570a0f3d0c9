"""Reads keypoints of others: COCO keypoint JSON, AlphaPose, mmpose and OpenPifPaf files.

One JSON file for all frames:
- COCO annotations: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "keypoints"}]}
- COCO results (mmpose, ViTPose, RTMPose): [{"image_id", "keypoints", "score"}]; numbers as image_id need
  the `images` of a COCO file; AlphaPose writes file names there.
Or a folder with one JSON file per frame, under the frame's own path: FRAME.pose or STEM.pose (the released
pipeline: a list of 17 [x, y, score]; OpenPifPaf: a list of persons), FRAME.predictions.json (OpenPifPaf),
STEM.json or FRAME.json (mmpose's inferencer and demos).

Of several persons in a frame the one with the highest score is taken. Joints are COCO's 17, in its order.
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cache.chunks import JOINTS
from cache.errors import KeyReIDError

Poses = dict[str, np.ndarray]  # frame -> float32 [17, 3]: x, y in pixels, score
PATTERNS = ("{stem}.pose", "{frame}.pose", "{frame}.predictions.json", "{stem}.json", "{frame}.json")


def read_poses(source: Path, images: Path | None, frames: list[str]) -> Poses:
    """Poses of those of `frames` that the source knows. Raises KeyReIDError naming file and entry."""
    if source.is_dir():
        return _from_folder(source, frames)
    content = _load(source)
    names = _image_names(_load(images), images) if images is not None else {}
    if isinstance(content, dict):
        names = _image_names(content, source) | names
        content = content.get("annotations")
    if not isinstance(content, list):
        raise KeyReIDError(f"{source}: no list of poses; expected COCO keypoint JSON")
    return _from_list(source, content, names, frames)


def _from_folder(folder: Path, frames: list[str]) -> Poses:
    found = {}
    for frame in frames:
        stem = str(PurePosixPath(frame).with_suffix(""))
        paths = (folder / pattern.format(frame=frame, stem=stem) for pattern in PATTERNS)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None and (pose := _best(_persons(_load(path), path), str(path))) is not None:
            found[frame] = pose
    return found


def _from_list(source: Path, entries: list, names: dict[Any, str], frames: list[str]) -> Poses:
    resolve = _resolver(frames)
    by_frame: dict[str, list[dict]] = {}
    strangers: list[str] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "image_id" not in entry:
            raise KeyReIDError(f"{source}: entry {number} has no image_id; expected COCO keypoint JSON")
        if "keypoints" not in entry:
            continue  # a box without keypoints
        name = names.get(entry["image_id"], entry["image_id"])
        if not isinstance(name, str):
            raise KeyReIDError(
                f"{source}: entry {number}: image_id {name} is no file name; "
                "give the COCO file with the list of images with --images"
            )
        frame = resolve(name)
        if frame is None:
            strangers.append(name)
        else:
            by_frame.setdefault(frame, []).append(entry)
    if strangers and not by_frame:
        raise KeyReIDError(
            f"{source}: none of its images is a frame of this data set (first: {strangers[0]})"
        )
    best = {frame: _best(persons, f"{source}: {frame}") for frame, persons in by_frame.items()}
    return {frame: pose for frame, pose in best.items() if pose is not None}


def _resolver(frames: list[str]):
    """A function from the name a file gives to the frame it means, or None."""
    known = set(frames)
    short: dict[str, str | None] = {}
    for frame in frames:
        base = frame.rpartition("/")[2]
        short[base] = frame if base not in short else None  # None: several frames of that name

    def resolve(name: str) -> str | None:
        name = name.replace("\\", "/").removeprefix("./")
        if name in known:
            return name
        tail = name
        while "/" in tail:
            tail = tail.partition("/")[2]
            if tail in known:
                return tail
        return short.get(name.rpartition("/")[2])

    return resolve


def _image_names(content: Any, path: Path) -> dict[Any, str]:
    try:
        return {image["id"]: image["file_name"] for image in content["images"]}
    except (KeyError, TypeError) as error:
        raise KeyReIDError(f"{path}: no list of images with id and file_name; expected COCO JSON") from error


def _persons(content: Any, path: Path) -> list[dict]:
    """The persons in one frame's file."""
    if isinstance(content, dict):
        known = (key for key in ("predictions", "instances", "instance_info") if key in content)
        content = content.get(next(known, None), [content])
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], list):
        inner = content[0]
        if inner and isinstance(inner[0], dict):
            content = inner  # mmpose's inferencer: a list of images, each a list of persons
    if isinstance(content, list) and len(content) == JOINTS and not isinstance(content[0], dict):
        return [{"keypoints": content}]
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise KeyReIDError(f"{path}: neither {JOINTS} keypoints nor a list of persons with keypoints")
    found = [person for person in content if "keypoints" in person]
    if content and not found:
        keys = ", ".join(sorted({key for person in content for key in person})[:5])
        raise KeyReIDError(f"{path}: no keypoints in what it holds ({keys}); expected those of one frame")
    return found


def _best(persons: Iterable[dict], where: str) -> np.ndarray | None:
    """Keypoints of the person with the highest score, float32 [17,3]; None where there is nobody."""
    best, highest = None, -np.inf
    for person in persons:
        pose = _keypoints(person, where)
        score = person.get("score")
        score = float(score) if isinstance(score, int | float) else float(pose[:, 2].mean())
        if score > highest:
            best, highest = pose, score
    return best


def _keypoints(person: dict, where: str) -> np.ndarray:
    try:
        pose = np.array(person["keypoints"], np.float32)
        if "keypoint_scores" in person:  # mmpose's inferencer keeps them apart
            pose = np.column_stack([pose[:, :2], np.array(person["keypoint_scores"], np.float32)])
        pose = pose.reshape(JOINTS, 3)
    except (ValueError, TypeError, IndexError) as error:
        raise KeyReIDError(f"{where}: keypoints are not {JOINTS} times x, y, score") from error
    if not np.isfinite(pose).all():
        raise KeyReIDError(f"{where}: keypoints hold values that are no numbers")
    return pose


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise KeyReIDError(f"{path} does not exist; expected a JSON file or a folder of poses") from None
    except (OSError, ValueError, RecursionError) as error:
        raise KeyReIDError(f"{path}: cannot be read as JSON: {str(error).splitlines()[0]}") from error
