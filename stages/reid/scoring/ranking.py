"""The ranking of a gallery for every query: scores and first answers, block by block."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import write_whole
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.distances import distance_blocks, distance_rows, smallest
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.metrics import Labels, RankCounter, RankingScores
from stages.reid.scoring.protocols import Protocol, places_of


@dataclass(frozen=True)
class Ranking:
    """The first answers to every query, nearest first, as rows of the embeddings.

    query: int64 [Q]. matches: int64 [Q, k], -1 where there are no more. distances: float32 [Q, k], infinity
    there.
    """

    query: np.ndarray
    matches: np.ndarray
    distances: np.ndarray

    def right(self, persons: np.ndarray) -> np.ndarray:
        """Whether an answer is the query's person: bool [Q, k]. persons: int64 [N], of the test."""
        return (self.matches >= 0) & (persons[self.matches] == persons[self.query][:, None])


class _Ranker:
    """One protocol, fed with blocks of distances to all gallery rows."""

    def __init__(self, test: TestSet, protocol: Protocol, top_k: int):
        persons, cameras, query = test.persons, test.cameras, test.query
        self.test, self.protocol, self.top_k = test, protocol, top_k
        self.places = places_of(protocol, query, test.gallery, persons)
        if not len(self.places):
            raise KeyReIDError(f"protocol {protocol.name}: no tracklet is left in the gallery; use another")
        self.gallery = test.gallery[self.places]
        self.whole = len(self.places) == len(test.gallery)
        itself = np.isin(query, self.gallery) & (cameras[query] < 0)
        if itself.any():
            name = test.names[query[int(np.argmax(itself))]]
            raise KeyReIDError(
                f"protocol {protocol.name}: query {name} is in the gallery and its camera is unknown, so it "
                "would find itself; use protocol queries-dropped"
            )
        self.labels = Labels(persons[query], persons[self.gallery], cameras[query], cameras[self.gallery])
        self.counter = RankCounter(self.labels)
        self.matches: list[np.ndarray] = []
        self.distances: list[np.ndarray] = []

    def add(self, first: int, block: np.ndarray) -> None:
        """block: distances float32 [b, G] of the queries first..first+b-1 to `test.gallery`."""
        block = block if self.whole else block[:, self.places]
        self.counter.add(first, block)
        for row, distances in enumerate(block, start=first):
            answers = nearest(distances, self.labels, row, self.top_k)
            self.matches.append(answers)
            self.distances.append(distances[answers])

    def result(self) -> tuple[RankingScores, Ranking, int]:
        matches = np.array(self.matches)
        rows = np.where(matches < 0, -1, self.gallery[matches])
        distances = np.where(matches < 0, np.inf, np.array(self.distances, np.float32))
        ranking = Ranking(self.test.query, rows, distances)
        return self.counter.scores(self.protocol.average_precision), ranking, len(self.gallery)


def nearest(row: np.ndarray, labels: Labels, query: int, k: int) -> np.ndarray:
    """The first k answers to a query: gallery positions int64 [k], -1 where there are no more.

    row: distances [G]. Junk and the query's person from the query's camera are left out.
    """
    kept = row if labels.all_kept else row[labels.kept]
    _, ignored = labels.split(query)
    places = smallest(kept, k + len(ignored))
    if len(ignored):
        places = places[~np.isin(places, ignored)]
    places = labels.kept[places[:k]]
    return np.pad(places, (0, k - len(places)), constant_values=-1)


def rank_protocols(
    test: TestSet, protocols: Sequence[Protocol], config: EvalConfig
) -> list[tuple[RankingScores, Ranking, int]]:
    """Scores, first answers and gallery size under each protocol.

    Distances are computed once for all protocols, `config.block` queries at a time; re-ranked ones depend on
    the gallery and are made for each. Raises KeyReIDError when a query of unknown camera is itself in the
    gallery, for nothing would keep it from finding itself.
    """
    rankers = [_Ranker(test, protocol, config.top_k) for protocol in protocols]
    query = test.query
    if not config.rerank.enabled:
        rows = distance_rows(test, test.gallery, config.distance)
        for first, block in distance_blocks(rows, query, config.block):
            for ranker in rankers:
                ranker.add(first, block)
        return [ranker.result() for ranker in rankers]
    from stages.reid.scoring.rerank import reranked_rows

    k1, k2, weight = config.rerank.k1, config.rerank.k2, config.rerank.weight
    for ranker in rankers:
        rows = reranked_rows(test, query, ranker.gallery, config.distance, k1, k2, weight, config.block)
        ranker.whole = True  # the rows below hold this protocol's gallery only
        for first, block in distance_blocks(rows, query, config.block):
            ranker.add(first, block)
    return [ranker.result() for ranker in rankers]


def write_ranking(path: Path, test: TestSet, ranking: Ranking) -> None:
    """The first answers to every query, by name: [{query, matches: [{name, distance, right}]}]."""
    columns = (ranking.query, ranking.matches, ranking.distances, ranking.right(test.persons))
    lists = [
        {
            "query": str(test.names[query]),
            "matches": [
                {"name": str(test.names[m]), "distance": float(d), "right": bool(r)}
                for m, d, r in zip(matches, distances, right, strict=True)
                if m >= 0
            ],
        }
        for query, matches, distances, right in zip(*columns, strict=True)
    ]
    write_whole(path, json.dumps(lists).encode())
