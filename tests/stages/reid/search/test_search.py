"""Search: exact against sorting everything, exclusions, re-ranking, FAISS, names of queries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.reid.scoring.config import RerankConfig
from stages.reid.scoring.joining import join
from stages.reid.search import faiss_index, indexed
from stages.reid.search.config import LinkConfig, Selection
from stages.reid.search.constraints import Apart
from stages.reid.search.gallery import read_gallery
from stages.reid.search.gallery_folder import writing
from stages.reid.search.search import SearchConfig, find_query, search
from stages.reid.search.selection import selected
from stages.reid.search.similarity import compare
from tests.stages.reid.own import made_gallery

ROWS = np.arange(40)


def plain(gallery, row, keep):
    """Nearest rows by sorting all distances, in float64."""
    features = gallery.features.astype(np.float64)
    distances = ((features - features[row]) ** 2).sum(1)
    order = np.argsort(distances, kind="stable")
    order = order[[bool(keep(i)) for i in order]]
    return order, distances[order]


def test_exact_search_is_sorting_without_the_query_itself():
    gallery = made_gallery()
    found = search(gallery, np.array([5, 17]), ROWS, SearchConfig(top=7))
    for row, matches, distances in zip(found.query, found.matches, found.distances, strict=True):
        order, values = plain(gallery, row, lambda i, row=row: i != row)
        assert matches.tolist() == order[:7].tolist()
        assert np.allclose(distances, values[:7], rtol=1e-4)


def test_other_cameras_only():
    gallery = made_gallery()
    found = search(gallery, np.array([5]), ROWS, SearchConfig(top=30, other_cameras=True))
    order, _ = plain(gallery, 5, lambda i: i % 2 != 5 % 2)
    assert found.matches[0].tolist() == order.tolist()  # 20 of the 30 asked for


def test_an_unknown_camera_is_never_the_same_camera():
    gallery = made_gallery()
    gallery.camera_names[:] = "?"
    found = search(gallery, np.array([5]), ROWS, SearchConfig(top=50, other_cameras=True))
    assert len(found.matches[0]) == 39


def test_a_query_in_another_file_of_the_same_data_does_not_find_itself():
    gallery = made_gallery()
    both = join([("a.h5", gallery), ("b.h5", gallery)])
    found = search(both, np.array([45]), ROWS, SearchConfig(top=39))
    assert 5 not in found.matches[0] and len(found.matches[0]) == 39


@pytest.mark.parametrize("distance", ["cosine", "visible"])
def test_other_distances_rank_by_their_own_measure(distance):
    found = search(made_gallery(), np.array([5]), ROWS, SearchConfig(top=39, distance=distance))
    assert (np.diff(found.distances[0]) >= 0).all() and len(set(found.matches[0].tolist())) == 39


def test_reranked_search_finds_the_persons_others_first():
    config = SearchConfig(top=3, rerank=RerankConfig(enabled=True, k1=6, k2=3))
    found = search(made_gallery(), np.array([5]), ROWS, config)
    assert sorted(found.matches[0].tolist()) == [4, 6, 7]


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "IVF4,Flat", "PCA12,Flat", "SQfp16"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_faiss_agrees_with_exact_search(kind, distance):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    gallery, query = made_gallery(400), np.array([5, 399])
    exact = search(gallery, query, np.arange(400), SearchConfig(top=3, distance=distance))
    found = search(gallery, query, np.arange(400), SearchConfig(top=3, distance=distance, index=kind))
    assert not np.isin(found.matches, query[:, None]).any()
    assert (found.matches[:, 0] == exact.matches[:, 0]).all()
    if kind in ("flat", "ivf", "hnsw"):
        assert np.array_equal(found.matches, exact.matches)
        assert np.allclose(found.distances, exact.distances, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "PCA8,Flat"])
def test_faiss_leaves_out_the_querys_camera_and_rows_that_may_not_be_found(kind):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    rows = np.arange(100, 300)
    config = SearchConfig(top=100, index=kind, other_cameras=True)
    found = search(made_gallery(400), np.array([5]), rows, config).matches[0]
    assert (found[found >= 0] % 2 == 0).all() and set(found.tolist()) <= set(rows.tolist())


@pytest.mark.parametrize("kind", ["flat", "PCA12,Flat", "PQ4x4", "LSH"])
def test_compounds_leave_out_cameras_whether_or_not_faiss_can_do_it_for_them(kind):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    config = SearchConfig(top=400, index=kind, other_cameras=True)
    found = search(made_gallery(400), np.array([5, 8]), np.arange(400), config).matches
    assert [sorted(line) for line in found.tolist()] == [list(range(0, 400, 2)), list(range(1, 400, 2))]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_queries_among_any_rows_find_what_exact_search_finds(data):
    """Also tracklets that are in several files, unknown cameras and queries that are not to be found."""
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    gallery = made_gallery(24)
    gallery.camera_names[data.draw(st.integers(0, 23))] = "?"
    both = join([("a.h5", gallery), ("b.h5", gallery), ("c.h5", made_gallery(24, seed=1))])
    some = st.lists(st.integers(0, len(both) - 1), min_size=1, unique=True).map(np.array)
    query, rows = data.draw(some), np.sort(data.draw(some))
    options = {"top": data.draw(st.integers(1, 80)), "other_cameras": data.draw(st.booleans())}
    options["distance"] = data.draw(st.sampled_from(["euclidean", "cosine"]))
    if not len(np.setdiff1d(rows, query)):
        return
    exact = search(both, query, rows, SearchConfig(**options))
    found = search(both, query, rows, SearchConfig(index="flat", **options))
    assert found.matches.shape == exact.matches.shape
    assert np.array_equal(found.matches < 0, exact.matches < 0)
    assert np.array_equal(np.isinf(found.distances), exact.matches < 0)
    assert np.allclose(found.distances, exact.distances, rtol=1e-3, atol=1e-5)
    for line in found.matches:  # rows of the same features may change places, but none comes twice
        assert len(set(line[line >= 0])) == (line >= 0).sum() and np.isin(line[line >= 0], rows).all()


def test_many_queries_are_one_call_of_faiss_and_the_index_is_made_once(monkeypatch, tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    calls = {"kept_index": [], "search_index": []}
    for name, made in calls.items():
        real = getattr(indexed, name)
        monkeypatch.setattr(
            indexed, name, lambda *a, real=real, made=made: (made.append(len(a[1])), real(*a))[1]
        )
    gallery, query = made_gallery(400), np.arange(0, 400, 3)
    for options in ({}, {"other_cameras": True}, {"top": 3}):
        config = SearchConfig(index="ivf", index_folder=tmp_path, **options)
        search(gallery, query, np.arange(400), config)
    assert len(calls["kept_index"]) == 1  # which reads every feature, to know its own
    assert calls["search_index"] == [134, 67, 67, 134]  # other cameras: one call for each of two
    search(gallery, query, np.arange(399), config)
    assert len(calls["kept_index"]) == 2


def test_a_kept_index_is_used_again_and_only_for_the_same_features(tmp_path):
    faiss = pytest.importorskip(
        "faiss", reason="FAISS is not installed: pip install -r requirements/search.txt"
    )
    config = SearchConfig(top=3, index="hnsw", index_folder=tmp_path / "index")
    first = search(made_gallery(), np.array([5]), ROWS, config)
    (path,) = config.index_folder.glob("*.faiss")
    before = path.stat().st_mtime_ns
    assert np.array_equal(search(made_gallery(), np.array([5]), ROWS, config).matches, first.matches)
    assert path.stat().st_mtime_ns == before and faiss.read_index(str(path)).ntotal == 40
    search(made_gallery(seed=3), np.array([5]), ROWS, config)
    assert len(list(config.index_folder.glob("*.faiss"))) == 2
    path.write_bytes(b"damaged")
    assert np.array_equal(search(made_gallery(), np.array([5]), ROWS, config).matches, first.matches)


def test_what_cannot_be_combined_is_refused():
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    for options in ({"rerank": RerankConfig(enabled=True)}, {"distance": "visible"}):
        with pytest.raises(KeyReIDError, match="--index exact"):
            search(made_gallery(), np.array([5]), ROWS, SearchConfig(index="flat", **options))
    with pytest.raises(KeyReIDError, match=r"index nonsense .*: FAISS refuses"):
        search(made_gallery(), np.array([5]), ROWS, SearchConfig(index="nonsense"))


def test_a_gallery_of_the_query_alone_is_refused():
    with pytest.raises(KeyReIDError, match="nothing to search"):
        search(made_gallery(), np.array([5]), np.array([5]), SearchConfig())


def test_a_query_is_named_whole_or_by_a_part_that_only_one_has():
    gallery = replace(made_gallery(), part=np.repeat("g.h5", len(ROWS)))
    for name in ("p002/c2/0005", "0005", "g.h5:0005", "./g.h5:0005"):
        assert find_query(gallery, name, ROWS) == 5
    odd = np.where(ROWS == 5, "a:p002/c2", "a")  # a file name that begins like another
    assert find_query(replace(gallery, part=odd), "a:p002/c2:0005", ROWS) == 5
    with pytest.raises(KeyReIDError, match=r"4 tracklets match it \(p002"):
        find_query(gallery, "p002", ROWS)
    with pytest.raises(KeyReIDError, match="no tracklet of the gallery"):
        find_query(gallery, "p999", ROWS)


def test_an_index_grows_with_its_gallery_and_answers_as_one_built_at_once(monkeypatch, tmp_path):
    faiss = pytest.importorskip(
        "faiss", reason="FAISS is not installed: pip install -r requirements/search.txt"
    )
    built = []
    real = faiss_index.build_index
    monkeypatch.setattr(faiss_index, "build_index", lambda f, *a: (built.append(len(f)), real(f, *a))[1])
    files = [("a", made_gallery(400)), ("b", made_gallery(40, seed=1)), ("c", made_gallery(40, seed=2))]
    config = SearchConfig(top=5, index="hnsw", index_folder=tmp_path)
    for count in (1, 2, 3, 3):
        gallery = join([*files[:count], ("query", made_gallery(8, seed=9))])
        query, rows = np.arange(len(gallery) - 8, len(gallery)), np.arange(len(gallery) - 8)
        found = search(gallery, query, rows, config)
        exact = search(gallery, query, rows, config.model_copy(update={"index": "exact"}))
        assert np.array_equal(found.matches, exact.matches)
        (path,) = tmp_path.glob("*.faiss")
        assert faiss.read_index(str(path)).ntotal == len(rows)
    assert built == [400]
    search(join([files[0], files[2]]), np.arange(3), np.arange(440), config)
    assert built == [400, 440]  # a part is gone


def test_an_index_of_changed_features_is_not_taken_for_that_of_the_stored_ones(tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    made = made_gallery(80)
    made = replace(made, features=made.features + 9 * made.cameras[:, None].astype(np.float32))
    with writing(tmp_path / "people") as writer:
        writer.add(made)
    gallery = read_gallery(tmp_path / "people", stored=True)
    query, rows = np.arange(0, 80, 7), np.arange(80)
    index = {"index": "flat", "index_folder": tmp_path / "people/indexes"}
    compare(gallery, LinkConfig(**index), Apart.of(gallery, ()))  # cameras taken out
    found = search(gallery, query, rows, SearchConfig(**index))
    assert np.array_equal(found.matches, search(gallery, query, rows, SearchConfig()).matches)


def test_a_choice_of_rows_is_asked_of_the_index_of_all_or_exactly_where_it_is_small(tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    gallery = join([("a", made_gallery(400)), ("b", made_gallery(40, seed=1))])
    config = SearchConfig(top=5, index="hnsw", index_folder=tmp_path)
    for rows in (np.arange(440), np.arange(100, 440), np.arange(400, 440), np.arange(0, 20)):
        found = search(gallery, np.array([3]), rows, config)
        exact = search(gallery, np.array([3]), rows, config.model_copy(update={"index": "exact"}))
        assert np.array_equal(found.matches, exact.matches) and np.isin(found.matches, rows).all()


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"since": "2001-09-09T01:46:50+00:00"}, range(9, 40)),
        ({"until": "2001-09-09T02:46:45+01:00"}, range(6)),
        ({"since": "2001-09-09T01:46:43Z", "until": "2001-09-09T01:46:44Z"}, range(2, 5)),
        ({"cameras": ("1",), "until": "2001-09-09T02:46:45+01:00"}, range(0, 6, 2)),
        ({"since": "7.5"}, range(47, 80)),
        ({"cameras": ("2",)}, range(1, 80, 2)),
        ({}, range(80)),
    ],
)
def test_answers_are_chosen_by_time_and_camera(wanted, rows):
    assert selected(of_two_kinds(), np.arange(80), Selection(**wanted)).tolist() == list(rows)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"since": "2001-09-09T01:46:50"}, "--from 2001-09-09T01:46:50: .*offset from UTC"),
        ({"until": "noon"}, "--to noon: "),
        ({"since": "inf"}, "--from inf: "),
        ({"since": "3", "until": "2001-09-09T01:46:50Z"}, "two of one kind"),
        ({"since": "3", "until": "2"}, "--from is after --to"),
        ({"since": "2020-01-01T00:00:00Z"}, "none of 80 tracklets, which are from 2001-09-09T02:46:40"),
        ({"cameras": ("3",)}, "--camera 3: no tracklet of it; the gallery has 1, 2"),
    ],
)
def test_a_choice_that_cannot_be_made_is_named(wanted, says):
    with pytest.raises(KeyReIDError, match=says):
        selected(of_two_kinds(), np.arange(80), Selection(**wanted))
    for unknown, what in (({"since": "3"}, "seconds"), ({"until": "2020-01-01T00:00:00Z"}, "clock")):
        with pytest.raises(KeyReIDError, match=f"no tracklet of the gallery has .*{what}"):
            selected(made_gallery(), ROWS, Selection(**unknown))


def of_two_kinds():
    """40 rows of a second each with clock times, then 40 with seconds of a video."""
    made, begin = made_gallery(80), np.arange(80.0) % 40
    start = begin + np.repeat([1e9, 0.0], 40)
    return replace(made, start=start, end=start + 1, zone=np.repeat([3600, np.nan], 40))


@pytest.mark.parametrize("kind", ["PCA4,Flat", "LSH", "SQ4"])
def test_a_threshold_after_a_compressing_index_means_exact_distances(kind):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")
    gallery = made_gallery()
    exact = search(gallery, ROWS[:20], ROWS, SearchConfig(top=3))
    found = search(gallery, ROWS[:20], ROWS, SearchConfig(top=3, index=kind))
    features = gallery.features.astype(np.float64)
    for row, matches, distances in zip(found.query, found.matches, found.distances, strict=True):
        assert np.allclose(distances, ((features[matches] - features[row]) ** 2).sum(1), rtol=1e-4)
        assert (np.diff(distances) >= 0).all()
    limit = np.median(exact.distances[:, 0])
    somebody, truly = found.distances[:, 0] < limit, exact.distances[:, 0] < limit
    assert not (somebody & ~truly).any() and somebody.sum() >= 0.9 * truly.sum()
