"""A checkpoint is tested on what it was not trained on, with the cameras that it knows."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.scoring.provenance import check_test, known_cameras, same_data

TRACKLETS = tuple(Tracklet(("a.jpg",), 1, camera, f"t{camera}") for camera in (3, 5))
DATASET = Dataset("prid2011", Path(), TRACKLETS, TRACKLETS, TRACKLETS, split=0)
CACHE = SimpleNamespace(folder=Path("poses"), info=SimpleNamespace(fingerprint="f" * 64))
EXTRA = {"dataset": "prid2011", "split": 0, "cameras": [3, 5, 7], "pose_cache": "f" * 64}


def test_cameras_of_another_data_set_are_unknown(caplog):
    assert known_cameras(EXTRA, DATASET, 3, CACHE) == [3, 5, 7]
    assert known_cameras({**EXTRA, "dataset": "mars"}, DATASET, 3, CACHE) == []
    assert "all count as unknown" in caplog.text


def test_another_tree_of_folders_is_another_data_set_whatever_its_layout():
    """Any two trees are called `folder`: only the same content is the same data set."""
    tree, extra = replace(DATASET, name="folder"), {**EXTRA, "dataset": "folder"}
    assert known_cameras(extra, tree, 3, CACHE) == [3, 5, 7]
    assert known_cameras({**extra, "pose_cache": "0" * 64}, tree, 3, CACHE) == []
    assert same_data({**EXTRA, "pose_cache": "0" * 64}, DATASET, CACHE), "a published set is known by name"


def test_weights_without_an_origin_are_believed_where_the_number_of_cameras_fits():
    assert known_cameras({}, DATASET, 2, CACHE) == [3, 5]
    assert known_cameras({}, DATASET, 6, CACHE) == []


def test_another_split_is_refused_and_another_data_set_is_not():
    check_test(EXTRA, DATASET, CACHE)
    check_test({**EXTRA, "dataset": "mars", "split": 3, "pose_cache": "0"}, DATASET, CACHE)
    with pytest.raises(KeyReIDError, match=r"split 3.*dataset\.split=3"):
        check_test({**EXTRA, "split": 3}, DATASET, CACHE)


def test_other_poses_are_refused_unless_allowed():
    extra = {**EXTRA, "pose_cache": "0" * 64}
    with pytest.raises(KeyReIDError, match="allow-other-poses"):
        check_test(extra, DATASET, CACHE)
    check_test(extra, DATASET, CACHE, other_poses=True)
