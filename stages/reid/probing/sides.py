"""Scores of changed embeddings against unchanged ones: the queries alone changed, or both sides."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.metrics import RankingScores
from stages.reid.scoring.protocols import Protocol, gallery_of
from stages.reid.scoring.ranking import rank_protocols
from stages.reid.scoring.statistics import interval_by_person, permutation_by_person

SCORES = ("mAP", "rank1")


def queries_changed(plain: TestSet, changed: TestSet, protocol: Protocol) -> TestSet:
    """Queries with their changed features, the gallery of the protocol with its plain ones."""
    count = len(plain.features)

    def both(name: str) -> np.ndarray | None:
        one, other = getattr(plain, name), getattr(changed, name)
        return None if one is None or other is None else np.concatenate([one, other])

    columns = {name: both(name) for name in ("features", "names", "persons", "cameras", "visibility")}
    gallery = gallery_of(protocol, plain.query, plain.gallery, plain.persons)
    return replace(plain, **columns, query=plain.query + count, gallery=gallery)


def score_queries(embeddings: TestSet, protocol: Protocol, config: EvalConfig) -> RankingScores:
    """Scores of every query under one protocol."""
    [(scores, _, _)] = rank_protocols(embeddings, [protocol], config)
    return scores


def score_changed_queries(
    plain: TestSet, changed: TestSet, protocol: Protocol, config: EvalConfig
) -> RankingScores:
    """As `score_queries`, with the queries alone changed."""
    whole = replace(protocol, junk=True, queries=True)  # the gallery is already the protocol's
    return score_queries(queries_changed(plain, changed, protocol), whole, config)


def values_of(scores: RankingScores) -> dict[str, np.ndarray]:
    """AP and "right person first" of the valid queries, in percent."""
    return {"mAP": 100 * scores.average_precision, "rank1": 100.0 * (scores.first_rank == 1)}


def change(
    plain: RankingScores, changed: RankingScores, halves: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, dict[str, dict]]:
    """half -> score -> value and its change with interval and p-value by persons, in percent.

    halves: name -> bool [num_valid], which of the valid queries. Both score the same queries.
    """
    before, after = values_of(plain), values_of(changed)
    changes: dict[str, dict[str, dict]] = {}
    for half, mask in halves.items():
        differences = np.stack([after[s][mask] - before[s][mask] for s in SCORES])
        persons = plain.persons[mask]
        intervals = interval_by_person(differences, persons, resamples, seed)
        p_values = permutation_by_person(differences, persons, resamples, seed)
        changes[half] = {
            score: {
                "value": float(after[score][mask].mean()),
                "change": float(differences[row].mean()),
                "interval95": intervals[row].tolist() if np.ptp(persons) else None,
                "p": float(p_values[row]),
            }
            for row, score in enumerate(SCORES)
        }
    return changes
