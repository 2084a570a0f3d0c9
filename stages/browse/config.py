"""What can be chosen about the pages."""

from typing import Literal

from pydantic import Field

from stages.config import StrictModel


class BrowseConfig(StrictModel):
    """How much of each tracklet a page has. A frame costs about 3 kB, a part map the same."""

    frames: int = Field(16, ge=1, le=100, description="frames of a tracklet that are played, evenly spaced")
    height: int = Field(160, ge=48, le=320, description="height of a frame, pixels")
    quality: int = Field(78, ge=10, le=100, description="JPEG quality")
    parts: Literal[0, 3, 4, 6] = Field(6, description="part maps of the middle frame, 0 for none")
