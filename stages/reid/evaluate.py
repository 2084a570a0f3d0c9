"""Evaluation: embed the test set, rank it under every protocol, write scores and rankings.

`run` does all of it. `score` starts from embeddings, so that scoring can be repeated alone.
"""

import csv
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from cache.errors import KeyReIDError
from stages.config import StrictModel
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.bootstrap import intervals
from stages.reid.distances import Distance, Rows, distance_blocks, distance_rows
from stages.reid.embeddings import Embeddings
from stages.reid.metrics import Labels, RankCounter, RankingScores
from stages.reid.protocols import Protocol, gallery_of, protocols_for
from stages.reid.topk import nearest

log = logging.getLogger(__name__)
TABLE_RANKS = (1, 5, 10, 20)


class RerankConfig(StrictModel):
    """k-reciprocal re-ranking (Zhong et al., CVPR 2017)."""

    enabled: bool = Field(False, description="re-rank before scoring")
    k1: int = Field(20, ge=1, description="neighbours that may be reciprocal")
    k2: int = Field(6, ge=1, description="neighbours over which the encoding is averaged")
    weight: float = Field(0.3, ge=0, le=1, description="weight of the original distance, lambda in the paper")


class EvalConfig(StrictModel):
    """How the test set is embedded, ranked and scored."""

    batch_size: int = Field(16, ge=1, description="clips per batch; does not change the result")
    workers: int = Field(2, ge=0, description="reading processes; 0: read in the process itself")
    clip_stride: int | None = Field(None, ge=1, description="frames from clip to clip; default: clip length")
    clip_cap: int | None = Field(None, ge=1, description="at most so many clips per tracklet; default: all")
    camera: Literal["given", "unknown"] = Field("given", description="whether the network is told the camera")
    distance: Distance = Field("euclidean", description="euclidean, cosine, or visible (parts by visibility)")
    protocols: tuple[str, ...] = Field((), description="protocols by name; default: all of the data set")
    rerank: RerankConfig = Field(default_factory=RerankConfig, description="k-reciprocal re-ranking")
    bootstrap: int = Field(0, ge=0, le=100000, description="resamples for 95 % intervals; 0: none")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")
    top_k: int = Field(20, ge=1, le=1000, description="length of the written ranking lists")
    block: int = Field(256, ge=1, description="queries whose distances are held in memory at a time")


@dataclass(frozen=True)
class Ranking:
    """The first answers to every query, junk and the same person from the same camera left out.

    query: int64 [Q] rows of the embeddings. matches: int64 [Q, k] rows, -1 where there are no more.
    distances: float32 [Q, k]. right: bool [Q, k].
    """

    query: np.ndarray
    matches: np.ndarray
    distances: np.ndarray
    right: np.ndarray


def embed_dataset(model, batches: Iterable, dataset: Dataset, config: EvalConfig, **about) -> Embeddings:
    """Embed `dataset.test_tracklets()`, whose clips `batches` yields (`stages.reid.embed` says how)."""
    from stages.reid.embed import embed_tracklets

    tracklets = dataset.test_tracklets()
    features, visibility = embed_tracklets(model, batches, len(tracklets), config.camera)
    settings = getattr(model, "config", None)
    parts = visibility.shape[1] if settings is not None and not settings.global_only else 0
    width = global_width(settings, features.shape[1], parts)
    return pack(dataset, features, visibility if parts else None, parts, width, camera=config.camera, **about)


def global_width(settings, width: int, parts: int) -> int:
    """Columns of the global feature in a row [global D | parts x T*D] of the given width."""
    if not parts:
        return width
    if settings.local_only:
        return 0
    return width // (1 + parts * settings.clip_length)


def pack(
    dataset: Dataset,
    features: np.ndarray,
    visibility: np.ndarray | None = None,
    parts: int = 0,
    global_width: int = 0,
    **about,
) -> Embeddings:
    """Features of `dataset.test_tracklets()`, in that order, with everything that scoring needs."""
    tracklets = dataset.test_tracklets()
    row = {t.name: i for i, t in enumerate(tracklets)}
    if len(features) != len(tracklets):
        raise KeyReIDError(f"{len(features)} embeddings for {len(tracklets)} test tracklets; expected as many")

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


def rank_protocol(
    embeddings: Embeddings, protocol: Protocol, config: EvalConfig
) -> tuple[RankingScores, Ranking, int]:
    """Scores, first answers and gallery size under one protocol."""
    query = embeddings.query
    gallery = gallery_of(protocol, query, embeddings.gallery, embeddings.persons)
    persons, cameras = embeddings.persons, embeddings.cameras
    labels = Labels(persons[query], persons[gallery], cameras[query], cameras[gallery])
    counter = RankCounter(labels)
    places, values = [], []
    for first, block in distance_blocks(_rows(embeddings, query, gallery, config), query, config.block):
        counter.add(first, block)
        for row, distances in enumerate(block, start=first):
            found = nearest(distances, labels, row, config.top_k)
            places.append(found)
            values.append(distances[np.maximum(found, 0)])
    matches = np.array(places)
    rows = np.where(matches < 0, -1, gallery[matches])
    right = (rows >= 0) & (persons[rows] == persons[query][:, None])
    ranking = Ranking(query, rows, np.array(values, np.float32), right)
    return counter.scores(protocol.average_precision), ranking, len(gallery)


