"""A network over tracklets: names, header and features of embeddings; hidden parts."""

import numpy as np
import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import (
    Checkpoint,
    _on_host,
    block_lengths,
    embed_set,
    embed_tracklets,
    pose_record,
)
from tests.stages.reid.model.tiny import tiny_clips, tiny_model
from tests.stages.reid.training.test_waits import counted

CONFIG = EvalConfig(workers=0, batch_size=4, camera="unknown")


@pytest.fixture(scope="module")
def made(setting):
    """(checkpoint, its embeddings of all tracklets, calls of the progress)."""
    folder, dataset, poses = setting
    checkpoint = Checkpoint.load(folder / "model.safetensors", "cpu")
    seen = []
    found = embed_set(
        checkpoint.model, CONFIG, dataset.root, dataset.tracklets(), poses, [], "tiny",
        {"checkpoint": checkpoint.about()}, lambda *call: seen.append(call),
    )  # fmt: skip
    return checkpoint, found, seen


def test_embeddings_have_names_cameras_and_what_made_them(made, setting):
    folder, dataset, _ = setting
    checkpoint, found, _ = made
    assert found.names.tolist() == [t.name for t in dataset.tracklets()]
    assert found.features.shape == (3, 32 + 6 * 32) and found.global_width == 32 and found.parts == 6
    assert found.visibility.shape == (3, 6) and found.normalised
    assert found.about["checkpoint"]["path"] == str((folder / "model.safetensors").resolve())
    assert found.checkpoint == checkpoint.sha256 and found.about["camera"] == "unknown"
    assert found.about["dataset"] == "tiny" and found.about["device"] == "cpu"
    lengths = np.linalg.norm(found.features.reshape(3, 7, 32), axis=2)
    assert np.allclose(lengths, 1, atol=1e-5)


def test_progress_counts_batches_to_the_last(made):
    _, _, seen = made
    assert [done for _, done, _ in seen] == list(range(1, seen[0][2] + 1)) and seen[0][0] == "embed"


def test_a_pose_cache_says_what_made_it(setting):
    _, _, poses = setting
    record = pose_record(poses)
    assert record["estimator"] == "tiny" and record["fingerprint"] == poses.info.fingerprint


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeyReIDError, match=r"none\.json: no such file"):
        Checkpoint.load(tmp_path / "none.safetensors", "cpu")


@pytest.mark.parametrize("fields", [{}, {"part_width": 20}, {"global_only": True}])
def test_every_block_of_a_tracklet_is_the_mean_of_its_clips_at_length_one(fields):
    model = tiny_model(**fields)
    images, maps, cameras = tiny_clips(model, batch=5)
    whose = torch.tensor([0, 0, 1, 0, 1])
    batch = {"images": images, "part_maps": maps, "cameras": cameras, "tracklet": whose}
    features, _ = embed_tracklets(model, [batch], 2)
    clips = model.embed(images, maps, cameras).numpy()
    means = np.stack([clips[[0, 1, 3]].mean(0), clips[[2, 4]].mean(0)])
    edges = np.cumsum(model.block_widths)[:-1]
    for found, mean in zip(np.split(features, edges, 1), np.split(means, edges, 1), strict=True):
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        assert (length < 0.9999).any(), "clips of a tracklet differ"
        np.testing.assert_allclose(found, mean / length, atol=1e-5)


def test_a_part_without_heat_in_the_whole_tracklet_has_visibility_zero_and_a_feature_of_zeros():
    model = tiny_model()
    images, maps, cameras = tiny_clips(model)
    maps[:, :, 4] = 0
    maps[0, :, 1] = 0  # of one of its clips
    batch = {"images": images, "part_maps": maps, "cameras": cameras, "tracklet": torch.tensor([0, 0, 1])}
    features, visibility = embed_tracklets(model, [batch], 2)
    blocks = block_lengths(torch.from_numpy(features), model.block_widths)
    expected = torch.ones(2, 7)
    expected[:, 5], expected[0, 2] = 0, 0.5  # seen in one of two clips
    torch.testing.assert_close(blocks, expected)
    assert (visibility[:, 4] == 0).all() and (visibility[:, [0, 1, 2, 3, 5]] > 0.2).all()
    assert visibility[0, 1] < 0.6 < visibility[1, 1]


@pytest.mark.parametrize("camera", ["given", "unknown"])
def test_no_batch_waits_for_a_number(camera):
    """Each number that is read from a GPU waits for all that it has to do."""
    model = tiny_model(part_depth=1)
    images, maps, cameras = (value.to("meta") for value in tiny_clips(model))
    model.to("meta").embed(images, maps, cameras if camera == "given" else None)
    model = tiny_model(part_depth=1)
    images, maps, cameras = tiny_clips(model)
    batch = {"images": images, "part_maps": maps, "cameras": cameras, "tracklet": torch.tensor([0, 0, 1])}
    reads = [counted(lambda n=n: embed_tracklets(model, [batch] * n, 2, camera))[1] for n in (1, 5)]
    reads[1]["__int__"] -= 4 * (camera == "given")  # cameras in range, which a CPU looks at
    assert reads[0] == reads[1], reads


def test_what_is_on_a_gpu_comes_one_batch_late_and_in_order():
    done = []

    def batches():
        for number in range(3):
            done.append(number)
            yield (torch.tensor(number),)

    seen = [(int(value), len(done)) for (value,) in _on_host(batches())]
    assert seen == [(0, 2), (1, 3), (2, 3)]
