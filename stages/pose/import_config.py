"""How imported poses become heat."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stages.config import StrictModel


class ImportConfig(StrictModel):
    """How keypoints become heat."""

    poses: Path = Field(description="JSON or .npz file, or folder with a file per frame")
    images: Path | None = Field(None, description="COCO JSON with the `images` that number the frames")
    sigma: float = Field(
        2.0, gt=0, le=16, description="deviation of a Gaussian, in 64ths of the frame height"
    )
    min_score: float = Field(0.1, ge=0, description="joints that score no more than this get no heat")
    on_missing: Literal["stop", "zero"] = Field(
        "stop", description="frames without a pose: stop, or zero heat"
    )
    on_bad_frame: Literal["stop", "zero"] = Field("stop", description="unreadable frames: stop, or zero heat")
    force: bool = Field(False, description="replace a cache that was made with different settings")
