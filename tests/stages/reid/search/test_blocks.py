"""Galleries that stay in their files, read block by block: the answers of one array, bit for bit."""

import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring import stored_rows
from stages.reid.scoring.stored_rows import StoredRows
from stages.reid.search import blocks
from stages.reid.search.config import LinkConfig, SearchConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.gallery import read_gallery
from stages.reid.search.gallery_folder import writing
from stages.reid.search.search import search
from stages.reid.search.similarity import compare
from tests.stages.reid.own import made_gallery

SIZES = (40, 7, 53, 100)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A gallery folder of 200 tracklets in four parts; whole numbers as features, so equal distances."""
    monkeypatch.setattr(blocks, "block_rows", lambda width: 32)
    made, at = made_gallery(sum(SIZES)), 0
    made = replace(made, features=np.round(made.features))
    with writing(tmp_path / "people") as writer:
        for number, size in enumerate(SIZES):
            rows = np.arange(at, at + size)
            digests = np.arange(16 * size, dtype=np.uint8).reshape(size, 16)
            writer.add(made.taken(rows), half=number == 2, content=digests, stamp=digests)
            at += size
    return tmp_path / "people"


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "visible"])
def test_answers_are_those_of_one_array_bit_for_bit(folder, distance):
    stored, whole = read_gallery(folder, stored=True), read_gallery(folder)
    assert isinstance(stored.features, StoredRows) and isinstance(whole.features, np.ndarray)
    query, some = np.arange(0, 200, 3), np.arange(10, 190)
    for options in ({}, {"other_cameras": True}, {"top": 500}):
        config = SearchConfig(distance=distance, **options)
        one, other = search(stored, query, some, config), search(whole, query, some, config)
        assert np.array_equal(one.matches, other.matches) and np.array_equal(one.distances, other.distances)


def test_of_equal_distances_the_lower_row_comes_first_whatever_the_block(folder):
    stored, whole = read_gallery(folder, stored=True), read_gallery(folder).features
    query = np.arange(199)
    found = search(stored, query, np.arange(200), SearchConfig(top=20))
    for row in query:
        distances = ((whole - whole[row]) ** 2).sum(1)  # exact: small whole numbers
        distances[row] = np.inf
        order = np.argsort(distances, kind="stable")[:20]
        assert found.matches[row].tolist() == order.tolist()
        assert np.array_equal(found.distances[row], distances[order])


def test_no_more_than_a_block_and_the_queries_is_read_at_a_time(folder, monkeypatch):
    read = []
    real = StoredRows.__getitem__
    monkeypatch.setattr(
        StoredRows, "__getitem__", lambda self, rows: (read.append(made := real(self, rows)), made)[1]
    )
    stored = read_gallery(folder, stored=True)
    search(stored, np.array([5, 199]), np.arange(40, 200), SearchConfig())
    assert sum(map(len, read)) == 2 + 168  # the first block has nothing that may be found
    assert max(map(len, read)) == 32


def test_rows_are_read_across_pieces_in_any_order():
    pieces = [np.random.default_rng(n).normal(size=(size, 3)).astype(t) for n, (size, t) in
              enumerate([(4, np.float32), (1, np.float16), (6, np.float32)])]  # fmt: skip
    rows, whole = StoredRows(pieces), np.concatenate([piece.astype(np.float32) for piece in pieces])
    for key in (slice(None), slice(3, 6), slice(5, 5), slice(9, 99), slice(1, 9, 3), np.array([10, 0, 4, 4])):
        assert np.array_equal(rows[key], whole[key]) and rows[key].dtype == np.float32


def test_a_gallery_has_more_parts_than_a_process_may_open_files(tmp_path):
    parts = 200
    one = made_gallery(4).save(tmp_path / "000.h5")
    for number in range(1, parts):
        shutil.copy(one, tmp_path / f"{number:03d}.h5")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 160, limits[1]))
    try:
        gallery = read_gallery(str(tmp_path / "*.h5"), stored=True)
        assert np.array_equal(gallery.features[:], np.tile(read_gallery(one).features, (parts, 1)))
        assert np.array_equal(gallery.features[np.arange(3, 4 * parts, 4)][0], gallery.features[3:4][0])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_file_that_is_replaced_while_it_is_searched_is_named(tmp_path):
    made = made_gallery(4)
    gallery = read_gallery(made.save(tmp_path / "g.h5"), stored=True)
    before = gallery.features[:]
    replace(made, features=made.features + 1).save(tmp_path / "g.h5")
    again = read_gallery(tmp_path / "g.h5", stored=True)
    assert np.array_equal(again.features[:], made.features + 1)
    assert np.array_equal(gallery.features[:], before)  # still open
    stored_rows._mapped.cache_clear()
    with pytest.raises(KeyReIDError, match=r"g\.h5: has changed while it was in use; run the command again"):
        gallery.features[:]


def test_tracklets_are_compared_as_in_memory(folder):
    config = LinkConfig(neighbours=6, shown=9)
    made = []
    for stored in (True, False):
        gallery = read_gallery(folder, stored=stored)
        found = compare(gallery, config, Apart.of(gallery, ()))
        made.append((found.neighbours.rows, found.neighbours.distances, found.similarity.toarray()))
    for one, other in zip(*made, strict=True):
        assert np.array_equal(one, other)
