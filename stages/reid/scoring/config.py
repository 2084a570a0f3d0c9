"""The `eval` section of a recipe."""

from typing import Literal

from pydantic import Field

from stages.config import StrictModel
from stages.precision import Precision
from stages.reid.data.config import ClipConfig
from stages.reid.scoring.distances import Distance


class RerankConfig(StrictModel):
    """k-reciprocal re-ranking (Zhong et al., CVPR 2017)."""

    enabled: bool = Field(False, description="re-rank before scoring")
    k1: int = Field(20, ge=1, description="neighbours that may be reciprocal")
    k2: int = Field(6, ge=1, description="neighbours over which the encoding is averaged; 1: none")
    weight: float = Field(0.3, ge=0, le=1, description="weight of the original distance, lambda in the paper")


class EvalConfig(ClipConfig):
    """How the test set is embedded, ranked and scored."""

    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto: cuda where there is one")
    precision: Precision = Field(
        "auto",
        description="number format of the network; auto: bf16 on a GPU or a CPU with AMX, else fp32",
    )
    camera: Literal["given", "number", "unknown"] = Field(
        "given",
        description="camera embedding: of the camera, where the network was trained on this data set; "
        "number: of the training camera of that number, whatever the data set; unknown: none",
    )
    distance: Distance = Field("euclidean", description="euclidean, cosine, or visible (parts by visibility)")
    protocols: tuple[str, ...] = Field((), description="protocols by name, first the headline; []: all")
    rerank: RerankConfig = Field(default_factory=RerankConfig, description="k-reciprocal re-ranking")
    bootstrap: int = Field(
        0, ge=0, le=100_000, description="resamples of persons for 95 % intervals; 0: no intervals"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the bootstrap")
    top_k: int = Field(20, ge=1, le=1000, description="length of the written ranking lists")
    block: int = Field(256, ge=1, description="queries whose distances are in memory at a time")
