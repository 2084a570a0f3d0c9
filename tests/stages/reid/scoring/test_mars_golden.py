"""Full MARS: official metadata, a matrix of distances with known scores, all three protocols."""

import json

import numpy as np
import pytest

from stages.datasets import load_dataset
from stages.reid.scoring.metrics import score_ranking
from stages.reid.scoring.protocols import MARS_PROTOCOLS, gallery_of


def distances(rows, columns, persons):
    """The matrix of golden.json (`mars_full_spec`): hashed numbers, right answers times 0.0005."""
    h = rows.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    h = h + columns.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    uniform = (h >> np.uint64(11)) / 2.0**53
    return uniform * np.where(persons[rows][:, None] == persons[columns], 0.0005, 1.0)


@pytest.fixture(scope="module")
def mars(real_data):
    data = load_dataset("mars", real_data / "mars", check_files=False)
    place = {t.name: i for i, t in enumerate(data.gallery)}
    golden = json.loads((real_data / "eval" / "golden.json").read_text())
    query = np.array([place[t.name] for t in data.query])
    persons = np.array([t.person for t in data.gallery])
    cameras = np.array([t.camera for t in data.gallery])
    return golden, query, persons, cameras


KEYS = {
    "official": "official_trapezoid_gallery12180",
    "queries-kept": "_rect_gallery11310_queries_kept",
    "queries-dropped": "_rect_gallery9330_torchreid_keyreid",
}


@pytest.mark.parametrize("protocol", MARS_PROTOCOLS, ids=lambda p: p.name)
def test_full_mars_gives_the_golden_values(mars, protocol):
    golden, query, persons, cameras = mars
    expected = golden[f"mars_full[f=0.0005]{KEYS[protocol.name]}"]
    gallery = gallery_of(protocol, query, np.arange(len(persons)), persons)
    matrix = distances(query, gallery, persons)
    scores = score_ranking(
        matrix, persons[query], persons[gallery], cameras[query], cameras[gallery], protocol.average_precision
    )
    assert scores.num_valid == expected["num_valid"]
    assert scores.mean_ap == pytest.approx(expected["mAP"], abs=1e-9)
    for rank in (1, 5, 10, 20):
        assert scores.cmc[rank - 1] == pytest.approx(expected[f"rank{rank}"], abs=1e-9)


def test_the_matrix_is_the_one_meant(mars):
    golden, query, persons, _ = mars
    first = distances(query[:1], np.arange(3), np.zeros(len(persons)) + np.arange(len(persons)))
    np.testing.assert_allclose(first[0], golden["mars_full_first_values"], rtol=0, atol=1e-15)
