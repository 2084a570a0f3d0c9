"""The embed stage: tracklets and their poses into a gallery file, stage one included."""

import contextlib
import shutil

import numpy as np
import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.reid import Embedder, embed
from stages.reid.embed import run
from stages.reid.embed_config import EmbedConfig
from stages.reid.embed_inputs import chosen_of, poses_of
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import is_half, read_about


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


def test_a_file_of_several_parts_is_joined_in_order_and_left_alone_once_it_is_there(setting, tmp_path):
    folder, dataset, poses = setting
    embedder, output, config = Embedder(folder), tmp_path / "g.h5", EmbedConfig(part_size=1)
    (tmp_path / "g.h5.parts").mkdir()
    (tmp_path / "g.h5.parts" / "mine.txt").touch()
    with pytest.raises(KeyReIDError, match=r"g\.h5\.parts: has mine\.txt"):
        run(embedder, dataset, "all", poses.folder, output, config)
    (tmp_path / "g.h5.parts" / "mine.txt").unlink()
    made = Embeddings.load(run(embedder, dataset, "all", poses.folder, output, config))
    expected = embedder.gallery(dataset, dataset.tracklets(), poses)
    assert made.names.tolist() == expected.names.tolist() and made.frames == expected.frames
    assert np.allclose(made.features, expected.features, atol=1e-4)
    assert np.array_equal(made.visibility, expected.visibility) and made.root == expected.root
    before = output.stat().st_ino
    run(embedder, dataset, "all", poses.folder, output, config)
    assert output.stat().st_ino == before and list(tmp_path.iterdir()) == [output]
    run(embedder, dataset, "all", poses.folder, output, EmbedConfig(half=True))
    assert output.stat().st_ino != before and is_half(output)


def test_a_file_is_made_again_where_its_run_or_poses_have_moved(setting, tmp_path, monkeypatch):
    _, dataset, poses = setting
    for name, folder in (("run", setting[0]), ("poses", poses.folder)):
        shutil.copytree(folder, tmp_path / name)
    output = tmp_path / "g.h5"
    held = embed.lock_folder

    @contextlib.contextmanager
    def lock(folder, owner):
        with held(folder, owner) as token:
            yield token
            assert not folder.exists()  # while nobody else can write to it

    monkeypatch.setattr(embed, "lock_folder", lock)
    at = {name: tmp_path / name for name in ("run", "poses")}
    for name in ("run", "poses", "run"):
        run(Embedder(at["run"]), dataset, "all", at["poses"], output)
        about = read_about(output)
        assert about["checkpoint"]["path"] == str(at["run"] / "model.safetensors")
        assert about["poses"]["path"] == str(at["poses"])
        at[name] = at[name].rename(tmp_path / f"{at[name].name}-moved")


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
