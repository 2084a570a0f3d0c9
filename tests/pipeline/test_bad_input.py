"""Each mistake ends in one line that names the thing and the way out, with exit code 2 and no traceback."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from cache.writer import write_cache
from stages.datasets import load_dataset
from tests.pipeline.conftest import TINY_SET, Trained


@pytest.fixture
def data(walkers_tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(walkers_tiny, tmp_path / "data"))


@pytest.fixture
def refused(keyreid, tmp_path):
    """Call a command; it must end with code 2 and one line holding all the words. Nothing else is made."""

    def call(*words, says: tuple[str, ...]) -> str:
        result = keyreid(*words)
        lines = [line for line in result.err.splitlines() if line.strip()]
        assert result.code == 2, result
        assert "Traceback" not in result.err
        assert len([line for line in lines if line.startswith("keyreid: error: ")]) == 1, result.err
        assert all(re.search(word, lines[-1]) for word in says), lines[-1]
        assert not list(tmp_path.glob("runs/*/*")), "a run folder was left behind"
        assert not list(tmp_path.glob("poses/manifest.json")), "a cache that looks finished was left behind"
        return lines[-1]

    return call


def _first_frame(root: Path) -> Path:
    return root / load_dataset("walkers", root).train[0].frames[1]


def test_missing_data_root(refused, tmp_path):
    refused("extract-poses", "--data-root", tmp_path / "none", says=("none", "synthesize"))
    refused("train", "--data-root", tmp_path / "none", says=("none", "synthesize"))
    refused("train", "--dataset", "mars", "--data-root", tmp_path / "none", says=("none", "--data-root"))


def test_missing_info_file(refused, data):
    (data / "info/tracks_train_info.mat").unlink()
    refused("extract-poses", "--data-root", data, says=("tracks_train_info.mat",))


def test_frame_listed_but_absent(refused, data, tmp_path):
    frame = _first_frame(data)
    frame.unlink()
    where = ("--data-root", data, "--cache", tmp_path / "poses")
    refused("extract-poses", *where, says=(frame.name,))
    refused("train", *where, "--runs", tmp_path / "runs", says=(frame.name,))


@pytest.mark.parametrize("kept", [0, 700])
def test_zero_byte_and_truncated_jpeg(refused, data, tmp_path, kept):
    frame = _first_frame(data)
    frame.write_bytes(frame.read_bytes()[:kept])
    refused("extract-poses", "--data-root", data, "--cache", tmp_path / "poses", says=(frame.name,))


def test_fewer_identities_than_a_batch_needs(refused, trained: Trained, tmp_path):
    where = ("--data-root", trained.data, "--cache", trained.poses, "--runs", tmp_path / "runs")
    refused("train", *where, *TINY_SET, "--set", "train.sampler.identities=9", says=("9", "identities"))


def test_no_person_is_seen_by_two_cameras(refused, trained: Trained, tmp_path):
    """A query of such a person cannot be scored; where no query can, that is an error."""
    from scipy.io import loadmat, savemat

    data = Path(shutil.copytree(trained.data, tmp_path / "data"))
    path = data / "info/query_IDX.mat"
    rows = loadmat(data / "info/tracks_test_info.mat")["track_test_info"]
    # Keep the queries, take every other camera's tracklets of their persons out of the list.
    query = loadmat(path)["query_IDX"][0]
    first = rows[query[0] - 1]
    keep = [i for i, r in enumerate(rows) if r[2] != first[2] or r[3] == first[3]]
    savemat(data / "info/tracks_test_info.mat", {"track_test_info": rows[keep]})
    savemat(path, {"query_IDX": np.array([[keep.index(query[0] - 1) + 1]])})
    where = ("--data-root", data, "--cache", trained.poses, "--run", trained.run, "-o", tmp_path / "out")
    refused("eval", *where, says=("right answer", "another camera"))
    assert not (tmp_path / "out/metrics.json").exists()


def test_no_cache_yet(refused, data, tmp_path):
    where = ("--data-root", data, "--cache", tmp_path / "poses", "--runs", tmp_path / "runs")
    refused("train", *where, *TINY_SET, says=("no pose cache", "extract-poses"))


def test_cache_of_other_frames(refused, data, tmp_path):
    heat = np.zeros((1, 17, 64, 32), np.uint8)
    write_cache(
        tmp_path / "other", ["a/b.jpg"], heat, np.zeros((1, 17, 3), np.float32), np.array([[256, 128]])
    )
    where = ("--data-root", data, "--cache", tmp_path / "other", "--runs", tmp_path / "runs")
    refused("train", *where, *TINY_SET, says=("other", r"frames", "extract-poses"))
    refused("extract-poses", *where[:4], says=("other", "--force"))


def test_cache_made_with_other_weights(refused, trained: Trained, tmp_path):
    from safetensors.torch import load_file, save_file

    from stages.pose.config import SPECS

    weights = load_file(SPECS / "walkers.safetensors")
    name = next(k for k in weights if k.endswith("weight"))
    weights[name] = weights[name] * 1.01
    save_file(weights, tmp_path / "mine.safetensors")
    where = (
        "--data-root",
        trained.data,
        "--cache",
        trained.poses,
        "--pose-weights",
        tmp_path / "mine.safetensors",
    )
    refused("extract-poses", *where, says=("weights", "--force"))


def test_unknown_key_and_wrong_value(refused, data):
    refused("train", "--data-root", data, "--set", "train.epoch=3", says=("train.epoch", "did you mean"))
    refused("train", "--data-root", data, "--set", "train.epochs=many", says=("train.epochs", "integer"))


def test_no_run_to_evaluate(refused, data, tmp_path):
    refused("eval", "--data-root", data, "--runs", tmp_path / "runs", says=("no finished run", "make train"))
    refused("eval", "--run", tmp_path, says=("config.yaml",))


def test_damaged_checkpoint(refused, trained: Trained, tmp_path):
    run = Path(shutil.copytree(trained.run, tmp_path / "run"))
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    refused("eval", "--run", run, says=("model.safetensors",))


def test_debug_shows_the_traceback(keyreid, tmp_path):
    from cache.errors import KeyReIDError

    with pytest.raises(KeyReIDError):
        keyreid("train", "--data-root", tmp_path / "none", "--debug")
