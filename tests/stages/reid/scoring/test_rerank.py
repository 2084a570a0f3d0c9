"""Block-wise k-reciprocal re-ranking equals a plain one that holds whole matrices."""

import numpy as np
import pytest

from stages.reid.scoring.distances import distance_rows
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.rerank import reranked_rows


def plain(distance, num_query, k1, k2, weight):
    """The paper's method on a full symmetric matrix [N, N], written as its equations read."""
    n = len(distance)
    d = distance / distance.max(1, keepdims=True)
    rank = np.argsort(distance, axis=1, kind="stable")
    half = int(np.around(k1 / 2))

    def reciprocal(i, k):
        return {j for j in rank[i, : k + 1] if i in rank[j, : k + 1]}

    v = np.zeros((n, n))
    for i in range(n):
        base = reciprocal(i, k1)
        expanded = set(base)
        for j in base:
            other = reciprocal(j, half)
            if len(other & base) > 2 / 3 * len(other):
                expanded |= other
        for j in expanded:
            v[i, j] = np.exp(-d[i, j])
        v[i] /= v[i].sum()
    if k2 > 1:
        v = np.stack([v[rank[i, :k2]].mean(0) for i in range(n)])
    jaccard = np.array(
        [
            [1 - np.minimum(v[i], v[j]).sum() / np.maximum(v[i], v[j]).sum() for j in range(num_query, n)]
            for i in range(num_query)
        ]
    )
    return (1 - weight) * jaccard + weight * d[:num_query, num_query:]


def make(num_query=9, num_gallery=41, width=12, seed=0):
    rng = np.random.default_rng(seed)
    persons = rng.integers(0, 6, num_query + num_gallery)
    features = rng.normal(size=(6, width))[persons] + 0.8 * rng.normal(size=(len(persons), width))
    return TestSet(
        features=features.astype(np.float32),
        names=np.array([str(i) for i in range(len(persons))]),
        persons=persons,
        cameras=np.zeros(len(persons), np.int64),
        query=np.arange(num_query),
        gallery=np.arange(num_query, len(persons)),
    )


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (3, 2, 1.0), (200, 60, 0.5)])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_equals_the_plain_method_to_1e_6_for_any_block(k1, k2, weight, distance, block):
    data = make()
    items = np.concatenate([data.query, data.gallery])
    full = distance_rows(data, items, distance)(items).astype(np.float64)
    expected = plain(full, len(data.query), k1, k2, weight)
    rows = reranked_rows(data, data.query, data.gallery, distance, k1, k2, weight, block)
    found = np.concatenate([rows(data.query[i : i + 4]) for i in range(0, len(data.query), 4)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_queries_that_are_in_the_gallery_too_are_allowed():
    data = make()
    gallery = np.arange(len(data.names))
    items = np.concatenate([data.query, gallery])
    full = distance_rows(data, items, "euclidean")(items).astype(np.float64)
    rows = reranked_rows(data, data.query, gallery, k1=6, k2=3)
    np.testing.assert_allclose(rows(data.query), plain(full, len(data.query), 6, 3, 0.3), rtol=0, atol=1e-6)


def test_identical_items_do_not_divide_by_zero():
    data = make()
    data.features[:] = 1
    assert np.isfinite(reranked_rows(data, data.query, data.gallery)(data.query)).all()
