"""Config of embedding: how tracklets are cut into parts, and who computes them."""

from typing import Literal

from pydantic import Field

from stages.config import StrictModel


class EmbedConfig(StrictModel):
    """How tracklets are embedded. Fields marked * can change bits of the features."""

    part_size: int = Field(
        1024, ge=1, description="* tracklets of a part; a killed run loses those that it was at"
    )
    processes: int = Field(1, ge=1, le=4096, description="local processes, each at a part of its own")
    threads: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="* threads of the network per process; default: all cores, 1 with several processes",
    )
    scheduler: str | None = Field(None, description="Dask scheduler of the cluster to run the parts on")
    workers: int | None = Field(
        None, ge=0, le=4096, description="reading processes, with a single process; default: as in the run"
    )
    camera: Literal["auto", "given", "unknown"] = Field(
        "auto", description="* camera embeddings of the network; auto: where it was trained on this data set"
    )
    half: bool = Field(False, description="* store features in half precision: half the size")
    redo_poses: bool = Field(False, description="replace a pose cache of other frames or of another network")
