"""Per-query scores, and the paired comparison of two runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.reid.scoring.compare import QueryScore, compare_queries, read_queries, write_queries


def queries(ap, protocol="official", start=0, each=1):
    """each: queries of a person."""
    scores = ((v, v / 2, 1 if v > 0.5 else 3) for v in ap)
    return {protocol: {f"q{i}": QueryScore(i // each, *s) for i, s in enumerate(scores, start)}}


def test_file_round_trip_keeps_every_digit(tmp_path):
    rows = [("official", "a,b", 12, 1 / 3, 0.1 + 0.2, 7), ("standard", 'q"', 0, 1.0, 1.0, 1)]
    write_queries(tmp_path / "queries.csv", rows)
    expected = {"official": {"a,b": rows[0][2:]}, "standard": {'q"': rows[1][2:]}}
    assert read_queries(tmp_path / "queries.csv") == expected
    assert read_queries(tmp_path) == expected


def test_a_clear_difference_is_found_and_chance_is_not():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 0.9, 400)
    better = compare_queries(queries(base), queries(base + 0.05), 2000)["official"]
    assert better["scores"]["mAP"]["difference"] == pytest.approx(0.05)
    assert better["scores"]["mAP"]["p"] < 0.001
    noise = rng.normal(size=400) * 0.05
    other = np.clip(base + noise - noise.mean(), 0, 1)
    same = compare_queries(queries(base), queries(other), 2000)["official"]
    assert same["scores"]["mAP"]["p"] > 0.05
    low, high = same["scores"]["mAP"]["interval95"]
    assert low < 0 < high


def test_equal_runs_have_p_one():
    scores = compare_queries(queries([0.2, 0.4]), queries([0.2, 0.4]), 500)["official"]["scores"]
    assert scores["mAP"]["p"] == 1 and scores["mAP"]["difference"] == 0


def test_only_shared_queries_count_and_the_others_are_reported():
    result = compare_queries(queries([0.1, 0.2, 0.3]), queries([0.5, 0.5], start=1), 200)["official"]
    assert (result["queries"], result["only_a"], result["only_b"]) == (2, 1, 0)
    with pytest.raises(KeyReIDError, match="share no query"):
        compare_queries(queries([0.1]), queries([0.1], start=5))
    with pytest.raises(KeyReIDError, match="share no query"):
        compare_queries(queries([0.1]), queries([0.1], protocol="standard"))


def test_queries_of_one_person_are_one_observation():
    rng = np.random.default_rng(1)
    base, gain = rng.uniform(0.2, 0.6, 8), rng.normal(0.02, 0.1, 8)
    one = compare_queries(queries(base), queries(base + gain), 2000)["official"]
    copies = (queries(np.repeat(v, 50), each=50) for v in (base, base + gain))
    many = compare_queries(*copies, 2000)["official"]
    assert (many["queries"], many["persons"]) == (400, 8)
    for score in ("mAP", "mINP"):
        assert many["scores"][score]["p"] == pytest.approx(one["scores"][score]["p"])
        assert many["scores"][score]["interval95"] == pytest.approx(one["scores"][score]["interval95"])


def test_one_person_alone_proves_nothing():
    result = compare_queries(queries([0.1] * 9, each=9), queries([0.4] * 9, each=9), 500)["official"]
    assert result["scores"]["mAP"]["interval95"] is None and result["scores"]["mAP"]["p"] == 1


def test_a_query_of_different_persons_is_named():
    with pytest.raises(KeyReIDError, match="query q1 is of person 1 in A and 0 in B"):
        compare_queries(queries([0.1, 0.2]), queries([0.1, 0.2], each=2))


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_damaged_files_end_in_the_projects_own_error(tmp_path_factory, content, header):
    path = tmp_path_factory.mktemp("fuzz") / "queries.csv"
    data = content if isinstance(content, bytes) else content.encode(errors="replace")
    first = b"protocol,query,person,average_precision,inverse_penalty,first_rank\n" if header else b""
    path.write_bytes(first + data)
    with pytest.raises(KeyReIDError, match=r"queries\.csv"):
        read_queries(path)


def test_a_folder_without_scores_is_an_error(tmp_path):
    with pytest.raises(KeyReIDError, match="found none"):
        read_queries(tmp_path)
    with pytest.raises(KeyReIDError, match="no such file"):
        read_queries(tmp_path / "x.csv")
