"""Settings of the pages."""

from pydantic import Field, field_validator

from stages.config import StrictModel
from stages.parts import PARTS


class BrowseConfig(StrictModel):
    """How much of each tracklet a page has. A frame costs about 3 kB, a part map the same."""

    frames: int = Field(16, ge=1, le=100, description="frames of a tracklet that are played, evenly spaced")
    height: int = Field(160, ge=48, le=320, description="height of a frame, pixels")
    quality: int = Field(78, ge=10, le=100, description="JPEG quality")
    parts: int = Field(6, description="part maps of the middle frame: 6, 4, 3, or 0 for none")

    @field_validator("parts")
    @classmethod
    def _known(cls, value: int) -> int:
        if value not in (0, *PARTS):
            raise ValueError(f"expected 0, {', '.join(map(str, PARTS))}")
        return value
