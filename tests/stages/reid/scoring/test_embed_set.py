"""A network over tracklets: names, header and features of the embeddings."""

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import Checkpoint, embed_set, pose_record

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
