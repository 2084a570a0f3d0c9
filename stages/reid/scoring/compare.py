"""The paired comparison of two runs from their per-query scores."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.text_files import load_table
from stages.reid.scoring.statistics import interval_by_person, permutation_by_person

COLUMNS = ("protocol", "query", "person", "average_precision", "inverse_penalty", "first_rank")
QUERIES = "queries.csv"


class QueryScore(NamedTuple):
    """The scores of one query."""

    person: int
    average_precision: float
    inverse_penalty: float
    first_rank: int


Queries = dict[str, dict[str, QueryScore]]  # protocol -> name of the query -> its scores


def write_queries(path: Path, rows: list[tuple]) -> None:
    """Scores of every valid query: rows of (protocol, query, person, AP, INP, first rank)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((p, q, who, repr(ap), repr(inp), rank) for p, q, who, ap, inp, rank in rows)
    write_whole(path, text.getvalue().encode())


def read_queries(path: Path) -> Queries:
    """Read queries.csv, or the one in a folder. Raises KeyReIDError naming file and line."""
    if path.is_dir():
        files = [path / QUERIES] if (path / QUERIES).is_file() else sorted(path.glob(f"*/{QUERIES}"))
        if len(files) != 1:
            how = "none" if not files else f"{len(files)} of them"
            raise KeyReIDError(f"{path}: expected one {QUERIES} in it, found {how}; name the file itself")
        path = files[0]
    if not path.is_file():
        raise KeyReIDError(f"{path}: no such file; expected a {QUERIES} that keyreid eval has written")
    queries: Queries = {}

    def add(row: dict[str, str]) -> None:
        protocol, name, person, ap, inp, rank = (row[column] for column in COLUMNS)
        values = QueryScore(int(person), float(ap), float(inp), int(rank))
        if not (0 <= values[1] <= 1 and 0 <= values[2] <= 1 and values[3] >= 1):
            raise ValueError("outside its range")
        if queries.setdefault(protocol, {}).setdefault(name, values) is not values:
            raise ValueError("query listed twice")

    load_table(path, add, COLUMNS, "run keyreid eval again")
    if not queries:
        raise KeyReIDError(f"{path}: holds no query; run keyreid eval again")
    return queries


def compare_queries(a: Queries, b: Queries, resamples: int = 10_000, seed: int = 0) -> dict:
    """For every protocol in both: differences b - a of mAP, mINP, Rank-1, Rank-5 over the shared queries.

    Each with a 95 % paired bootstrap interval over persons and the two-sided p-value of a paired permutation
    test by persons (see `stages.reid.scoring.statistics`). With one person there is no interval (None).
    Raises KeyReIDError when the runs share no query, or a query is of different persons in them.
    """
    compared = {}
    for protocol in (p for p in a if p in b):
        shared = sorted(a[protocol].keys() & b[protocol].keys())
        if not shared:
            continue
        ours, theirs = ([side[protocol][name] for name in shared] for side in (a, b))
        for name, one, other in zip(shared, ours, theirs, strict=True):
            if one.person != other.person:
                raise KeyReIDError(
                    f"query {name} is of person {one.person} in A and {other.person} in B; "
                    "expected two evaluations of the same data set"
                )
        persons = np.array([one.person for one in ours])
        left, right = _scores(ours), _scores(theirs)
        difference = np.stack(list(right.values())) - np.stack(list(left.values()))
        interval = interval_by_person(difference, persons, resamples, seed)
        p_values = permutation_by_person(difference, persons, resamples, seed)
        scores = {
            name: {
                "a": float(left[name].mean()),
                "b": float(right[name].mean()),
                "difference": float(difference[i].mean()),
                "interval95": interval[i].tolist() if np.ptp(persons) else None,
                "p": float(p_values[i]),
            }
            for i, name in enumerate(left)
        }
        compared[protocol] = {
            "queries": len(shared),
            "persons": len(np.unique(persons)),
            "only_a": len(a[protocol]) - len(shared),
            "only_b": len(b[protocol]) - len(shared),
            "scores": scores,
        }
    if not compared:
        raise KeyReIDError(
            f"the runs share no query: A has {_summary(a)}, B has {_summary(b)}; "
            "expected two evaluations of the same data set and protocol"
        )
    return compared


def _scores(values: list[QueryScore]) -> dict[str, np.ndarray]:
    _, ap, inp, first = np.array(values, np.float64).T
    return {"mAP": ap, "mINP": inp, "Rank-1": (first <= 1) * 1.0, "Rank-5": (first <= 5) * 1.0}


def _summary(queries: Queries) -> str:
    return ", ".join(f"{len(q)} of protocol {p}" for p, q in queries.items())
