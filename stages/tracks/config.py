"""How tracklets are cut from a video, and how persons are tracked in one."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from stages.config import ClockTime, StrictModel

CAMERA_NAME = r"\w[\w-]*(?:\.[\w-]+)*"  # a folder name on any system: no separator, no leading dot, no ".."


class CropConfig(StrictModel):
    """Which boxes become crops, how a crop is made of one, and what makes a tracklet."""

    pad_width: float = Field(0.04, ge=0, le=1, description="margin left and right, share of the box's width")
    pad_height: float = Field(0.02, ge=0, le=1, description="margin above and below, share of its height")
    min_width: int = Field(16, ge=1, description="least width of a box in the video, pixels")
    min_height: int = Field(32, ge=1, description="least height of a box in the video, pixels")
    min_length: int = Field(4, ge=1, description="least number of frames of a tracklet")
    max_gap: int = Field(10, ge=0, description="frames; split a track where more than this are missing")
    size: tuple[int, int] | None = Field(
        (128, 256), description="(width, height) of a crop in pixels; none: as large as in the video"
    )
    quality: int = Field(92, ge=1, le=100, description="JPEG quality of a crop")

    @field_validator("size", mode="before")
    @classmethod
    def _size_of_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value == "keep":
            return None
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", value)
        if match is None or max(map(int, match.groups())) > 4096:
            raise ValueError("expected WIDTHxHEIGHT in pixels, up to 4096, as 128x256, or keep")
        return match.groups()


class CutConfig(CropConfig):
    """Which boxes of a track file are used."""

    camera: str = Field(pattern=rf"^{CAMERA_NAME}$", max_length=64, description="camera's name; a folder")
    first_frame: int = Field(1, ge=0, description="number that the tracks give to the first frame")
    last_frame: int | None = Field(None, ge=0, description="tracks are read up to this frame; default: all")
    min_confidence: float | None = Field(
        None, description="lowest confidence used; default: all but ground truth rows flagged 0 (ignore)"
    )
    classes: tuple[int, ...] = Field((), description="classes used (column 8), e.g. 1; default: all")
    count_frames: bool = Field(
        False, description="number a video's frames as they come, though its time stamps disagree"
    )
    start: ClockTime | None = Field(
        None, description="clock time of the first frame, with its offset from UTC"
    )
    strict: bool = Field(
        False,
        description="stop at an invalid box (not finite, empty, far outside) instead of leaving it out",
    )


class TrackConfig(CropConfig):
    """How persons are detected and tracked, the same for all cameras."""

    detector: str = Field(
        "centernet-mobilenetv3", description="name of a file in configs/detect/, or path of such a YAML file"
    )
    tracker: Literal["bytetrack", "sort", "ocsort", "botsort"] = Field(
        "bytetrack", description="tracker, of the library trackers"
    )
    lost: float = Field(
        1.0, gt=0, le=60, description="seconds that a person may be out of sight and keep a track"
    )
    max_length: int = Field(1000, ge=1, description="frames; split longer tracklets, which bounds memory")


class VideoFile(StrictModel):
    """A file of a camera."""

    file: Path = Field(description="video")
    start: ClockTime | None = Field(
        None,
        description="clock time of its first frame, with offset from UTC; default: where the one before ends",
    )


class CameraConfig(StrictModel):
    """A camera and its videos, in the order in which they were filmed."""

    name: str = Field(pattern=rf"^{CAMERA_NAME}$", max_length=64, description="a folder's name")
    files: tuple[VideoFile, ...] = Field(min_length=1, description="videos: paths, or file: with start:")
    start: ClockTime | None = Field(
        None, description="clock time of the first frame, with its offset from UTC; default: seconds from 0"
    )
    fps: float | None = Field(None, gt=0, le=1000, description="frames/s where a file's own times are wrong")
    region: tuple[tuple[float, float], ...] = Field(
        (),
        description="corners (x, y) in px of a polygon in which a person's feet must be; default: everywhere",
    )
    min_width: int | None = Field(None, ge=1, description="px; instead of that for all cameras")
    min_height: int | None = Field(None, ge=1, description="px; as min_width")

    @field_validator("files", mode="before")
    @classmethod
    def _paths(cls, value):
        given = value if isinstance(value, list | tuple) else [value]
        return tuple({"file": item} if isinstance(item, str | Path) else item for item in given)

    @field_validator("region")
    @classmethod
    def _polygon(cls, value):
        if 0 < len(value) < 3:
            raise ValueError(f"{len(value)} corners; expected at least 3")
        return value
