"""The ranking of a gallery for every query: scores and first answers, block by block."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.distances import Rows, distance_blocks, distance_rows
from stages.reid.embeddings import Embeddings
from stages.reid.eval_config import EvalConfig
from stages.reid.metrics import Labels, RankCounter, RankingScores
from stages.reid.protocols import Protocol, gallery_of
from stages.reid.topk import nearest


@dataclass(frozen=True)
class Ranking:
    """The first answers to every query; junk and the same person from the same camera are left out.

    query: int64 [Q] rows of the embeddings. matches: int64 [Q, k] rows, -1 where there are no more.
    distances: float32 [Q, k]. right: bool [Q, k], whether the person is the query's.
    """

    query: np.ndarray
    matches: np.ndarray
    distances: np.ndarray
    right: np.ndarray


def rank_protocol(
    embeddings: Embeddings, protocol: Protocol, config: EvalConfig
) -> tuple[RankingScores, Ranking, int]:
    """Scores, first answers and gallery size under one protocol.

    Holds `config.block` rows of distances at a time. Raises KeyReIDError when a query of unknown camera is
    itself in the gallery, for nothing would keep it from finding itself.
    """
    persons, cameras, query = embeddings.persons, embeddings.cameras, embeddings.query
    gallery = gallery_of(protocol, query, embeddings.gallery, persons)
    itself = np.isin(query, gallery) & (cameras[query] < 0)
    if itself.any():
        name = embeddings.names[query[int(np.argmax(itself))]]
        raise KeyReIDError(
            f"protocol {protocol.name}: query {name} is in the gallery and its camera is unknown, so it "
            "would find itself; use protocol queries-dropped"
        )
    labels = Labels(persons[query], persons[gallery], cameras[query], cameras[gallery])
    counter = RankCounter(labels)
    places, values = [], []
    for first, block in distance_blocks(_rows(embeddings, query, gallery, config), query, config.block):
        counter.add(first, block)
        for row, distances in enumerate(block, start=first):
            found = nearest(distances, labels, row, config.top_k)
            places.append(found)
            values.append(distances[found])
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


def write_ranking(path: Path, embeddings: Embeddings, ranking: Ranking) -> None:
    """The first answers to every query, by name: [{query, matches: [{name, distance, right}]}]."""
    columns = (ranking.query, ranking.matches, ranking.distances, ranking.right)
    lists = [
        {
            "query": str(embeddings.names[query]),
            "matches": [
                {"name": str(embeddings.names[m]), "distance": float(d), "right": bool(r)}
                for m, d, r in zip(matches, distances, right, strict=True)
                if m >= 0
            ],
        }
        for query, matches, distances, right in zip(*columns, strict=True)
    ]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(lists))
    temporary.replace(path)
