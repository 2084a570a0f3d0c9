"""Typed config of sampling, augmenting and reading clips."""

from typing import Literal

from pydantic import Field, model_validator

from stages.config import StrictModel


class SamplerConfig(StrictModel):
    """P identities x K tracklets make a batch; one clip is drawn from each tracklet."""

    identities: int = Field(4, ge=1, description="P, identities in a batch over all processes")
    tracklets: int = Field(4, ge=1, description="K, tracklets of each identity in a batch")
    leftovers: Literal["drop", "fill"] = Field(
        "drop",
        description="an identity's last tracklets of an epoch, if fewer than K: drop, or repeat some",
    )
    spread_cameras: bool = Field(
        False, description="deal an identity's tracklets so that K of them span cameras"
    )


class AugmentConfig(StrictModel):
    """Changes to a training clip. Frames and part maps get the same geometry."""

    per: Literal["frame", "clip"] = Field(
        "frame", description="draw for each frame, or once for a whole clip"
    )
    flip: float = Field(
        0.5, ge=0, le=1, description="probability of a left-right flip; left and right parts swap"
    )
    pad: int = Field(10, ge=0, le=64, description="pixels of padding before the crop, for an image 256 high")
    erase: float = Field(0.5, ge=0, le=1, description="probability of erasing one rectangle")
    erase_area: tuple[float, float] = Field(
        (0.02, 0.4), description="share of the image erased, least and most"
    )
    erase_aspect: tuple[float, float] = Field((0.3, 3.3), description="height / width of what is erased")
    erase_fill: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="value of erased pixels after normalising (R, G, B)"
    )
    intruder: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that one frame of a clip is of another person, as trackers err",
    )
    hide_camera: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that a clip's camera counts as unknown, as all are in new footage",
    )
    jitter: float = Field(
        0.0, ge=0, lt=1, description="largest relative change of brightness and of contrast"
    )

    @model_validator(mode="after")
    def _ranges(self) -> "AugmentConfig":
        for name, (low, high), most in (
            ("erase_area", self.erase_area, 1.0),
            ("erase_aspect", self.erase_aspect, float("inf")),
        ):
            if not 0 < low <= high <= most:
                raise ValueError(f"{name} must be two numbers, 0 < least <= most, found {low}, {high}")
        return self


class LoaderConfig(StrictModel):
    """How clips are read. Batches are the same for any of these values."""

    workers: int = Field(
        4,
        ge=0,
        le=4096,
        description="reading processes of each training process; 0: read in the process itself",
    )
    prefetch: int = Field(2, ge=1, description="batches that each worker reads ahead")
    start: Literal["fork", "spawn", "forkserver"] = Field("fork", description="how workers are started")
    memory_mb: int = Field(
        0,
        ge=0,
        description="MB of the machine in which decoded frames and part maps stay, where all fit; 0: never",
    )


class ClipConfig(StrictModel):
    """Which clips of a tracklet are embedded, and how they are read."""

    batch_size: int = Field(16, ge=1, description="clips per batch; does not change the result")
    workers: int = Field(2, ge=0, le=4096, description="reading processes; 0: read in the process itself")
    clip_length: int | None = Field(
        None, ge=1, description="frames per clip at test, any number with guidance prior; null: as trained"
    )
    clip_order: Literal["run", "spread"] = Field(
        "run",
        description="run: clips of consecutive frames; spread: every clip spans its whole tracklet, so that "
        "only some of its frames are hidden or of somebody else",
    )
    clip_stride: int | None = Field(
        None, ge=1, description="clip_order run: frames from clip to clip; null: clip length"
    )
    clip_cap: int | None = Field(None, ge=1, description="at most this many clips per tracklet; null: all")

    @model_validator(mode="after")
    def _order(self) -> "ClipConfig":
        if self.clip_order == "spread" and self.clip_stride is not None:
            raise ValueError(f"clip_stride is {self.clip_stride}, but clip_order is spread: leave out one")
        return self
