"""Queries of walkers are split by what stands before them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.walkers.occlusion import Occlusion


def test_queries_are_split_by_what_stood_before_them(walkers_tiny, tmp_path):
    names = np.array([t.name for t in load_dataset("walkers", walkers_tiny).query])
    halves = Occlusion(walkers_tiny).halves(names)
    with (walkers_tiny / "occluders.csv").open() as file:
        hidden = {Path(row["frame"]).name[:11] for row in csv.DictReader(file)}
    expected = [name for name in names if name.rpartition("/")[2][:11] in hidden]
    assert names[halves["occluded"]].tolist() == expected and expected
    assert halves["clean"].sum() == len(names) - len(expected) > 0 and halves["all"].all()
    assert set(Occlusion(walkers_tiny).halves(names[halves["clean"]])) == {"all", "clean"}
    with pytest.raises(KeyReIDError, match=r"walkers\.json"):
        Occlusion(tmp_path)
