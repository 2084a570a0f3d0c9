"""A checkpoint is tested on what it was not trained on, and told only the cameras that it knows."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.scoring.provenance import check_test, known_cameras

TRACKLETS = tuple(Tracklet(("a.jpg",), 1, camera, f"t{camera}") for camera in (3, 5))
DATASET = Dataset("prid2011", Path(), TRACKLETS, TRACKLETS, TRACKLETS, split=0)
CACHE = SimpleNamespace(folder=Path("poses"), info=SimpleNamespace(fingerprint="f" * 64))
EXTRA = {"dataset": "prid2011", "split": 0, "cameras": [3, 5, 7], "pose_cache": "f" * 64}


def test_cameras_of_another_data_set_are_unknown():
    assert known_cameras(EXTRA, DATASET, 3) == [3, 5, 7]
    assert known_cameras({**EXTRA, "dataset": "mars"}, DATASET, 3) == []


def test_weights_without_an_origin_are_believed_where_the_number_of_cameras_fits():
    assert known_cameras({}, DATASET, 2) == [3, 5]
    assert known_cameras({}, DATASET, 6) == []


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
