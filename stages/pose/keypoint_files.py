"""Keypoints of other tools: COCO JSON, files of AlphaPose, mmpose, Ultralytics, OpenPifPaf, NumPy arrays.

One file for all frames:
- COCO annotations: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "keypoints"}]}
- COCO results (mmpose, ViTPose, RTMPose, Ultralytics): [{"image_id", "keypoints", "score"}], with "file_name"
  or the `images` of a COCO file where image_id is a number; AlphaPose writes file names there.
- .npz with `names` [N] (or `frames`) and `keypoints` [N, K, 3]: x, y in pixels, score.
Or a folder with one JSON file per frame, under the frame's own path or under its name alone: FRAME.pose or
STEM.pose (the released pipeline: a list of 17 [x, y, score]; OpenPifPaf: a list of persons),
FRAME.predictions.json (OpenPifPaf), STEM.json or FRAME.json (mmpose's inferencer and demos).

Of several persons in a frame the one with the highest score is taken. Joints are COCO's 17, in its order, or
begin with them. Without scores every joint counts as found, but for those at (0, 0).
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cache.border import reading
from cache.chunks import JOINTS
from cache.errors import KeyReIDError
from cache.text_files import load_json
from stages.pose.frame_names import FrameNames

MOST = 2**31  # bytes of the arrays of an .npz, unpacked; a million frames of 17 joints have under 2**29
Poses = dict[str, np.ndarray]  # frame -> float32 [17, 3]: x, y in pixels, score
PATTERNS = ("{stem}.pose", "{frame}.pose", "{frame}.predictions.json", "{stem}.json", "{frame}.json")
# Formats whose first 17 joints are COCO's: how many joints each has.
FORMATS = {17: "COCO", 26: "Halpe", 133: "COCO-WholeBody", 136: "Halpe full body"}
KNOWN = ", ".join(f"{joints} ({name})" for joints, name in FORMATS.items()) + " joints"


def read_poses(source: Path, images: Path | None, frames: list[str]) -> Poses:
    """Poses of those of `frames` that the source knows. Raises KeyReIDError naming file and entry."""
    if source.is_dir():
        return _from_folder(source, frames)
    if source.suffix == ".npz":
        return _from_arrays(source, frames)
    content = _load(source)
    names = _image_names(_load(images), images) if images is not None else {}
    if isinstance(content, dict):
        names = _image_names(content, source) | names
        content = content.get("annotations")
    if not isinstance(content, list):
        raise KeyReIDError(f"{source}: no list of poses; expected COCO keypoint JSON")
    return _from_list(source, content, names, FrameNames(frames))


def _from_folder(folder: Path, frames: list[str]) -> Poses:
    known, poses = FrameNames(frames), {}
    for frame in frames:
        bare = frame.rpartition("/")[2]  # mmpose's inferencer writes all files into one folder
        names = (frame, bare) if known.find(bare) == frame else (frame,)
        paths = (
            folder / pattern.format(frame=name, stem=PurePosixPath(name).with_suffix(""))
            for name in names
            for pattern in PATTERNS
        )
        path = next((path for path in paths if path.is_file()), None)
        if path is not None and (pose := _best(_persons(_load(path), path), str(path))) is not None:
            poses[frame] = pose
    return poses


def _from_arrays(source: Path, frames: list[str]) -> Poses:
    with reading(source, "arrays of names and keypoints", "expected .npz"):
        with zipfile.ZipFile(source) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST:
            raise ValueError(f"{size / 1e9:,.1f} GB of arrays, at most {MOST / 1e9:.1f} are read: split it")
        with np.load(source, allow_pickle=False) as stored:
            key = "names" if "names" in stored else "frames"
            names, keypoints = stored[key], stored["keypoints"]
    texts = names.ndim == 1 and names.dtype.kind == "U"
    numbers = keypoints.ndim == 3 and keypoints.dtype.kind in "iuf" and keypoints.size >= len(keypoints)
    if not texts or not numbers or len(keypoints) != len(names):
        raise KeyReIDError(
            f"{source}: names {names.dtype} {list(names.shape)}, keypoints {list(keypoints.shape)}; expected "
            "names [N] as text and keypoints [N, 17, 3]"
        )
    known, poses, strangers = FrameNames(frames), {}, []
    images: dict[str, tuple[str, int]] = {}
    for row, (name, pose) in enumerate(zip(names.tolist(), keypoints, strict=True)):
        frame = known.find(name)
        if frame is None:
            strangers.append(name)
        else:
            _refuse_two(source, frame, *images.setdefault(frame, (name, row)), name, row)
            poses[frame] = _keypoints({"keypoints": pose}, f"{source}: {name}")
    _refuse_strangers(source, strangers, poses, known)
    return poses


def _from_list(source: Path, entries: list, names: dict[str, str], known: FrameNames) -> Poses:
    by_frame: dict[str, list[dict]] = {}
    images: dict[str, tuple[str, object]] = {}  # frame -> its name there, and its image_id
    strangers: list[str] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "image_id" not in entry:
            raise KeyReIDError(f"{source}: entry {number} has no image_id; expected COCO keypoint JSON")
        if "keypoints" not in entry:
            continue  # a box without keypoints
        image = entry["image_id"]
        name = names.get(str(image), entry.get("file_name", image))
        frame = known.find(name) if isinstance(name, str) else known.numbered(name)
        if frame is None and not isinstance(name, str):
            raise KeyReIDError(
                f"{source}: entry {number}: image_id {name} is not a file name; "
                "give the COCO file with the list of images with --images"
            )
        if frame is None:
            strangers.append(name)
        else:
            _refuse_two(source, frame, *images.setdefault(frame, (name, image)), name, image)
            by_frame.setdefault(frame, []).append(entry)
    _refuse_strangers(source, strangers, by_frame, known)
    best = {frame: _best(persons, f"{source}: {frame}") for frame, persons in by_frame.items()}
    return {frame: pose for frame, pose in best.items() if pose is not None}


def _refuse_two(source: Path, frame: str, name: str, image: object, other: str, another: object) -> None:
    """Two images whose names could be one frame's: names give no folders, or too few of them."""
    if str(image) != str(another):
        raise KeyReIDError(
            f"{source}: images {name} ({image}) and {other} ({another}) could both be the frame {frame}; "
            "give names with their folders, each once"
        )


