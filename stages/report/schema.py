"""Schemas of the JSON files of an evaluation that a report reads."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from cache.border import reading
from cache.errors import KeyReIDError
from stages.config import Record
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.protocols import PROTOCOLS

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Figures(Record):
    """The figures of a protocol, or of a baseline under it."""

    mAP: Share | None = None
    rank1: Share | None = None
    rank5: Share | None = None
    rank10: Share | None = None
    rank20: Share | None = None
    mINP: Share | None = None
    num_valid: Count | None = None
    num_queries: Count | None = None
    num_gallery: Count | None = None
    average_precision: Literal["rectangular", "trapezoid"] | None = None
    interval95: dict[str, Annotated[list[Share], Field(min_length=2, max_length=2)]] = Field({})
    cmc: list[Share] = Field(min_length=1)


class Scores(Record):
    """metrics.json."""

    headline: Literal[tuple(PROTOCOLS)]
    protocols: dict[str, Figures]
    distance: str
    rerank: dict[str, Any] | None = None
    checkpoint: str | None = None
    line: str = ""


class Match(Record):
    """An answer to a query."""

    name: str
    distance: float
    right: bool


class Ranked(Record):
    """A query of ranking.json."""

    query: str
    matches: list[Match]


RANKING, BASELINES = TypeAdapter(list[Ranked]), TypeAdapter(dict[str, Figures])


def check_scores(path: Path, scores: dict[str, Any]) -> None:
    """Raises KeyReIDError where metrics.json holds something else."""
    checked = checked_by(TypeAdapter(Scores), path, scores)
    if checked.headline not in checked.protocols:
        raise KeyReIDError(
            f"{path}: has no protocol {checked.headline}, its headline; run keyreid eval again"
        )
    chosen = {key: scores[key] for key in EvalConfig.model_fields if scores.get(key) is not None}
    checked_by(TypeAdapter(EvalConfig), path, {k: v for k, v in chosen.items() if k != "protocols"})


def checked_by(kind: TypeAdapter, path: Path, content: Any) -> Any:
    """Content checked against a schema. Raises KeyReIDError naming the invalid place."""
    with reading(path, remedy="not what keyreid eval writes: run it again"):
        return kind.validate_python(content)
