"""The embed stage: tracklets and their poses into a gallery file, stage one included."""

import numpy as np
import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.reid import Embedder
from stages.reid.embed import chosen_of, poses_of, run
from stages.reid.scoring.embeddings import Embeddings


def test_poses_are_made_where_there_are_none_and_used_again(setting, tmp_path):
    folder, dataset, poses = setting
    embedder = Embedder(folder)
    path = run(embedder, dataset, "all", tmp_path / "poses", tmp_path / "new" / "gallery.h5")
    gallery = Embeddings.load(path)
    assert gallery.names.tolist() == [t.name for t in dataset.tracklets()]
    expected = embedder.gallery(dataset, dataset.tracklets(), poses)
    assert np.allclose(gallery.features, expected.features, atol=1e-4)
    shard = tmp_path / "poses" / "shard-00000.h5"
    before = shard.stat().st_mtime_ns
    assert poses_of(embedder.pose, dataset, tmp_path / "poses", own=True, redo=False).frames()
    assert shard.stat().st_mtime_ns == before


def test_a_subset_without_tracklets_is_named(setting):
    _, dataset, _ = setting
    assert chosen_of(dataset, "gallery") == dataset.gallery
    with pytest.raises(KeyReIDError, match=r"--subset train: .* choose another subset"):
        chosen_of(dataset, "train")


def test_a_cache_of_another_network_or_of_none_is_refused(setting, tmp_path):
    folder, dataset, poses = setting
    other = Embedder(folder).pose.model_copy(update={"estimator": "walkers"})
    with pytest.raises(KeyReIDError, match=r"made with tiny, the run with walkers; .*--estimator tiny"):
        poses_of(other, dataset, poses.folder, own=False, redo=False)
    with pytest.raises(KeyReIDError, match=r"no pose cache, and no config.yaml .* give --cache"):
        poses_of(None, dataset, tmp_path, own=False, redo=False)


def test_a_cache_that_lacks_frames_is_refused_before_the_network_runs(setting):
    folder, dataset, poses = setting
    more = type(dataset)("tiny", dataset.root, (), (), (*dataset.gallery, _renamed(dataset.gallery[0])))
    with pytest.raises(KeyReIDError, match=r"5 frames are missing, the first is new/.*--redo-poses"):
        poses_of(Embedder(folder).pose, more, poses.folder, own=False, redo=False)
    assert PoseCache.open(poses.folder).missing(dataset.frames()) == []


def _renamed(tracklet):
    return type(tracklet)(tuple(f"new/{frame}" for frame in tracklet.frames), 1, 1, "new")
