"""cameras.yaml: which videos were filmed by which camera, and when.

cameras:
  - name: door
    start: 2026-11-26T08:00:00+01:00
    files: [door-1.mp4, door-2.mp4]          # one after the other, relative to this file
    region: [[0, 200], [1280, 200], [1280, 720], [0, 720]]
"""

import re
from collections import Counter
from pathlib import Path

from pydantic import Field

from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_yaml
from stages.config import StrictModel
from stages.tracks.config import CameraConfig


class Cameras(StrictModel):
    """The whole file."""

    cameras: tuple[CameraConfig, ...] = Field(min_length=1, description="each with name and files")


def load_cameras(path: Path) -> tuple[CameraConfig, ...]:
    """Read and check a cameras.yaml; files become paths from here. Raises KeyReIDError."""
    with reading(path, "a list of cameras", f"a camera has: {', '.join(CameraConfig.model_fields)}"):
        cameras = Cameras(**load_yaml(path)).cameras
    twice = [name for name, count in Counter(c.name for c in cameras).items() if count > 1]
    if twice:
        raise KeyReIDError(f"{path}: camera {twice[0]} is listed twice; list it once, with all its files")
    return tuple(
        camera.model_copy(
            update={"files": tuple(f.model_copy(update={"file": path.parent / f.file}) for f in camera.files)}
        )
        for camera in cameras
    )


def tags(camera: CameraConfig) -> list[str]:
    """A name for each video of a camera, unique among all: what its persons and tables begin with.

    The file's stem, with the camera's name before it where it does not begin with that; the folder too where
    two stems are the same. Raises KeyReIDError where that is not enough.
    """
    paths = [video.file for video in camera.files]
    stems = Counter(path.stem for path in paths)
    names = [
        path.stem if stems[path.stem] == 1 else f"{path.absolute().parent.name}-{path.stem}" for path in paths
    ]
    names = [re.sub(r"[^\w-]+", "-", name).strip("-") for name in names]
    made = [
        name if name == camera.name or name.startswith(f"{camera.name}-") else f"{camera.name}-{name}"
        for name in names
    ]
    twice = [name for name, count in Counter(made).items() if count > 1]
    if twice:
        raise KeyReIDError(f"camera {camera.name}: two of its videos would be named {twice[0]}; rename one")
    return made
