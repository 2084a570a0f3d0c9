"""How a gallery is searched, and how thresholds are measured."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.config import StrictModel
from stages.precision import Precision
from stages.reid.scoring.config import RerankConfig
from stages.reid.scoring.distances import Distance

# of linking, and of measuring its threshold
NEIGHBOURS = Field(
    8, ge=2, le=1000, description="neighbours compared in linking; about as many as a person has tracklets"
)
SHARED = Field(3, ge=1, le=100, description="in linking, nearest whose neighbours are averaged; 1: none")
Share = Annotated[float, Field(gt=0, lt=1)]


class Selection(StrictModel):
    """Which tracklets of a gallery may be answers: those that meet all conditions."""

    since: str | None = Field(
        None, description="seen then or later: 2026-11-26T08:00:00+01:00, or seconds of the video"
    )
    until: str | None = Field(None, description="seen then or before")
    cameras: tuple[str, ...] = Field((), description="names of cameras; none: all")


class SearchConfig(Selection):
    """How a gallery is searched."""

    top: int = Field(10, ge=1, le=100_000, description="answers per query")
    distance: Distance | None = Field(
        None, description="euclidean, cosine or visible (parts by visibility); default: as in the run"
    )
    index: str = Field("exact", description="exact, or FAISS: flat, ivf, hnsw, or a factory string")
    index_folder: Path | None = Field(
        None, description="folder that keeps the FAISS index for later searches"
    )
    other_cameras: bool = Field(False, description="leave out tracklets of the query's own camera")
    rerank: RerankConfig = Field(default_factory=RerankConfig, description="k-reciprocal re-ranking")
    rows: int = Field(8, ge=1, le=100, description="queries in the ranking picture")
    precision: Precision | None = Field(
        None, description="number format of the network for a query of pictures; default: the gallery's"
    )


class CalibrationConfig(StrictModel):
    """Which rejection thresholds are measured."""

    rates: tuple[Share, ...] | None = Field(
        None,
        min_length=1,
        description="false-positive rates, above 0 and below 1; default: those of 0.01, 0.05 and 0.1 that "
        "are at least one false positive in all searches",
    )
    distance: Distance | None = Field(
        None, description="euclidean, cosine or visible; default: as in the run"
    )
    other_cameras: bool = Field(False, description="for searches with --other-cameras")
    neighbours: int = NEIGHBOURS
    shared: int = SHARED


class LinkConfig(StrictModel):
    """How tracklets are linked to identities."""

    neighbours: int = NEIGHBOURS
    shared: int = SHARED
    no_ways: bool = Field(
        False, description="do not learn from the gallery how long people take between cameras"
    )
    distance: Distance | None = Field(
        None, description="euclidean, cosine or visible; default: as in the run"
    )
    index: str = Field("exact", description="exact, or FAISS: flat, ivf, hnsw, or a factory string")
    index_folder: Path | None = Field(None, description="folder that keeps the FAISS index for the next run")
    shown: int = Field(8, ge=1, le=100, description="nearest others written for each tracklet")
