"""A checkpoint is tested on what it was not trained on, with the cameras that it knows."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.scoring.provenance import check_test, known_cameras, origin_of, same_data

TRACKLETS = tuple(Tracklet(("a.jpg",), 1, camera, f"t{camera}") for camera in (3, 5))
DATASET = Dataset("prid2011", Path(), TRACKLETS, TRACKLETS, TRACKLETS, split=0)


def poses(content="c", fingerprint="f" * 64):
    """A pose cache, as far as it says what it was made of."""
    about = {"content": content} if content else {}
    info = SimpleNamespace(fingerprint=fingerprint, about_frames=about)
    return SimpleNamespace(folder=Path("poses"), info=info)


CACHE = poses()
EXTRA = {**origin_of(DATASET, CACHE), "cameras": [3, 5, 7]}


def test_cameras_of_another_data_set_are_unknown(caplog):
    assert known_cameras(EXTRA, DATASET, 3, CACHE) == [3, 5, 7]
    assert known_cameras({**EXTRA, "dataset": "mars"}, DATASET, 3, CACHE) == []
    assert "all count as unknown" in caplog.text


def test_cameras_are_taken_by_number_or_not_at_all_where_that_is_said():
    other = replace(DATASET, name="mars", train=(), query=(), gallery=TRACKLETS[:1])
    assert known_cameras(EXTRA, other, 3, CACHE, "number") == [3, 5, 7]
    assert known_cameras(EXTRA, other, 3, CACHE, "given") == []
    with pytest.raises(KeyReIDError, match="does not say which cameras"):
        known_cameras({}, other, 3, CACHE, "number")
    assert known_cameras(EXTRA, DATASET, 3, CACHE, "unknown") == []


@pytest.mark.parametrize("name", ["folder", "walkers", "prid2011"])
def test_a_name_does_not_make_a_data_set_the_same(name):
    """Any number of data sets are called `folder`, or `walkers`: only the same content is the same one."""
    tree = replace(DATASET, name=name)
    extra = {**origin_of(tree, CACHE), "cameras": [3, 5, 7]}
    assert known_cameras(extra, tree, 3, CACHE) == [3, 5, 7]
    assert same_data(extra, replace(tree, split=1), CACHE), "another split of it"
    assert same_data(extra, tree, poses(fingerprint="0" * 64)), "the same frames with other poses"
    assert not same_data(extra, tree, poses("other", "0" * 64)), "other frames under the same names"
    renumbered = tuple(replace(t, camera=t.camera + 1) for t in TRACKLETS)
    assert not same_data(extra, replace(tree, train=renumbered, query=renumbered, gallery=renumbered), CACHE)
    assert known_cameras(extra, replace(tree, train=(), query=(), gallery=TRACKLETS[:1]), 3, CACHE) == []


def test_where_no_content_is_known_the_pose_cache_decides():
    unsaid = {**origin_of(DATASET, poses(None)), "cameras": [3, 5, 7]}
    assert same_data(unsaid, DATASET, poses(None))
    assert not same_data(unsaid, DATASET, poses(None, "0" * 64))
    before = {key: value for key, value in EXTRA.items() if key != "data"}
    assert same_data(before, DATASET, CACHE) and not same_data(before, DATASET, poses(fingerprint="0" * 64))


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
