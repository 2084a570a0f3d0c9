"""How sure the scores are: bootstrap intervals over queries, and the paired comparison of two runs."""

import numpy as np

from stages.reid.scoring.metrics import RankingScores

_CHUNK = 4_000_000  # resampled indices held at a time


def intervals(
    scores: RankingScores, resamples: int, seed: int = 0, ranks: tuple[int, ...] = (1, 5, 10, 20)
) -> dict[str, list[float]]:
    """95 % percentile intervals {score: [low, high]} from resampling the valid queries with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    table = {"mAP": scores.average_precision, "mINP": scores.inverse_penalty}
    table |= {f"rank{r}": (scores.first_rank <= r).astype(np.float64) for r in ranks}
    values = np.stack(list(table.values()))  # [scores, queries]
    low, high = np.percentile(resampled_means(values, resamples, seed), (2.5, 97.5), axis=1)
    return {name: [float(a), float(b)] for name, a, b in zip(table, low, high, strict=True)}


def resampled_means(values: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Means float64 [S, resamples] of the rows of values [S, n] over n draws with replacement.

    All rows share their draws, so differences between them are paired.
    """
    rng = np.random.default_rng(seed)
    count = values.shape[1]
    means = np.empty((len(values), resamples))
    chunk = max(1, _CHUNK // count)
    for first in range(0, resamples, chunk):
        last = min(first + chunk, resamples)
        drawn = rng.integers(0, count, (last - first, count))
        for row, row_values in enumerate(values):
            means[row, first:last] = row_values[drawn].mean(1)
    return means
