"""The pictures of a page: for each tracklet a thumbnail, and a sheet of its frames and part maps.

Their names are digests of what they are made of: frames (path, size, time of change), pose cache, settings.
So a page that is written again makes only what is new.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.files import write_whole
from stages.browse.config import BrowseConfig
from stages.browse.tracklets import Shown
from stages.frame_file import FrameError, read_picture, read_size
from stages.parts import grouping, part_joints
from stages.reid.search.identity import stamp_of
from stages.sheet import cell_width, fitted, heat_over, jpeg, sheet, spread

THUMBNAIL = 128  # px high
THREADS = 4
FORMAT = 1  # of the pictures; a change makes all of them again
_ONE_AT_A_TIME = threading.Lock()  # a pose cache is for one thread


@dataclass(frozen=True)
class Media:
    """Files of a tracklet, names in the folder of the media; "" where its frames cannot be read: why.

    The sheet has `frames` cells, then `parts` cells with the heat of each part, all `width` px wide.
    """

    thumbnail: str = ""
    sheet: str = ""
    frames: int = 0
    parts: int = 0
    width: int = 0
    why: str = ""


def write_media(
    folder: Path,
    tracklets: Sequence[Shown],
    config: BrowseConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Media]:
    """Write the pictures that are not there yet into an existing folder; those of each tracklet."""
    made = []
    with ThreadPoolExecutor(THREADS) as pool:
        for one in pool.map(lambda tracklet: _write(folder, tracklet, config), tracklets):
            made.append(one)
            progress(len(made), len(tracklets))
    return made


def _write(folder: Path, tracklet: Shown, config: BrowseConfig) -> Media:
    frames = [tracklet.frames[place] for place in spread(len(tracklet.frames), config.frames)]
    paths = [tracklet.root / frame for frame in frames]
    middle = len(frames) // 2
    poses = tracklet.poses if config.parts and tracklet.poses and frames[middle] in tracklet.poses else None
    parts = config.parts if poses else 0
    try:
        stamp = stamp_of(str(tracklet.root), frames, tracklet.camera).hex()
        made_of = [FORMAT, config.model_dump(), stamp, poses.info.fingerprint if poses else None]
        key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
        names = f"{key}.jpg", f"{key}-frames.jpg"
        media = Media(*names, len(frames), parts)
        if not all((folder / name).is_file() for name in names):
            pictures = [read_picture(path)[:, :, ::-1] for path in paths]
            thumbnail = fitted(pictures[middle], THUMBNAIL, cell_width(pictures[middle], THUMBNAIL))
            write_whole(folder / names[0], jpeg(thumbnail, config.quality))
            if poses is not None:
                with _ONE_AT_A_TIME:
                    joints = poses.read_heatmaps([frames[middle]])[0]
                pictures += with_heat(pictures[middle], joints, config)
            cells = sheet(pictures, config.height, cell_width(pictures[0], config.height))
            write_whole(folder / names[1], jpeg(cells, config.quality))
        width = read_size(folder / names[1])[1] // (media.frames + media.parts)
    except FrameError as error:
        return Media(why=f"Its frames cannot be read: {error.reason}.")
    return Media(*names, media.frames, media.parts, width)


def with_heat(frame: np.ndarray, joints: np.ndarray, config: BrowseConfig) -> list[np.ndarray]:
    """A frame uint8 [H, W, 3], once for each part with its heat over it. joints: uint8 [17, h, w]."""
    small = fitted(frame, config.height, max(1, round(frame.shape[1] * config.height / frame.shape[0])))
    return [heat_over(small, joints[rows].max(0) / np.float32(255)) for rows in part_joints(config.parts)]


def part_names(config: BrowseConfig) -> list[str]:
    """Names of the parts whose maps are shown, in order."""
    return list(grouping(config.parts)) if config.parts else []


def missing_note(media: Sequence[Media]) -> list[str]:
    """A note for the user where tracklets have no picture."""
    reasons = [one.why for one in media if one.why]
    if not reasons:
        return []
    return [f"{len(reasons)} of {len(media)} tracklets are shown without pictures. {reasons[0]}"]
