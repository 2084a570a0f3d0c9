"""A test set's scores under every protocol, as a report and as files."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole
from stages.reid.scoring.compare import QUERIES, write_queries
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.protocols import Protocol, places_of, protocols_for
from stages.reid.scoring.ranking import rank_protocols, write_ranking
from stages.reid.scoring.tables import figures, headline

METRICS, RANKING = "metrics.json", "ranking.json"
FILES = (QUERIES, RANKING)  # beside METRICS
log = logging.getLogger(__name__)


def score(test: TestSet, config: EvalConfig, folder: Path | None = None) -> dict[str, Any]:
    """Score under every protocol. With a folder: write metrics.json, queries.csv and ranking.json there.

    The first protocol is the headline: its ranking is written, its figures are in `line`.
    Raises KeyReIDError when no query has a right answer.
    """
    if folder is not None:
        make_folder(folder)
        (folder / METRICS).unlink(missing_ok=True)  # written last: it stands for the whole
    kept = bool(np.isin(test.query, test.gallery).any())
    protocols = protocols_for(kept, config.protocols, test.about.get("dataset"))
    if not config.protocols:  # not asked for by name: those after the first are extra
        protocols = protocols[:1] + tuple(p for p in protocols[1:] if _answerable(test, p))
    report = {
        **test.about,
        "checkpoint": test.about.get("checkpoint", {}).get("path"),
        "distance": config.distance,
        "rerank": config.rerank.model_dump() if config.rerank.enabled else None,
        "headline": protocols[0].name,
        "protocols": {},
    }
    queries = []
    ranked = rank_protocols(test, protocols, config)
    for protocol, (scores, _, size) in zip(protocols, ranked, strict=True):
        if not scores.num_valid:
            raise KeyReIDError(
                f"protocol {protocol.name}: none of {scores.num_queries} queries has a right answer from "
                "another camera in the gallery; check the labels with keyreid doctor"
            )
        report["protocols"][protocol.name] = figures(scores, protocol, size, config.bootstrap, config.seed)
        columns = (scores.persons, scores.average_precision, scores.inverse_penalty, scores.first_rank)
        names = test.names[test.query[scores.valid]].tolist()
        queries += zip([protocol.name] * len(names), names, *(c.tolist() for c in columns), strict=True)
    report["line"] = headline(report)
    log.info(report["line"])
    if folder is not None:
        write_queries(folder / QUERIES, queries)
        write_ranking(folder / RANKING, test, ranked[0][1])
        write_whole(folder / METRICS, json.dumps(report, indent=1).encode())
    return report


def _answerable(test: TestSet, protocol: Protocol) -> bool:
    """Whether any query has a right answer; with one tracklet a camera, queries-dropped leaves none."""
    persons, cameras = test.persons, test.cameras
    seen: dict[int, set[int]] = {}
    for row in test.gallery[places_of(protocol, test.query, test.gallery, persons)]:
        seen.setdefault(int(persons[row]), set()).add(int(cameras[row]))
    for row in test.query:
        others = seen.get(int(persons[row]), set())
        if -1 in others or others - {int(cameras[row])}:
            return True
    log.warning("protocol %s is left out: no query has a right answer under it", protocol.name)
    return False
