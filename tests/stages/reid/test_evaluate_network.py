"""Evaluation of a real network on real frames does not depend on how the work is cut up."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.writer import write_cache
from stages.datasets import load_dataset
from stages.datasets.tracklet import Tracklet
from stages.reid.data.config import ClipConfig
from stages.reid.data.loader import test_loader as loader
from stages.reid.evaluate import EvalConfig, embed_dataset, score
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.scoring.embed_set import Checkpoint, embed_tracklets


@pytest.fixture(scope="module")
def setting(walkers_tiny, tmp_path_factory):
    """Data set, cache of smooth random heat, and a loader of its test tracklets for any cut."""
    data = load_dataset("walkers", walkers_tiny)
    frames = [f for t in data.test_tracklets() for f in t.frames]
    rng = np.random.default_rng(0)
    heat = np.kron(rng.integers(0, 256, (len(frames), 17, 8, 4)), np.ones((8, 8))).astype(np.uint8)
    folder = tmp_path_factory.mktemp("cache")
    size = np.tile([256, 128], (len(frames), 1))
    write_cache(folder, frames, heat, np.ones((len(frames), 17, 3), np.float32), size)
    return data, PoseCache.open(folder)


def network(**change) -> KeyReID:
    torch.manual_seed(0)
    config = {
        "backbone": "vit_tiny_patch16_224",
        "backbone_args": {"depth": 2, "embed_dim": 48, "num_heads": 3},
        "image_size": (64, 32),
        "clip_length": 4,
    }
    return KeyReID(ModelConfig(**config | change), num_persons=4, num_cameras=2)


def batches(model, data, cache, size, tracklets=None, **options):
    tracklets = data.test_tracklets() if tracklets is None else tracklets
    clips = ClipConfig(batch_size=size, workers=0, **options)
    return loader(model, clips, data.root, tracklets, cache, data.cameras())


def embedded(model, data, cache, **options):
    tested = Checkpoint(Path("none"), model, {}, "")
    return embed_dataset(tested, EvalConfig(**{"workers": 0, **options}), data, cache, data.cameras())


@pytest.mark.parametrize("guidance", ["prior", "published"])
def test_embeddings_and_scores_do_not_depend_on_batch_size_or_workers(setting, guidance):
    data, cache = setting
    model = network(guidance=guidance)
    expected = None
    for size, workers in ((1, 0), (7, 0), (64, 0), (5, 2)):
        found = embedded(model, data, cache, batch_size=size, workers=workers)
        report = score(found, EvalConfig(distance="visible"))
        if expected is None:
            expected = found, report
        np.testing.assert_allclose(found.features, expected[0].features, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.visibility, expected[0].visibility, rtol=0, atol=1e-6)
        for name, figures in report["protocols"].items():
            assert figures["mAP"] == pytest.approx(expected[1]["protocols"][name]["mAP"], abs=1e-5)


def test_a_tracklet_embeds_the_same_alone_and_among_others(setting):
    data, cache = setting
    model = network()
    tracklets = data.test_tracklets()
    together, _ = embed_tracklets(model, batches(model, data, cache, 6), len(tracklets))
    alone, _ = embed_tracklets(model, batches(model, data, cache, 6, tracklets[3:4]), 1)
    np.testing.assert_allclose(alone[0], together[3], rtol=0, atol=1e-5)


def test_a_short_last_clip_repeats_its_frames_and_their_maps(setting):
    """A tracklet of two frames embeds as the same two frames written out twice."""
    data, cache = setting
    model = network()
    first, second = data.query[0].frames[:2]
    tracklets = [
        Tracklet((first, second), 1, 1, "short"),
        Tracklet((first, second, first, second), 1, 1, "long"),
    ]
    features, visibility = embed_tracklets(model, batches(model, data, cache, 2, tracklets), 2)
    np.testing.assert_allclose(features[0], features[1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(visibility[0], visibility[1], rtol=0, atol=1e-6)
    assert visibility.min() > 0  # maps filled with nothing would halve it


def test_global_and_part_columns_are_found(setting):
    data, cache = setting
    for change, parts, width in (({}, 6, 48), ({"global_only": True}, 0, 48), ({"local_only": True}, 6, 0)):
        model = network(**change)
        found = embedded(model, data, cache)
        assert (found.parts, found.global_width) == (parts, width)
        assert found.part_width == (48 if parts else 0)


def test_stride_and_cap_choose_the_clips(setting):
    data, cache = setting
    model = network()

    def count(**options):
        return sum(len(b["tracklet"]) for b in batches(model, data, cache, 16, **options))

    assert count(clip_cap=1) == len(data.test_tracklets()) < count() < count(clip_stride=1)
    assert count(clip_order="spread") == count() > count(clip_length=8) >= len(data.test_tracklets())


def test_a_network_of_clips_of_four_embeds_clips_of_any_length_but_not_as_released(setting):
    data, cache = setting
    longer, usual = (embedded(network(), data, cache, clip_length=n) for n in (7, None))
    assert longer.features.shape == usual.features.shape
    assert not np.allclose(longer.features, usual.features, atol=1e-3)
    spread = embedded(network(), data, cache, clip_order="spread")
    assert not np.allclose(spread.features, usual.features, atol=1e-4)
    assert (spread.about["clip_order"], longer.about["clip_length"]) == ("spread", 7)
    with pytest.raises(KeyReIDError, match=r"eval.clip_length 7: .* takes clips of 4 frames alone"):
        batches(network(guidance="published"), data, cache, 16, clip_length=7)


def test_an_unknown_camera_changes_the_embedding_and_needs_no_camera(setting):
    data, cache = setting
    model = network()
    unknown, given = (embedded(model, data, cache, camera=camera) for camera in ("unknown", "given"))
    assert unknown.about["camera"] == "unknown"
    assert np.abs(unknown.features - given.features).max() > 1e-3
