"""score_ranking against hand cases, a sort-based reference, and its own promises."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.reid.scoring.metrics import Labels, ranks_of, score_ranking


def reference(distances, qp, gp, qc, gc, rule):
    """One query at a time, by sorting: (AP, INP, first rank) of every valid query."""
    results = []
    for row, person, camera in zip(distances, qp, qc, strict=True):
        order = sorted(range(len(gp)), key=lambda j: (row[j], j))
        order = [j for j in order if gp[j] != -1]
        order = [j for j in order if not (gp[j] == person and camera is not None and gc[j] == camera)]
        hits = [r for r, j in enumerate(order, 1) if gp[j] == person]
        if not hits:
            continue
        total = 0.0
        for k, r in enumerate(hits, 1):
            now, before = k / r, ((k - 1) / (r - 1) if r > 1 else 1.0)
            total += now if rule == "rectangular" else (now + before) / 2
        results.append((total / len(hits), len(hits) / hits[-1], hits[0]))
    return results


@st.composite
def rankings(draw):
    queries, items = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    grid = st.integers(0, 4)  # few values: many ties
    distances = np.array(draw(st.lists(grid, min_size=queries * items, max_size=queries * items)), float)
    persons, cameras = st.integers(-1, 3), st.sampled_from([None, 1, 2])
    gallery = draw(st.lists(persons, min_size=items, max_size=items))
    gallery_cameras = draw(st.lists(cameras, min_size=items, max_size=items))
    query = draw(st.lists(st.integers(1, 3), min_size=queries, max_size=queries))
    query_cameras = draw(st.lists(cameras, min_size=queries, max_size=queries))
    return distances.reshape(queries, items), query, gallery, query_cameras, gallery_cameras


@given(rankings(), st.sampled_from(["rectangular", "trapezoid"]), st.sampled_from([0, 1, 100]))
@settings(max_examples=200, deadline=None)
def test_equals_a_sort_based_reference_with_ties_by_gallery_index(case, rule, sort_below):
    from stages.reid.scoring import metrics

    before, metrics._SORT_BELOW = metrics._SORT_BELOW, sort_below  # both ways of counting
    try:
        scores = score_ranking(*case, average_precision=rule)
    finally:
        metrics._SORT_BELOW = before
    expected = reference(*case, rule)
    assert scores.num_valid == len(expected)
    assert scores.num_queries == len(case[0])
    if expected:
        ap, inp, first = map(np.array, zip(*expected, strict=True))
        np.testing.assert_allclose(scores.average_precision, ap, rtol=0, atol=1e-12)
        np.testing.assert_allclose(scores.inverse_penalty, inp, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(scores.first_rank, first)
        np.testing.assert_allclose(scores.cmc, [(first <= r).mean() for r in range(1, 51)], atol=1e-12)
    else:
        assert np.isnan(scores.mean_ap)


@given(rankings(), st.randoms())
@settings(max_examples=50, deadline=None)
def test_scores_do_not_change_when_distances_grow_monotonically(case, random):
    distances, *labels = case
    np.testing.assert_equal(
        score_ranking(distances, *labels).cmc, score_ranking(np.exp(distances) * 3, *labels).cmc
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.float16])
def test_types_and_memory_order_do_not_matter(dtype):
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 9, (6, 40)).astype(dtype)
    labels = rng.integers(0, 3, 6), rng.integers(-1, 3, 40), rng.integers(0, 2, 6), rng.integers(0, 2, 40)
    expected = score_ranking(distances.astype(np.float64), *labels)
    assert score_ranking(np.asfortranarray(distances), *labels).mean_ap == expected.mean_ap


def test_infinite_distances_are_last_and_ties_among_them_go_by_index():
    inf = float("inf")
    scores = score_ranking([[inf, 1.0, inf]], [5], [4, 4, 5], [1], [2, 2, 2])
    assert scores.first_rank.tolist() == [3]


def test_unknown_cameras_ignore_nothing():
    both = score_ranking([[0.0, 1.0]], [5], [5, 5], [None], [None, None])
    assert both.mean_ap == 1.0 and both.mean_inp == 1.0
    known = score_ranking([[0.0, 1.0]], [5], [5, 4], [1], [1, 2])
    assert known.num_valid == 0
    assert score_ranking([[0.0, 1.0]], [5], [5, 4], [-1], [-1, 2]).num_valid == 1


def test_a_query_without_a_match_is_left_out_and_counted():
    scores = score_ranking(np.zeros((2, 1)), [5, 6], [5], [1, 1], [2])
    assert (scores.num_valid, scores.num_queries, scores.valid.tolist()) == (1, 2, [0])
    assert scores.mean_ap == 1.0


def test_cmc_has_at_least_twenty_ranks_padded_with_its_last_value():
    scores = score_ranking([[0.0, 1.0]], [5], [4, 5], [1], [2, 2], ranks=3)
    assert scores.cmc.tolist() == [0.0] + [1.0] * 19


@pytest.mark.parametrize(
    ("case", "word"),
    [
        (([[0.0, np.nan]], [1], [1, 2], [1], [2, 2]), "NaN"),
        ((np.zeros((1, 0)), [1], [], [1], []), "empty"),
        (([[0.0, 1.0]], [1], [1], [1], [2]), "shape"),
        (([[0.0, 1.0]], [1, 2], [1, 2], [1], [2, 2]), "query_persons"),
        (([[0.0, 1.0]], [1], [1, 2], [1], [2]), "gallery_persons"),
        (([0.0, 1.0], [1], [1, 2], [1], [2, 2]), "shape"),
        (([["a", "b"]], [1], [1, 2], [1], [2, 2]), "type"),
        (([[0.0, 1.0]], [1.5], [1, 2], [1], [2, 2]), "whole numbers"),
    ],
)
def test_what_cannot_be_scored_is_an_error_that_says_why(case, word):
    with pytest.raises(KeyReIDError, match=word):
        score_ranking(*case)


def test_unknown_rule_is_an_error():
    with pytest.raises(KeyReIDError, match="trapezoid"):
        score_ranking([[0.0]], [1], [1], [1], [2], average_precision="square")


# ---- golden values (real data folder) ----


@pytest.fixture(scope="module")
def golden(real_data):
    return json.loads((real_data / "eval" / "golden.json").read_text())


def test_golden_patterns_of_hits(golden):
    for case in golden["patterns5"]:
        persons = [1 if r in case["hits_at_rank"] else 2 for r in range(1, 6)]
        for rule, key in (("rectangular", "ap_rect"), ("trapezoid", "ap_trapezoid_mars")):
            scores = score_ranking([[1, 2, 3, 4, 5]], [1], persons, [1], [2] * 5, average_precision=rule)
            assert scores.mean_ap == pytest.approx(case[key], abs=1e-9)
            np.testing.assert_allclose(scores.cmc[:5], case["cmc"], atol=1e-9)


@pytest.mark.parametrize("name", ["only_distmat", "duplicate_ids", "duplicate_cams"])
def test_golden_hand_cases(golden, name):
    case = golden[f"openreid_{name}"]
    labels = case["q_pids"], case["g_pids"], case["q_cams"], case["g_cams"]
    for rule, key in (("rectangular", "mAP_rect"), ("trapezoid", "mAP_trapezoid_mars")):
        scores = score_ranking(case["dist"], *labels, average_precision=rule)
        assert scores.mean_ap == pytest.approx(case[key], abs=1e-9)
        assert scores.num_valid == case["num_valid"]
        np.testing.assert_allclose(scores.cmc[: len(case["cmc"])], case["cmc"], atol=1e-9)


def test_golden_junk_is_ignored_and_distractors_stay(golden):
    """The file's rectangular figures of this case count junk as a wrong answer: relabelled, they come out."""
    case = golden["junk_distractor"]
    labels = case["q_pids"], case["g_pids"], case["q_cams"], case["g_cams"]
    mars = score_ranking(case["dist"], *labels, average_precision="trapezoid")
    assert mars.mean_ap == pytest.approx(case["mAP_trapezoid_mars"], abs=1e-9)
    assert mars.num_valid == case["num_valid"]
    np.testing.assert_allclose(mars.cmc[:6], case["cmc_mars"], atol=1e-9)
    assert score_ranking(case["dist"], *labels).mean_ap == pytest.approx((0.5 + 0.25) / 2, abs=1e-9)
    wrong = [0 if p == -1 else p for p in case["g_pids"]]
    kept = score_ranking(case["dist"], labels[0], wrong, *labels[2:])
    assert kept.mean_ap == pytest.approx(case["mAP_rect"], abs=1e-9)
    np.testing.assert_allclose(kept.cmc[:6], case["cmc"], atol=1e-9)


def test_ranks_of_does_not_touch_its_row():
    row = np.array([3.0, 1.0, 2.0, 1.0])
    labels = Labels([7], [7, 7, 8, 7], [1], [2, 2, 2, 1])
    right, ignored = labels.split(0)
    assert ranks_of(row, right, ignored).tolist() == [1, 3]
    assert row.tolist() == [3.0, 1.0, 2.0, 1.0]
