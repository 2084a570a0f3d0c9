"""`keyreid extract-poses`, `import-poses` and `cache`, as a user types them."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cache.errors import KeyReIDError
from pipeline.cli import keyreid
from tests.stages.pose import tiny


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return tiny.write_estimator(tmp_path_factory.mktemp("estimator"))


def call(*words: object):
    return CliRunner().invoke(keyreid, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def extracted(walkers_tiny, estimator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("poses") / "walkers"
    where = ("--dataset", "walkers", "--data-root", walkers_tiny, "--cache", folder)
    result = call("extract-poses", *where, "--estimator", estimator, "--workers", 1, "--batch-size", 16)
    assert result.exit_code == 0
    return folder


def test_info_prints_what_a_cache_is(extracted, walkers_tiny):
    frames = sum(1 for _ in walkers_tiny.rglob("*.jpg"))
    result = call("cache", "info", extracted)
    for words in (f"{frames:,}", "tiny", "shards", "SHA-256", "settings.batch_size", "torch", "T"):
        assert words in result.output


def test_verify_is_quiet_about_a_sound_cache_and_names_a_damaged_shard(extracted, tmp_path):
    assert "sound" in call("cache", "verify", extracted).output
    shutil.copytree(extracted, tmp_path / "poses")
    os.truncate(tmp_path / "poses" / "shard-00000.h5", 5000)
    command = [sys.executable, "-m", "pipeline", "cache", "verify", str(tmp_path / "poses")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "shard-00000.h5: 5000 bytes, the manifest says" in done.stdout
    assert "1 problem" in done.stderr and "Traceback" not in done.stderr


def test_show_draws_a_frame_with_joints_and_parts(extracted, walkers_tiny, tmp_path):
    frame = next(walkers_tiny.rglob("bbox_train/**/*.jpg")).relative_to(walkers_tiny).as_posix()
    output = tmp_path / "picture.png"
    call("cache", "show", frame, extracted, "--data-root", walkers_tiny, "--output", output)
    picture = cv2.imread(str(output))
    assert picture.shape[1] > 3 * picture.shape[0] > 300 and picture.std() > 20
    with pytest.raises(KeyReIDError, match=r"has no nothing\.jpg"):
        call("cache", "show", "nothing.jpg", extracted)


def test_a_missing_cache_says_how_to_make_it(tmp_path):
    for command in ("info", "verify"):
        with pytest.raises(KeyReIDError, match=r"no pose cache in .*extract-poses"):
            call("cache", command, tmp_path)


def test_import_poses_fills_a_cache_from_exact_keypoints(walkers_tiny, tmp_path):
    from cache import PoseCache

    truth = np.load(walkers_tiny / "keypoints.npz", allow_pickle=False)
    results = [
        {"image_id": str(frame), "keypoints": pose.ravel().tolist()}
        for frame, pose in zip(truth["frames"], truth["keypoints"], strict=True)
    ]
    (tmp_path / "poses.json").write_text(json.dumps(results))
    where = ("--dataset", "walkers", "--data-root", walkers_tiny, "--cache", tmp_path / "poses")
    assert call("import-poses", tmp_path / "poses.json", *where, "--min-score", 0).exit_code == 0
    cache = PoseCache.open(tmp_path / "poses")
    assert cache.missing([str(frame) for frame in truth["frames"]]) == []
    with pytest.raises(KeyReIDError, match=r"--sigma = '99': .*less than or equal to 16"):
        call("import-poses", tmp_path / "poses.json", *where, "--sigma", 99)


def test_extracting_without_data_says_what_is_missing(tmp_path):
    with pytest.raises(KeyReIDError, match="no such data root"):
        call("extract-poses", "--dataset", "mars", "--data-root", tmp_path / "nowhere")
