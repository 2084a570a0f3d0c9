"""Evaluation: embed the test set, rank it under every protocol, write scores and rankings.

`run` does all of it. `score` starts from embeddings, so that scoring can be repeated alone.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.scoring.compare import QUERIES, write_queries
from stages.reid.scoring.config import EvalConfig, RerankConfig
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.metrics import RankingScores
from stages.reid.scoring.protocols import Protocol, places_of, protocols_for
from stages.reid.scoring.ranking import rank_protocols, write_ranking
from stages.reid.scoring.tables import figures, headline

__all__ = ["EvalConfig", "RerankConfig", "embed_dataset", "pack", "run", "score"]
METRICS = "metrics.json"
log = logging.getLogger(__name__)


def run(model, batches: Iterable, dataset: Dataset, config: EvalConfig, folder: Path, **about) -> Path:
    """Embed, score, write. Returns the folder, which then holds embeddings.npz, queries.csv,
    ranking.json and, last, metrics.json.

    batches: the clips of `dataset.test_tracklets()`. about: checkpoint and whatever else names the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Never the scores of an earlier run beside new embeddings.
    (folder / METRICS).unlink(missing_ok=True)
    embeddings = embed_dataset(model, batches, dataset, config, **about)
    embeddings.save(folder / "embeddings.npz")
    score(embeddings, config, folder)
    return folder


def embed_dataset(model, batches: Iterable, dataset: Dataset, config: EvalConfig, **about) -> Embeddings:
    """Embed `dataset.test_tracklets()`, whose clips `batches` yields (see `stages.reid.scoring.embed`)."""
    from stages.reid.scoring.embed import embed_tracklets

    _check_tests(dataset)
    features, visibility = embed_tracklets(model, batches, len(dataset.test_tracklets()), config.camera)
    settings = getattr(model, "config", None)
    parts = visibility.shape[1] if settings is not None and not settings.global_only else 0
    width = features.shape[1] - (parts * model.part_width if parts else 0)
    about |= {name: getattr(config, name) for name in ("camera", "clip_stride", "clip_cap")}
    return pack(dataset, features, visibility if parts else None, parts, width, **about)


def _check_tests(dataset: Dataset) -> None:
    if not dataset.query or not dataset.gallery:
        raise KeyReIDError(
            f"{dataset.root}: {dataset.name} has {len(dataset.query)} queries and {len(dataset.gallery)} "
            "gallery tracklets; expected some of both: nothing to evaluate"
        )


def pack(
    dataset: Dataset,
    features: np.ndarray,
    visibility: np.ndarray | None = None,
    parts: int = 0,
    global_width: int = 0,
    **about,
) -> Embeddings:
    """Features of `dataset.test_tracklets()`, in that order, with everything that scoring needs."""
    _check_tests(dataset)
    tracklets = dataset.test_tracklets()
    row = {t.name: i for i, t in enumerate(tracklets)}
    if len(features) != len(tracklets):
        raise KeyReIDError(f"{len(features)} embeddings for {len(tracklets)} tracklets; expected as many")

    def rows(group: tuple[Tracklet, ...]) -> np.ndarray:
        return np.array([row[t.name] for t in group], np.int64)

    embeddings = Embeddings(
        features=np.ascontiguousarray(features, np.float32),
        names=np.array([t.name for t in tracklets]),
        persons=np.array([t.person for t in tracklets], np.int64),
        cameras=np.array([-1 if t.camera is None else t.camera for t in tracklets], np.int64),
        query=rows(dataset.query),
        gallery=rows(dataset.gallery),
        visibility=visibility,
        parts=parts,
        global_width=global_width,
        about={"dataset": dataset.name, "split": dataset.split, **about},
    )
    embeddings.check()
    return embeddings


def score(embeddings: Embeddings, config: EvalConfig, folder: Path | None = None) -> dict:
    """Score under every protocol. With a folder: write metrics.json, queries.csv and ranking.json there.

    The first protocol is the headline: its ranking is written, its figures are in `line`.
    Raises KeyReIDError when no query has a right answer.
    """
    if folder is not None:
        make_folder(folder)
        (folder / METRICS).unlink(missing_ok=True)  # written last: it stands for the whole
    kept = bool(np.isin(embeddings.query, embeddings.gallery).any())
    protocols = protocols_for(kept, config.protocols, embeddings.about.get("dataset"))
    if not config.protocols:  # not asked for by name: those after the first are extra
        protocols = protocols[:1] + tuple(p for p in protocols[1:] if _answerable(embeddings, p))
    report = {
        **embeddings.about,
        "distance": config.distance,
        "rerank": config.rerank.model_dump() if config.rerank.enabled else None,
        "headline": protocols[0].name,
        "protocols": {},
    }
    details, ranking = [], None
    results = rank_protocols(embeddings, protocols, config)
    for protocol, (scores, found, size) in zip(protocols, results, strict=True):
        if not scores.num_valid:
            raise KeyReIDError(
                f"protocol {protocol.name}: none of {scores.num_queries} queries has a right answer from "
                "another camera in the gallery; check the labels with keyreid doctor"
            )
        ranking = ranking or found
        report["protocols"][protocol.name] = figures(scores, protocol, size, config.bootstrap, config.seed)
        details += _per_query(protocol.name, embeddings, scores)
    report["line"] = headline(report)
    log.info(report["line"])
    if folder is not None and ranking is not None:
        write_queries(folder / QUERIES, details)
        write_ranking(folder / "ranking.json", embeddings, ranking)
        write_whole(folder / METRICS, json.dumps(report, indent=1).encode())
    return report


def _answerable(embeddings: Embeddings, protocol: Protocol) -> bool:
    """Whether any query has a right answer; with one tracklet a camera, queries-dropped leaves none."""
    persons, cameras = embeddings.persons, embeddings.cameras
    seen: dict[int, set[int]] = {}
    for row in embeddings.gallery[places_of(protocol, embeddings.query, embeddings.gallery, persons)]:
        seen.setdefault(int(persons[row]), set()).add(int(cameras[row]))
    for row in embeddings.query:
        others = seen.get(int(persons[row]), set())
        if -1 in others or others - {int(cameras[row])}:
            return True
    log.warning("protocol %s is left out: no query has a right answer under it", protocol.name)
    return False


def _per_query(protocol: str, embeddings: Embeddings, scores: RankingScores) -> list[tuple]:
    names = embeddings.names[embeddings.query[scores.valid]]
    columns = (names, scores.persons, scores.average_precision, scores.inverse_penalty, scores.first_rank)
    return [(protocol, *row) for row in zip(*(c.tolist() for c in columns), strict=True)]
