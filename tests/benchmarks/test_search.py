"""The benchmark of large galleries, on small ones."""

import numpy as np
import pytest

from benchmarks.made.gallery import BLOCK, QUERIES, Made
from stages.reid.search import faiss_index as index
from tests.stages.reid.own import made_gallery

faiss = pytest.importorskip("faiss", reason="FAISS is not installed: pip install -r requirements/search.txt")


def run(monkeypatch, capsys, *arguments):
    """What the benchmark prints: lines of its tables by their first word."""
    from benchmarks.search import main

    monkeypatch.setenv("OMP_NUM_THREADS", str(faiss.omp_get_max_threads()))
    main([*arguments, "--rounds", "1", "--seconds", "0.01"])
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split() for line in reversed(lines) if line}  # the first of each


def test_every_kind_of_index_is_searched_and_flat_finds_what_exact_search_over_blocks_finds(
    monkeypatch, capsys
):
    lines = run(monkeypatch, capsys, "--counts", str(BLOCK + 4), "--width", "288", "--skip", "hnsw")
    assert lines["flat"][3] == lines["SQfp16"][3] == "1.000"
    reduced = [name for name in lines if name.startswith("PCA") and "," in name]
    assert len(reduced) == 5 and all(float(lines[name][3]) > 0.4 for name in reduced)
    assert float(lines["PCA256,HNSW32,SQfp16"][3]) > float(lines["PCA128,SQfp16"][3]) > 0.7
    ours = [float(word[:-2]) for word in lines["all"] if word.endswith("/s")]  # queries/s of search()
    assert len(ours) == len([word for word in lines["other"] if word.endswith("/s")]) == 2
    assert min(ours) > 0


def test_an_index_that_does_not_fit_is_left_out_with_what_it_needs(monkeypatch, capsys):
    lines = run(monkeypatch, capsys, "--counts", "600", "--width", "96", "--memory", "0.0002")
    assert " ".join(lines["flat"]).startswith(
        "flat left out: its codes take 0.00023 GB, building it 0.000346"
    )
    assert lines["SQfp16"][1] == "192"


def test_candidates_of_a_small_index_are_compared_with_rows_on_disk(monkeypatch, capsys, tmp_path):
    like = made_gallery(400, 320, seed=1).save(tmp_path / "like.h5")
    skipped = ["--skip", "flat", "SQfp16", "ivf", "hnsw", "IVF{cells},SQfp16"]
    words = ("--like", str(like), "--on-disk", str(tmp_path), *skipped)
    lines = run(monkeypatch, capsys, "--counts", "2000", *words)
    assert lines["50"][:3] == ["50", "cells:", "recall@10"] and float(lines["50"][3][:-1]) > 0.95
    assert [file.name for file in tmp_path.iterdir()] == ["like.h5"]


def test_size_finds_the_map_of_every_compression(monkeypatch, capsys, tmp_path):
    files = [made_gallery(200, 400, seed=s).save(tmp_path / f"{s}.h5") for s in (0, 1)]
    lines = run(monkeypatch, capsys, "--size", *map(str, files))
    assert lines["Flat"][1:3] == ["1600", "1.0x"] and lines["SQfp16"][1:3] == ["800", "2.0x"]
    assert abs(float(lines["SQfp16"][3]) - float(lines["Flat"][3])) < 0.1
    quantised = {name: int(lines[name][1]) for name in lines if "PQ" in name}
    assert quantised == {"PQ400x4np": 200, "PQ100x4np": 50, "PQ50x4np": 25} | {
        f"PCA128,PQ{m}x4np": m // 2 for m in (64, 32, 16)
    }
    for name in quantised:
        change = float(lines[name][3]) - float(lines["Flat"][3])
        assert change == pytest.approx(float(lines[name][4]), abs=0.011)


def test_blocks_of_a_gallery_are_the_same_each_time_and_four_rows_are_a_person():
    made = Made(BLOCK + 40, 64)
    first = np.concatenate([joined[QUERIES:].copy() for _, joined in made.blocks()])
    again = Made(2 * BLOCK, 64).first(BLOCK + 40)
    assert np.array_equal(first, again) and np.array_equal(made.first(100), first[:100])
    near = ((first[:400, None] - first[None, :400]) ** 2).sum(2) + 1e9 * np.eye(400)
    assert (near.argmin(1) // 4 == np.arange(400) // 4).mean() > 0.5


def test_a_pca_of_wide_rows_is_trained_on_few_of_them(monkeypatch):
    assert index.pca_rows(768) > index.pca_rows(19_200) == 2048
    monkeypatch.setattr(index, "_PCA_ROWS", 50)
    rows = np.random.default_rng(0).standard_normal((400, 64), np.float32)
    built = index.build_index(rows, "PCA32,Flat", seed=3)
    means = faiss.vector_to_array(faiss.downcast_VectorTransform(built.chain.at(0)).mean)
    assert np.allclose(means, rows[np.random.default_rng(3).permutation(400)[:50]].mean(0), atol=1e-5)
    assert built.ntotal == 400
