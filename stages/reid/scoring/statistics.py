"""How sure the scores are, with persons as the unit: queries of one person are not independent.

Whatever makes a person easy or hard for a network acts on all queries of that person. Resampling queries one
by one counts that as that many independent observations: intervals come out too narrow, p-values too small.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from stages.reid.scoring.metrics import RankingScores

_CHUNK = 2_000_000  # random numbers held at a time


def intervals(
    scores: RankingScores, resamples: int, seed: int = 0, ranks: tuple[int, ...] = (1, 5, 10, 20)
) -> dict[str, list[float]]:
    """95 % intervals {score: [low, high]} of mAP, mINP and rank-k, by persons."""
    table = {"mAP": scores.average_precision, "mINP": scores.inverse_penalty}
    table |= {f"rank{r}": (scores.first_rank <= r).astype(np.float64) for r in ranks}
    intervals = interval_by_person(np.stack(list(table.values())), scores.persons, resamples, seed)
    return dict(zip(table, intervals.tolist(), strict=True))


def interval_by_person(
    values: np.ndarray, persons: np.ndarray, resamples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """95 % bootstrap intervals float64 [S, 2] of the means of values [S, n], persons drawn with replacement.

    persons: [n], whose query each column is; a person is drawn with all of her queries. All rows share their
    draws. With P persons the percentiles are those at which a normal mean's interval is as wide as Student's
    with P - 1 degrees of freedom, as plain ones are too narrow for few persons (Hesterberg, "What Teachers
    Should Know About the Bootstrap", The American Statistician 69, 2015, section 5.3). One person: NaN.
    """
    sums, sizes = _per_person(values, persons)
    people = len(sizes)
    if people < 2:
        return np.full((len(sums), 2), np.nan)
    means = np.empty((len(sums), resamples))
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // people)
    for first in range(0, resamples, step):
        last = min(first + step, resamples)
        drawn = rng.integers(0, people, (last - first, people))
        number = sizes[drawn].sum(1)
        for row, own in enumerate(sums):
            means[row, first:last] = own[drawn].sum(1) / number
    beyond = stats.norm.cdf(-np.sqrt(people / (people - 1)) * stats.t.ppf(0.975, people - 1))
    return np.percentile(means, (100 * beyond, 100 - 100 * beyond), axis=1).T


def permutation_by_person(
    differences: np.ndarray, persons: np.ndarray, resamples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Two-sided p-values float64 [S] of "the rows of differences [S, n] have mean zero".

    Random sign flips; the differences of one person's queries flip together (Good, "Permutation, Parametric
    and Bootstrap Tests of Hypotheses", 2005). persons: [n], whose query each column is. With P persons no
    p-value is below 2^(1 - P).
    """
    sums, _ = _per_person(differences, persons)
    people = sums.shape[1]
    observed = np.abs(sums.sum(1))
    tolerance = 1e-12 * np.abs(sums).sum(1)
    beyond = np.zeros(len(sums))
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // people)
    for first in range(0, resamples, step):
        signs = rng.integers(0, 2, (min(step, resamples - first), people), dtype=np.int8) * 2.0 - 1
        beyond += (np.abs(signs @ sums.T) >= observed - tolerance).sum(0)
    return (1 + beyond) / (1 + resamples)


@dataclass(frozen=True)
class Mixed:
    """A mean difference with both sources of chance in it: difference, 95 % interval, two-sided p-value."""

    difference: float
    interval95: tuple[float, float]
    p: float


def difference_over_seeds(differences: np.ndarray, persons: np.ndarray) -> Mixed:
    """The mean of differences [seeds, n], where both seeds and persons are drawn from more of their kind.

    A training with another seed would give another network, and another test set would show other persons.
    The two-way table seeds x persons has mean squares MS_s, MS_p and MS_sp (interaction); the variance of its
    mean is estimated by (MS_s + MS_p - MS_sp) / (S P), at least the larger of MS_s and MS_p over S P, with
    Satterthwaite's degrees of freedom, as in studies with several readers and cases (Dorfman, Berbaum, Metz,
    Investigative Radiology 27, 1992; Hillis, Statistics in Medicine 26, 2007).
    persons: [n], whose query each column is; every person counts by the number of her queries.
    With one seed the variance is that between persons alone. One person: NaN.
    """
    sums, sizes = _per_person(differences, persons)
    weight = sizes / sizes.mean()
    table = sums / sizes.mean()  # its mean is the mean over queries
    seeds, people = table.shape
    mean = float(table.mean())
    if people < 2:
        return Mixed(mean, (np.nan, np.nan), np.nan)
    rest = table - mean * weight  # a person with more queries is expected to have more
    by_seed, by_person = rest.mean(1), rest.mean(0)
    ms_person = seeds * (by_person**2).sum() / (people - 1)
    ms_seed = ms_both = 0.0
    degrees = people - 1.0
    square = ms_person
    if seeds > 1:
        ms_seed = people * (by_seed**2).sum() / (seeds - 1)
        inner = rest - by_seed[:, None] * weight - by_person
        ms_both = (inner**2).sum() / ((seeds - 1) * (people - 1))
        square = max(ms_seed + ms_person - ms_both, ms_seed, ms_person)
        if square > 0:
            inner_degrees = (seeds - 1) * (people - 1)
            terms = ms_seed**2 / (seeds - 1), ms_person**2 / (people - 1), ms_both**2 / inner_degrees
            degrees = square**2 / sum(terms)
    error = np.sqrt(square / (seeds * people))
    if error == 0:
        return Mixed(mean, (mean, mean), float(mean == 0))
    half = float(stats.t.ppf(0.975, degrees) * error)
    return Mixed(mean, (mean - half, mean + half), float(2 * stats.t.sf(abs(mean) / error, degrees)))


def _per_person(values: np.ndarray, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums [S, P] of values [S, n] over each person's queries, and their number [P]."""
    _, number = np.unique(persons, return_inverse=True)
    sizes = np.bincount(number).astype(np.float64)
    return np.stack([np.bincount(number, row, len(sizes)) for row in np.atleast_2d(values)]), sizes
