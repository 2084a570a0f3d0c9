"""How tracklets are cut from a video."""

import re

from pydantic import Field, field_validator

from stages.config import StrictModel

CAMERA_NAME = r"\w[\w-]*(?:\.[\w-]+)*"  # a folder name on any system: no separator, no leading dot, no ".."


class CutConfig(StrictModel):
    """Which boxes of a track file are used, and how a crop is made of one."""

    camera: str = Field(pattern=rf"^{CAMERA_NAME}$", max_length=64, description="camera's name; a folder")
    first_frame: int = Field(1, ge=0, description="number that the tracks give to the first frame")
    last_frame: int | None = Field(None, ge=0, description="tracks are read up to this frame; default: all")
    pad_width: float = Field(0.04, ge=0, le=1, description="margin left and right, share of the box's width")
    pad_height: float = Field(0.02, ge=0, le=1, description="margin above and below, share of its height")
    min_confidence: float | None = Field(
        None, description="lowest confidence used; default: all but ground truth rows flagged 0 (ignore)"
    )
    classes: tuple[int, ...] = Field((), description="classes used (column 8), e.g. 1; default: all")
    min_width: int = Field(16, ge=1, description="pixels of the video; narrower boxes are left out")
    min_height: int = Field(32, ge=1, description="pixels of the video; lower boxes are left out")
    min_length: int = Field(4, ge=1, description="frames; shorter tracklets are left out")
    max_gap: int = Field(10, ge=0, description="frames; a track is split where more than these are missing")
    size: tuple[int, int] | None = Field(
        (128, 256), description="(width, height) of a crop in pixels; none: as large as in the video"
    )
    quality: int = Field(92, ge=1, le=100, description="JPEG quality of a crop")
    count_frames: bool = Field(
        False, description="number a video's frames as they come, though its time stamps disagree"
    )

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
