"""Reads back what training and evaluation have written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.text_files import load_json, load_steps, load_yaml
from stages.parts import grouping
from stages.reid.scoring.compare import QUERIES, read_queries
from stages.reid.scoring.config import EvalConfig, RerankConfig
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.protocols import PROTOCOLS, Protocol
from stages.report import schema

BASELINES = "baselines.json"


@dataclass(frozen=True)
class Scored:
    """One query under the headline protocol."""

    name: str
    person: int
    average_precision: float
    inverse_penalty: float
    first_rank: int


@dataclass(frozen=True)
class Contents:
    """An evaluated run.

    scores: metrics.json. queries: every valid query of the headline protocol. ranking: by query name, its
    first answers as {name, distance, right}. steps: records of training, empty where there was none here.
    settings, part_names, environment, baselines: empty where the run has none; part_names also where
    they are not as many as the embeddings have.
    """

    run: Path
    scores: dict[str, Any]
    embeddings: TestSet
    queries: list[Scored]
    ranking: dict[str, list[dict[str, Any]]]
    steps: list[dict[str, Any]]
    settings: dict[str, Any]
    part_names: tuple[str, ...]
    environment: dict[str, Any]
    baselines: dict[str, dict[str, Any]]

    @property
    def protocol(self) -> Protocol:
        """The headline protocol."""
        return PROTOCOLS[self.scores["headline"]]

    @property
    def eval_config(self) -> EvalConfig:
        """What decides the distances, and the clips, as it was when the run was scored."""
        rerank = self.scores.get("rerank")
        return EvalConfig(
            distance=self.scores["distance"],
            rerank=RerankConfig(**rerank) if rerank else RerankConfig(),
            camera=self.scores.get("camera") or "given",
            clip_length=self.scores.get("clip_length"),
            clip_order=self.scores.get("clip_order") or "run",
            clip_stride=self.scores.get("clip_stride"),
            clip_cap=self.scores.get("clip_cap"),
        )


def evaluation_of(run: Path) -> Path:
    """The folder of a run's evaluation: RUN/eval, or RUN itself. Raises KeyReIDError where there is none."""
    for folder in (run / "eval", run):
        if (folder / "metrics.json").is_file():
            return folder
    raise KeyReIDError(
        f"{run}: no evaluation in it (eval/metrics.json is missing); run keyreid eval --run {run}"
    )


def read_contents(run: Path, evaluation: Path | None = None) -> Contents:
    """Read an evaluated run. evaluation: the folder of its scores; default: RUN/eval, or RUN itself.

    Raises KeyReIDError naming the file that is missing or not what it should be.
    """
    folder = evaluation or evaluation_of(run)
    scores = _json(folder / "metrics.json", dict)
    schema.check_scores(folder / "metrics.json", scores)
    queries = read_queries(folder / QUERIES).get(scores["headline"], {})
    lists = _json(folder / "ranking.json", list)
    schema.checked_by(schema.RANKING, folder / "ranking.json", lists)
    ranking = {one["query"]: one["matches"] for one in lists}
    baselines = _optional(folder / BASELINES)
    schema.checked_by(schema.BASELINES, folder / BASELINES, baselines)
    missing = [name for name in queries if name not in ranking]
    if missing or not queries:
        what = f"query {missing[0]} of {QUERIES} is not in ranking.json" if missing else "no valid query"
        raise KeyReIDError(f"{folder}: {what}; run keyreid eval again")
    config = run / "config.yaml"
    with reading(config):
        settings = load_yaml(config) if config.is_file() else {}
        parts = settings["model"].get("parts") if "model" in settings else None
        part_names = tuple(grouping(parts)) if parts is not None else ()
    embeddings = TestSet.load(folder / "embeddings.h5")
    return Contents(
        run=run,
        scores=scores,
        embeddings=embeddings,
        queries=[Scored(name, *values) for name, values in queries.items()],
        ranking=ranking,
        steps=_lines(run / "metrics.jsonl"),
        settings=settings,
        part_names=part_names if len(part_names) == embeddings.parts else (),
        environment=_optional(run / "environment.json"),
        baselines=baselines,
    )


def checkpoint_of(contents: Contents) -> Path:
    """The weights that were evaluated, found beside the run where it has been moved."""
    named = Path(str(contents.scores.get("checkpoint") or "model.safetensors"))
    for path in (contents.run / named.name, named):
        if path.is_file():
            return path
    raise KeyReIDError(
        f"{named}: the evaluated weights are not there; put them back, or leave out pictures and "
        "attention with --no-pictures"
    )


def keep_baselines(folder: Path, baselines: dict[str, Any]) -> None:
    """Write the figures of the baselines beside the scores."""
    write_whole(folder / BASELINES, json.dumps(baselines, indent=1).encode())


def _json(path: Path, kind: type) -> Any:
    with reading(path, "what keyreid eval writes", "run keyreid eval again"):
        content = load_json(path)
        if not isinstance(content, kind):
            raise ValueError(f"a {type(content).__name__}, expected a {kind.__name__}")
        return content


def _optional(path: Path) -> dict[str, Any]:
    return _json(path, dict) if path.is_file() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    """Records of a .jsonl file; a line cut short by a crash is left out."""
    with reading(path, remedy="remove it, or restore it"):
        return load_steps(path) if path.is_file() else []
