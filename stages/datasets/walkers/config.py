"""Settings of a walkers data set."""

import hashlib
import json
from typing import Literal

from pydantic import Field, model_validator

from stages.config import StrictModel

# Increase when a code change alters any pixel: data sets of older looks are then regenerated.
LOOK = 3


class WalkersConfig(StrictModel):
    """Size, seed and difficulty. The same values give the same bytes."""

    seed: int = Field(0, ge=0, lt=2**31, description="Every pixel follows from it.")
    look: Literal["hard", "clean"] = Field(
        "hard", description="hard: passers-by, a tracker's errors, blur, lost frames; clean: none of it."
    )
    identities: int = Field(64, ge=4, le=4000, description="Persons, half of them for training; even.")
    cameras: int = Field(4, ge=2, le=6, description="Cameras, each with its own place, view and colours.")
    tracklets: int = Field(2, ge=1, le=50, description="Tracklets per person and camera.")
    min_frames: int = Field(8, ge=1, le=999, description="Fewest frames of a tracklet.")
    max_frames: int = Field(16, ge=1, le=999, description="Most frames of a tracklet.")
    distractors: int = Field(16, ge=0, le=4000, description="Test tracklets of strangers (person 0).")
    junk: int = Field(8, ge=0, le=4000, description="Test tracklets without a usable person (person -1).")
    lookalikes: float = Field(
        0.375, ge=0, le=1, description="Share of persons who wear all but one part of another's clothes."
    )
    test_occlusion: float = Field(
        0.35, ge=0, le=1, description="Share of test frames in which something stands before the walker."
    )
    train_occlusion: float = Field(0.25, ge=0, le=1, description="The same for training frames.")
    camera_effect: float = Field(
        1.0, ge=0, le=4, description="How far apart the colours of the cameras are; 0: all alike."
    )
    jpeg_quality: int = Field(90, ge=10, le=100, description="Quality of the JPEG files.")

    @model_validator(mode="after")
    def _consistent(self) -> "WalkersConfig":
        if self.identities % 2:
            raise ValueError(
                f"identities is {self.identities}: expected an even number, half train and half test"
            )
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} is above max_frames {self.max_frames}")
        return self

    def fingerprint(self) -> str:
        """SHA-256 over all values and the version of the look: equal means equal bytes."""
        text = json.dumps({"look": LOOK, **self.model_dump()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
