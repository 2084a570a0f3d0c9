"""Intervals and tests by persons: what they promise, tried on simulated test sets."""

import numpy as np
import pytest

from stages.reid.scoring.statistics import (
    difference_over_seeds,
    interval_by_person,
    permutation_by_person,
)

PERSONS, QUERIES, TRIALS = 32, 4, 800
WHO = np.repeat(np.arange(PERSONS), QUERIES)


def equal_networks(rng: np.random.Generator, seeds: int = 1, by_seed: float = 0.0) -> np.ndarray:
    """Differences in AP [seeds, n] of equally good networks: by persons, queries and trainings."""
    person = rng.normal(0, 0.05, (seeds, PERSONS))[:, WHO]
    return rng.normal(0, by_seed, (seeds, 1)) + person + rng.normal(0, 0.05, (seeds, len(WHO)))


def test_equal_networks_are_called_different_in_3_to_7_of_100_pairs_and_by_queries_in_far_more():
    trials = np.concatenate([equal_networks(np.random.default_rng(i)) for i in range(TRIALS)])
    by_person = permutation_by_person(trials, WHO, 999)
    assert 0.03 <= (by_person < 0.05).mean() <= 0.07
    by_query = permutation_by_person(trials, np.arange(len(WHO)), 999)
    assert (by_query < 0.05).mean() > 0.15


def test_intervals_hold_the_truth_in_93_to_97_of_100_test_sets_and_by_queries_in_far_fewer():
    rng = np.random.default_rng(0)
    odds = rng.normal(-0.2, 1.2, (TRIALS, PERSONS))[:, WHO] + rng.normal(0, 1, (TRIALS, len(WHO)))
    ap = 1 / (1 + np.exp(-odds))
    many = 1 / (1 + np.exp(-rng.normal(-0.2, np.hypot(1.2, 1), 10**6)))
    for values, truth in ((ap, many.mean()), ((ap > 0.6) * 1.0, (many > 0.6).mean())):
        low, high = interval_by_person(values, WHO, 999).T
        assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97
    low, high = interval_by_person(ap, np.arange(len(WHO)), 999).T
    assert ((low <= many.mean()) & (many.mean() <= high)).mean() < 0.85


def test_over_seeds_and_persons_equal_recipes_differ_in_at_most_7_of_100_and_by_persons_alone_in_more():
    rng = np.random.default_rng(3)
    trials = [equal_networks(rng, seeds=5, by_seed=0.03) for _ in range(TRIALS)]
    p = np.array([difference_over_seeds(trial, WHO).p for trial in trials])
    assert 0.03 <= (p < 0.05).mean() <= 0.07
    alone = np.array([difference_over_seeds(trial.mean(0, keepdims=True), WHO).p for trial in trials])
    assert (alone < 0.05).mean() > 0.15


def test_p_value_of_a_small_case_is_that_of_all_sign_flips():
    differences = np.array([0.3, 0.1, 0.2, -0.05])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    found = permutation_by_person(np.repeat(differences, 3), np.repeat(np.arange(4), 3), 20_000)
    assert found[0] == pytest.approx(exact, abs=0.02)


def test_one_seed_gives_students_interval_over_persons():
    from scipy import stats

    values = np.random.default_rng(4).normal(0.1, 0.2, 9)
    found = difference_over_seeds(values[None], np.arange(9))
    known = stats.ttest_1samp(values, 0)
    assert found.difference == pytest.approx(values.mean()) and found.p == pytest.approx(known.pvalue)
    assert found.interval95 == pytest.approx(tuple(known.confidence_interval()))


def test_one_person_has_no_interval_and_equal_scores_have_p_one():
    assert np.isnan(interval_by_person(np.ones(3), np.zeros(3))).all()
    assert np.isnan(difference_over_seeds(np.ones((2, 3)), np.zeros(3)).p)
    assert permutation_by_person(np.zeros(6), np.arange(6), 99)[0] == 1
    assert difference_over_seeds(np.zeros((2, 6)), np.arange(6)).p == 1
