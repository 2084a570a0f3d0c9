"""The limits of a device that benchmarks are held against."""

import numpy as np
import pytest
import torch

from benchmarks import floors
from benchmarks.floors import main
from benchmarks.made.gallery import BLOCK, QUERIES, TOGETHER, MadeLike
from tests.stages.reid.own import made_gallery


def test_every_limit_is_printed_and_what_the_cpu_lacks_is_said(monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    monkeypatch.setattr(floors, "has_amx", lambda: False)
    main(["--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:6]] == [
        "product of matrices, fp32", "product of matrices, bf16", "products with AMX", "copy",
        f"JPEG of 256x128, {lines[5].split(', ')[1].split()[0]} bytes, by OpenCV",
    ]  # fmt: skip
    assert lines[3] == "products with AMX: skipped: no AMX" and lines[-1].startswith("peak memory ")


def test_a_floor_is_told_in_times_and_seconds():
    assert floors.against(3.0, 1.5, "copying") == "2.00 times the floor (copying: 1.5 s, took 3 s)"
    assert floors.against(0.003, 0.0015, "x") == "2.00 times the floor (x: 1.5 ms, took 3 ms)"


def test_peak_memory_counts_what_was_held_and_given_back():
    before = float(floors.peak_memory().split()[2])
    held = np.ones(int(1e9 * before / 8) + 40_000_000)  # more than the peak so far
    del held
    assert float(floors.peak_memory().split()[2]) >= before + 0.25


def test_made_rows_are_spread_like_those_they_are_made_like():
    like = made_gallery(200, 64, seed=1)
    made = MadeLike(BLOCK + 40, like)
    rows = np.concatenate([joined[QUERIES:].copy() for _, joined in made.blocks()])
    assert rows.shape == (BLOCK + 40, 64) and np.array_equal(rows[:100], made.first(100))
    within = np.concatenate([rows[:400].reshape(-1, TOGETHER, 64).std(axis=1, ddof=1).ravel()])
    real = np.concatenate(
        [like.features[like.persons == p].std(axis=0, ddof=1) for p in np.unique(like.persons)]
    )
    assert np.sqrt((within**2).mean()) == pytest.approx(np.sqrt((real**2).mean()), rel=0.15)
