"""The Embedder: both stages behind one object, equal to the long way through cache and gallery."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid import Embedder
from stages.reid.scoring.provenance import origin_of
from tests.stages.pose import tiny
from tests.stages.reid.own import write_run


def test_pictures_give_what_cache_and_gallery_give(setting):
    run, dataset, poses = setting
    embedder = Embedder(run)
    gallery = embedder.gallery(dataset, dataset.tracklets(), poses)
    assert gallery.about["camera"] == "unknown" and gallery.features.shape == (3, 32 + 6 * 32)
    for tracklet, feature in zip(dataset.tracklets(), gallery.features, strict=True):
        ours = embedder.embed([dataset.root / frame for frame in tracklet.frames])
        assert np.abs(ours - feature).max() < 1e-4 * np.abs(feature).max()
    query = embedder.query([dataset.root / frame for frame in dataset.tracklets()[1].frames])
    assert np.allclose(query.features[0], gallery.features[1], atol=1e-3)
    assert query.checkpoint == gallery.checkpoint


def test_arrays_in_memory_give_what_their_files_give(setting):
    run, dataset, _ = setting
    embedder = Embedder(run)
    paths = [dataset.root / frame for frame in dataset.tracklets()[1].frames]
    arrays = [cv2.imread(str(path))[:, :, ::-1] for path in paths]
    ours = embedder.embed(arrays)
    assert np.array_equal(ours, embedder.embed(paths)) and np.array_equal(
        ours, embedder.embed(np.stack(arrays))
    )
    assert np.array_equal(embedder.embed(arrays[0]), embedder.embed(paths[:1]))
    one, two = embedder.query(arrays), embedder.query(arrays[:2])
    assert one.frames != two.frames and one.names[0].startswith("array-")
    for wrong in (arrays[0][..., 0], arrays[0].astype(np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(KeyReIDError, match="expected uint8"):
            embedder.embed([wrong])


def test_the_camera_is_given_where_the_network_was_trained_there(setting, tmp_path):
    _, dataset, poses = setting
    pose = tiny.write_estimator(tmp_path / "pose")
    embedder = Embedder(write_run(tmp_path / "run", pose, **origin_of(dataset, poses)))
    given = embedder.gallery(dataset, dataset.tracklets(), poses)
    unknown = embedder.gallery(dataset, dataset.tracklets(), poses, camera="unknown")
    assert given.about["camera"] == "given"
    assert np.abs(given.features - unknown.features).max() > 1e-3
    first = dataset.tracklets()[0]
    with_camera = embedder.embed([dataset.root / f for f in first.frames], camera=1)
    assert np.allclose(with_camera, given.features[0], atol=1e-3)


def test_mistakes_are_named(setting, tmp_path):
    run, _, _ = setting
    with pytest.raises(KeyReIDError, match="no trained network there"):
        Embedder(tmp_path)
    embedder = Embedder(run)
    with pytest.raises(KeyReIDError, match="without a frame"):
        embedder.embed([])
    with pytest.raises(KeyReIDError, match=r"nowhere\.jpg: missing"):
        embedder.embed([tmp_path / "nowhere.jpg"])
    with pytest.raises(KeyReIDError, match="device nonsense"):
        Embedder(run, device="nonsense")


def test_importing_stages_reid_imports_no_torch():
    modules = "stages.reid, stages.reid.search.search, stages.reid.search.calibration, stages.tracks"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
