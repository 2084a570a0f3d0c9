"""The paired comparison of two runs from their per-query scores."""

import csv
import io
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import write_whole
from stages.reid.scoring.bootstrap import resampled_means

COLUMNS = ("protocol", "query", "average_precision", "inverse_penalty", "first_rank")
QUERIES = "queries.csv"
_CHUNK = 2_000_000  # random signs held at a time

# protocol -> query name -> (average precision, inverse negative penalty, first rank)
Queries = dict[str, dict[str, tuple[float, float, int]]]


def write_queries(path: Path, rows: list[tuple]) -> None:
    """Scores of every valid query: rows of (protocol, query, AP, INP, first rank)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((p, q, repr(ap), repr(inp), rank) for p, q, ap, inp, rank in rows)
    write_whole(path, text.getvalue().encode())


def read_queries(path: Path) -> Queries:
    """Read queries.csv, or the one in a folder. Raises KeyReIDError naming file and line."""
    if path.is_dir():
        found = [path / QUERIES] if (path / QUERIES).is_file() else sorted(path.glob(f"*/{QUERIES}"))
        if len(found) != 1:
            how = "none" if not found else f"{len(found)} of them"
            raise KeyReIDError(f"{path}: expected one {QUERIES} in it, found {how}; name the file itself")
        path = found[0]
    if not path.is_file():
        raise KeyReIDError(f"{path}: no such file; expected a {QUERIES} that keyreid eval has written")
    queries: Queries = {}
    line = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            if tuple(next(reader, ())) != COLUMNS:
                raise KeyReIDError(f"{path}, line 1: expected the columns {','.join(COLUMNS)}")
            for row in reader:
                line = reader.line_num
                protocol, name, ap, inp, rank = row
                values = float(ap), float(inp), int(rank)
                if not (0 <= values[0] <= 1 and 0 <= values[1] <= 1 and values[2] >= 1):
                    raise ValueError("outside its range")
                if queries.setdefault(protocol, {}).setdefault(name, values) is not values:
                    raise ValueError("query listed twice")
    except (ValueError, csv.Error, OSError) as error:
        where = f"{path}, line {line}"
        raise KeyReIDError(f"{where}: not per-query scores ({error}); run keyreid eval again") from error
    if not queries:
        raise KeyReIDError(f"{path}: holds no query; run keyreid eval again")
    return queries


def compare_queries(a: Queries, b: Queries, resamples: int = 10_000, seed: int = 0) -> dict:
    """For every protocol in both: differences b - a of mAP, mINP, Rank-1, Rank-5 over the shared queries.

    Each with a 95 % paired bootstrap interval and the two-sided p-value of a paired permutation test
    (random sign flips of the per-query differences; Good, "Permutation, Parametric and Bootstrap
    Tests of Hypotheses", 2005). Raises KeyReIDError when the runs share no query.
    """
    results = {}
    for protocol in (p for p in a if p in b):
        shared = sorted(a[protocol].keys() & b[protocol].keys())
        if not shared:
            continue
        left = _scores([a[protocol][q] for q in shared])
        right = _scores([b[protocol][q] for q in shared])
        difference = np.stack(list(right.values())) - np.stack(list(left.values()))
        interval = np.percentile(resampled_means(difference, resamples, seed), (2.5, 97.5), axis=1)
        p_values = permutation_test(difference, resamples, seed)
        scores = {
            name: {
                "a": float(left[name].mean()),
                "b": float(right[name].mean()),
                "difference": float(difference[i].mean()),
                "interval95": [float(interval[0, i]), float(interval[1, i])],
                "p": float(p_values[i]),
            }
            for i, name in enumerate(left)
        }
        results[protocol] = {
            "queries": len(shared),
            "only_a": len(a[protocol]) - len(shared),
            "only_b": len(b[protocol]) - len(shared),
            "scores": scores,
        }
    if not results:
        raise KeyReIDError(
            f"the runs share no query: A has {_summary(a)}, B has {_summary(b)}; "
            "expected two evaluations of the same data set and protocol"
        )
    return results


def permutation_test(differences: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Two-sided p-values float64 [S] of "the rows of differences [S, n] have mean zero"."""
    rng = np.random.default_rng(seed)
    observed = np.abs(differences.mean(1))
    count = differences.shape[1]
    beyond = np.zeros(len(differences))
    for first in range(0, resamples, max(1, _CHUNK // count)):
        number = min(max(1, _CHUNK // count), resamples - first)
        signs = rng.integers(0, 2, (number, count), dtype=np.int8) * 2.0 - 1
        means = np.abs(signs @ differences.T) / count
        beyond += (means >= observed - 1e-12).sum(0)
    return (1 + beyond) / (1 + resamples)


def _scores(values: list[tuple[float, float, int]]) -> dict[str, np.ndarray]:
    ap, inp, first = np.array(values, np.float64).T
    return {"mAP": ap, "mINP": inp, "Rank-1": (first <= 1) * 1.0, "Rank-5": (first <= 5) * 1.0}


def _summary(queries: Queries) -> str:
    return ", ".join(f"{len(q)} of protocol {p}" for p, q in queries.items())