def _refuse_strangers(source: Path, strangers: list[str], poses: dict, known: FrameNames) -> None:
    if strangers and not poses:
        several = len(known.matching(strangers[0]))
        why = f"; {several} frames have that name: give names with their folders" if several > 1 else ""
        raise KeyReIDError(
            f"{source}: none of its images is a frame of this data set (first: {strangers[0]}; "
            f"a frame here: {known.example}){why}"
        )


def _image_names(content: Any, path: Path) -> dict[str, str]:
    """File names by image id as text: some tools write an id as a number here and as text there."""
    with reading(path, "a list of images with id and file_name", "expected COCO JSON"):
        return {str(image["id"]): image["file_name"] for image in content["images"]}


def _persons(content: Any, path: Path) -> list[dict]:
    """The persons in one frame's file."""
    if isinstance(content, dict):
        known = (key for key in ("predictions", "instances", "instance_info") if key in content)
        content = content.get(next(known, None), [content])
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], list):
        inner = content[0]
        if inner and isinstance(inner[0], dict):
            content = inner  # mmpose's inferencer: a list of images, each a list of persons
    if isinstance(content, list) and len(content) in FORMATS and not isinstance(content[0], dict):
        return [{"keypoints": content}]
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise KeyReIDError(f"{path}: neither {JOINTS} keypoints nor a list of persons with keypoints")
    persons = [person for person in content if "keypoints" in person]
    if content and not persons:
        keys = ", ".join(sorted({key for person in content for key in person})[:5])
        raise KeyReIDError(f"{path}: no keypoints in its content ({keys}); expected those of one frame")
    return persons


def _best(persons: Iterable[dict], where: str) -> np.ndarray | None:
    """Keypoints of the person with the highest score, float32 [17,3]; None for a frame without a person."""
    best, highest = None, -np.inf
    for person in persons:
        pose = _keypoints(person, where)
        score = person.get("score")
        score = float(score) if isinstance(score, int | float) else float(pose[:, 2].mean())
        if score > highest:
            best, highest = pose, score
    return best


def _keypoints(person: dict, where: str) -> np.ndarray:
    """COCO's 17 joints of a person, float32 [17, 3]: the first of FORMATS, with or without scores."""
    with reading(where, f"x, y, score of {KNOWN}"):
        values = np.array(person["keypoints"], np.float32)
        if values.ndim == 1:
            values = values.reshape(-1, 2 if len(values) // 2 in FORMATS and len(values) % 2 == 0 else 3)
        if "keypoint_scores" in person:  # mmpose's inferencer keeps them apart
            values = np.column_stack([values[:, :2], np.array(person["keypoint_scores"], np.float32)])
        joints, columns = values.shape
    if joints not in FORMATS or columns not in (2, 3):
        raise KeyReIDError(f"{where}: {joints} joints of {columns} numbers; expected x, y, score of {KNOWN}")
    if columns == 2:
        values = np.column_stack([values, (values != 0).any(1).astype(np.float32)])
    pose = values[:JOINTS]
    if not np.isfinite(pose).all():
        raise KeyReIDError(f"{where}: keypoints hold values that are not numbers")
    return pose


def _load(path: Path) -> Any:
    with reading(path, "JSON of poses", "expected a JSON file or a folder of poses"):
        return load_json(path)