def _rows(embeddings: Embeddings, query: np.ndarray, gallery: np.ndarray, config: EvalConfig) -> Rows:
    if not config.rerank.enabled:
        return distance_rows(embeddings, gallery, config.distance)
    from stages.reid.rerank import reranked_rows

    settings = config.rerank
    return reranked_rows(
        embeddings, query, gallery, config.distance, settings.k1, settings.k2, settings.weight, config.block
    )


def score(embeddings: Embeddings, config: EvalConfig, folder: Path | None = None) -> dict:
    """Score under every protocol. With a folder: write metrics.json, queries.csv and ranking.json there.

    The first protocol is the headline: its ranking is written, its figures are in `line`.
    Raises KeyReIDError when no query has a right answer.
    """
    kept = bool(np.isin(embeddings.query, embeddings.gallery).any())
    protocols = protocols_for(kept, config.protocols)
    report = {
        **embeddings.about,
        "distance": config.distance,
        "rerank": config.rerank.model_dump() if config.rerank.enabled else None,
        "headline": protocols[0].name,
        "protocols": {},
    }
    details, ranking = [], None
    for protocol in protocols:
        scores, found, size = rank_protocol(embeddings, protocol, config)
        if not scores.num_valid:
            raise KeyReIDError(
                f"protocol {protocol.name}: none of {scores.num_queries} queries has a right answer from "
                "another camera in the gallery; check the labels with keyreid doctor"
            )
        ranking = ranking or found
        report["protocols"][protocol.name] = _figures(scores, protocol, size, config)
        details += [
            (protocol.name, embeddings.names[embeddings.query[q]], ap, inp, rank)
            for q, ap, inp, rank in zip(
                scores.valid.tolist(),
                scores.average_precision.tolist(),
                scores.inverse_penalty.tolist(),
                scores.first_rank.tolist(),
                strict=True,
            )
        ]
    report["line"] = headline(report)
    if folder is not None and ranking is not None:
        write_queries(folder / "queries.csv", details)
        write_ranking(folder / "ranking.json", embeddings, ranking)
        write_text(folder / "metrics.json", json.dumps(report, indent=1))
    return report


def run(model, batches: Iterable, dataset: Dataset, config: EvalConfig, folder: Path, **about) -> Path:
    """Embed, score, write. Returns the folder, which then holds embeddings.npz, queries.csv,
    ranking.json and, last, metrics.json.

    batches: the clips of `dataset.test_tracklets()`. about: checkpoint and whatever else names the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Never the scores of an earlier run beside new embeddings.
    (folder / "metrics.json").unlink(missing_ok=True)
    embeddings = embed_dataset(model, batches, dataset, config, **about)
    embeddings.save(folder / "embeddings.npz")
    report = score(embeddings, config, folder)
    log.info(report["line"])
    return folder


def _figures(scores: RankingScores, protocol: Protocol, size: int, config: EvalConfig) -> dict:
    figures = {
        "mAP": scores.mean_ap,
        **{f"rank{r}": float(scores.cmc[r - 1]) for r in TABLE_RANKS},
        "mINP": scores.mean_inp,
        "num_valid": scores.num_valid,
        "num_queries": scores.num_queries,
        "num_gallery": size,
        "average_precision": protocol.average_precision,
        "cmc": scores.cmc.tolist(),
    }
    if config.bootstrap:
        figures["interval95"] = intervals(scores, config.bootstrap, config.seed, TABLE_RANKS)
    return figures


def headline(report: dict) -> str:
    """One line that names protocol, checkpoint, split and number of valid queries."""
    name = report["headline"]
    figures = report["protocols"][name]
    split = report.get("split")
    return (
        f"{report.get('dataset', '?')}, split {'-' if split is None else split}, protocol {name}, "
        f"checkpoint {report.get('checkpoint') or '-'}: mAP {100 * figures['mAP']:.2f}, "
        f"Rank-1 {100 * figures['rank1']:.2f}, mINP {100 * figures['mINP']:.2f} "
        f"over {figures['num_valid']} valid of {figures['num_queries']} queries"
    )


def write_queries(path: Path, rows: list[tuple]) -> None:
    """Scores of every valid query: what `keyreid compare` tests."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("protocol", "query", "average_precision", "inverse_penalty", "first_rank"))
        writer.writerows((p, q, repr(ap), repr(inp), rank) for p, q, ap, inp, rank in rows)
    temporary.replace(path)


def write_ranking(path: Path, embeddings: Embeddings, ranking: Ranking) -> None:
    """The first answers to every query, by name."""
    lists = [
        {
            "query": str(embeddings.names[q]),
            "matches": [
                {"name": str(embeddings.names[m]), "distance": float(d), "right": bool(r)}
                for m, d, r in zip(matches, distances, right, strict=True)
                if m >= 0
            ],
        }
        for q, matches, distances, right in zip(
            ranking.query, ranking.matches, ranking.distances, ranking.right, strict=True
        )
    ]
    write_text(path, json.dumps(lists))


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then replace."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)
