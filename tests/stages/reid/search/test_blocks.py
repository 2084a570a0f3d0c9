"""Galleries that stay in their files, read block by block: the answers of one array, bit for bit."""

import resource
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring import stored_rows
from stages.reid.scoring.config import RerankConfig
from stages.reid.scoring.rerank import reranked_rows
from stages.reid.scoring.stored_frames import StoredFrames
from stages.reid.scoring.stored_rows import StoredRows
from stages.reid.search import blocks, neighbours, ways
from stages.reid.search.calibration import calibrate
from stages.reid.search.config import CalibrationConfig, LinkConfig, SearchConfig
from stages.reid.search.constraints import Apart, Travel
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
    start = 10.0 * np.arange(len(made))
    times = {"start": start, "end": start + 1, "zone": np.zeros(len(made))}
    made = replace(made, features=np.round(made.features), **times)
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


def test_frames_are_those_of_one_array(folder):
    stored, whole = read_gallery(folder, stored=True), read_gallery(folder)
    assert isinstance(stored.frames, StoredFrames) and tuple(stored.frames) == whole.frames
    assert np.array_equal(stored.places, whole.places) and stored.frames_of(99) == whole.frames_of(99)
    assert stored.taken(np.array([150, 3])).frames == (whole.frames[150], whole.frames[3])


def test_a_tracklet_takes_a_few_hundred_bytes_of_memory_whatever_its_features_and_frames(tmp_path):
    made, files = made_gallery(500, width=300), 8
    frames = tuple(tuple(f"{name}/{number:040}.jpg" for number in range(8)) for name in made.names)
    replace(made, frames=frames).save(tmp_path / "0.h5")
    for number in range(1, files):
        shutil.copy(tmp_path / "0.h5", tmp_path / f"{number}.h5")
    read_gallery(tmp_path / "0.h5", stored=True)  # imports
    tracemalloc.start()
    gallery = read_gallery(str(tmp_path / "*.h5"), stored=True)
    assert gallery.places.max() < 500 and gallery.frames[0][7].endswith("7.jpg")
    kept, peak = (seen / len(gallery) for seen in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    assert kept < 500 and peak < 1200  # frames alone take 800 as texts, features 1,200


def test_a_file_that_is_replaced_while_it_is_searched_is_named(tmp_path):
    made = made_gallery(4)
    gallery = read_gallery(made.save(tmp_path / "g.h5"), stored=True)
    before = gallery.features[:]
    replace(made, features=made.features + 1).save(tmp_path / "g.h5")
    again = read_gallery(tmp_path / "g.h5", stored=True)
    assert np.array_equal(again.features[:], made.features + 1) and not np.array_equal(
        before, made.features + 1
    )
    with pytest.raises(KeyReIDError, match=r"g\.h5: has changed while it was in use; run the command again"):
        gallery.features[:]


def test_tracklets_are_compared_as_in_memory(folder):
    config = LinkConfig(neighbours=6, shown=9)
    for times in ((), (Travel(("1", "2"), 5, 60),)):
        made = []
        for stored in (True, False):
            gallery = read_gallery(folder, stored=stored)
            found = compare(gallery, config, Apart.of(gallery, times))
            made.append((found.neighbours.rows, found.neighbours.distances, found.similarity.toarray()))
        for one, other in zip(*made, strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("other_cameras", [False, True])
def test_calibration_is_that_of_one_array(folder, other_cameras):
    config = CalibrationConfig(other_cameras=other_cameras, rates=(0.01, 0.1))
    one, other = (calibrate(read_gallery(folder, stored=stored), config) for stored in (True, False))
    assert one == other


def test_reranked_answers_are_those_of_one_array_and_of_the_evaluation(folder):
    stored, whole = read_gallery(folder, stored=True), read_gallery(folder)
    query, others = np.arange(0, 20), np.arange(20, 200)
    config = SearchConfig(rerank=RerankConfig(enabled=True), top=30)
    one, other = (search(gallery, query, others, config) for gallery in (stored, whole))
    assert np.array_equal(one.matches, other.matches) and np.array_equal(one.distances, other.distances)
    plain = reranked_rows(whole, query, others)(query)
    for line, row, distances in zip(plain, one.matches - 20, one.distances, strict=True):
        assert np.allclose(np.sort(line)[:30], distances, atol=1e-5) and np.allclose(
            line[row], distances, atol=1e-5
        )


def test_nothing_reads_more_than_a_block_of_a_stored_gallery(folder, monkeypatch):
    read = []
    monkeypatch.setattr(stored_rows, "block_rows", lambda width: 32)
    monkeypatch.setattr(ways, "_PAIRS", 32 * 12)
    monkeypatch.setattr(neighbours, "_MIXED", 32)
    for bound in ("_LEAST", "_MOST"):
        monkeypatch.setattr(blocks, bound, 32)
    real = StoredRows.__getitem__
    monkeypatch.setattr(
        StoredRows, "__getitem__", lambda self, rows: (read.append(made := real(self, rows)), made)[1]
    )
    gallery = read_gallery(folder, stored=True)
    calibrate(gallery, CalibrationConfig())
    times = (Travel(("1", "2"), 5, 60),)
    compare(gallery, LinkConfig(neighbours=6, shown=9), Apart.of(gallery, times))
    assert len(read) > 100 and max(map(len, read)) < 100  # a block of mixed rows has others in it
