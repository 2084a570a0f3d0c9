"""The probe on a real network and real frames: untrained, so nothing is proved, but everything runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cache import PoseCache
from cache.writer import write_cache
from stages.datasets import load_dataset
from stages.reid import probe
from stages.reid.data.config import ClipConfig
from stages.reid.data.loader import test_loader as loader
from stages.reid.evaluate import EvalConfig, embed_dataset, score
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.probing.conditions import Several, conditions
from stages.reid.probing.config import ProbeConfig
from stages.reid.probing.interventions import OtherClips
from stages.reid.probing.sides import queries_changed, score_changed_queries, score_queries
from stages.reid.scoring.embed_set import Checkpoint, embed_tracklets
from stages.reid.scoring.protocols import PROTOCOLS
from tests.stages.conftest import gaussian_heat

SMALL = ProbeConfig(shifts=(2,), noise=(4,), resamples=200)
EVAL = EvalConfig(workers=0, batch_size=8)
KEPT = PROTOCOLS["queries-kept"]


@pytest.fixture(scope="module")
def setting(walkers_tiny, tmp_path_factory):
    dataset = load_dataset("walkers", walkers_tiny)
    frames = dataset.frames()
    heat, keypoints = gaussian_heat(walkers_tiny, frames)
    folder = tmp_path_factory.mktemp("poses")
    write_cache(folder, frames, heat, keypoints.astype(np.float32), np.tile([[256, 128]], (len(frames), 1)))
    return dataset, PoseCache.open(folder)


def network(**change) -> KeyReID:
    torch.manual_seed(0)
    config = {
        "backbone": "vit_tiny_patch16_224",
        "backbone_args": {"depth": 2, "embed_dim": 32, "num_heads": 2},
        "image_size": (64, 32),
        "clip_length": 4,
    }
    return KeyReID(ModelConfig(**config | change), num_persons=4, num_cameras=2)


def batches(model, dataset, cache, size=8):
    clips = ClipConfig(batch_size=size, workers=0)
    return loader(model, clips, dataset.root, dataset.test_tracklets(), cache, [1, 2])


def embedded(model, dataset, cache):
    return embed_dataset(Checkpoint(Path("none"), model, {}, ""), EVAL, dataset, cache, [1, 2])


@pytest.fixture(scope="module")
def probed(setting, tmp_path_factory) -> tuple[dict, KeyReID]:
    model = network()
    folder = tmp_path_factory.mktemp("probe")
    assert probe.run(model, *setting, EVAL, SMALL, folder, [1, 2], checkpoint="x.safetensors") == folder
    assert (folder / "probe.png").stat().st_size > 10_000
    return json.loads((folder / "probe.json").read_text()), model


def test_every_cause_is_replaced_on_both_sides_with_interval_and_p(probed):
    report, _ = probed
    names = [c["name"] for c in report["conditions"]]
    assert len(names) == len(set(names)) == 9
    assert {"all ones", "another clip's", "moved by 2", "noise of 4", "uniform attention"} < set(names)
    assert set(report["plain"]) == {"all", "clean", "occluded"}
    for condition in report["conditions"]:
        for side in ("queries", "both"):
            for half, plain in report["plain"].items():
                for cell, value in ((condition[side][half][s], plain[s]) for s in ("mAP", "rank1")):
                    assert cell["change"] == pytest.approx(cell["value"] - value, abs=1e-9)
                    assert 0 < cell["p"] <= 1
                    if cell["interval95"]:
                        low, high = cell["interval95"]
                        assert low <= cell["change"] + 1e-9 and cell["change"] - 1e-9 <= high


def test_the_network_is_scored_as_evaluation_scores_it_and_left_as_it_was(probed, setting):
    report, model = probed
    embeddings = embedded(model, *setting)
    known = score(embeddings, EvalConfig(protocols=("queries-kept",)))["protocols"]["queries-kept"]
    assert report["protocol"] == "queries-kept"
    assert report["plain"]["all"]["mAP"] == pytest.approx(100 * known["mAP"])
    assert "forward" not in vars(model)


def test_evidence_about_parts_and_frames_is_there(probed):
    report, _ = probed
    assert 1 / 6 <= report["parts"]["common_share"] <= 1
    assert set(report["parts"]["left_right_cosine"]) == {"left arm", "left leg"}
    found = report["attention_to"]["either"]  # a new network weighs all frames alike
    assert found["ratio"] == pytest.approx(1, abs=1e-5) and found["clips"] > 0


def test_walkers_without_a_record_of_every_frame_lack_that_evidence_alone(setting, tmp_path):
    dataset, cache = setting
    root = shutil.copytree(dataset.root, tmp_path / "walkers")
    record = json.loads((root / "walkers.json").read_text())
    del record["per_frame"]
    (root / "walkers.json").write_text(json.dumps(record))
    few = ProbeConfig(shifts=(), noise=(), resamples=100)
    probe.run(network(), load_dataset("walkers", root), cache, EVAL, few, tmp_path / "probe", [1, 2])
    report = json.loads((tmp_path / "probe/probe.json").read_text())
    assert "attention_to" not in report and set(report["plain"]) == {"all", "clean", "occluded"}


def test_uniform_attention_changes_nothing_in_a_network_that_starts_uniform(probed):
    report, _ = probed
    cells = next(c for c in report["conditions"] if c["name"] == "uniform attention")
    assert cells["both"]["all"]["mAP"]["change"] == pytest.approx(0, abs=1e-9)


def test_conditions_side_by_side_are_those_one_by_one_whatever_the_batches(setting):
    dataset, cache = setting
    model = network()
    planned = [c for c in conditions(SMALL, model) if not c.other_clips]

    def embed(group, size):
        several = Several(model, group)
        stream = several.maps_of(batches(model, dataset, cache, size), None)
        return embed_tracklets(several, stream, len(dataset.test_tracklets()))[0]

    together = np.split(embed(planned, 5), len(planned), axis=1)
    for condition, features in zip(planned, together, strict=True):
        np.testing.assert_allclose(features, embed([condition], 64), atol=1e-5)
    unlike = [np.abs(features - together[0]).max() for features in together[2:]]  # no heat: all alike, too
    assert min(unlike) > 1e-4


def test_heat_of_another_clip_is_that_of_another_person(setting):
    dataset, cache = setting
    tracklets = dataset.test_tracklets()
    person = {f: t.person for t in tracklets for f in t.frames}
    heat = {f: cache.read_heatmaps([f])[0].tobytes() for f in person}
    other = OtherClips(cache, tracklets, seed=0)
    for tracklet in tracklets:
        found = other.read_heatmaps(list(tracklet.frames))
        owners = {person[f] for f, h in heat.items() if h == found[0].tobytes()}
        assert tracklet.person not in owners or len(owners) > 1  # empty heat is everybody's
    assert not other.missing([f for t in tracklets for f in t.frames])


def test_with_the_queries_alone_changed_the_gallery_stays(setting):
    dataset, cache = setting
    model = network()
    plain = embedded(model, dataset, cache)
    for name in ("official", "queries-kept", "queries-dropped"):
        same = score_changed_queries(plain, plain, PROTOCOLS[name], EVAL)
        base = score_queries(plain, PROTOCOLS[name], EVAL)
        np.testing.assert_allclose(same.average_precision, base.average_precision)
    mixed = queries_changed(plain, plain, KEPT)
    assert mixed.query.min() >= len(plain.features) > mixed.gallery.max()


def test_a_network_without_heat_and_attention_has_nothing_to_replace(setting, tmp_path):
    from cache.errors import KeyReIDError

    with pytest.raises(KeyReIDError, match="nothing to replace"):
        probe.run(network(kps=False, local_only=True), *setting, EVAL, SMALL, tmp_path, [1, 2])
