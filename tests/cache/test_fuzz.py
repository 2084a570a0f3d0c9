"""Whatever the files of a cache hold: the right poses, or one line that names the file."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import strategies as st

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.folder import refuse_foreign
from cache.lock import lock_folder
from cache.manifest import fingerprint
from cache.verify import verify
from cache.writer import write_cache
from tests.fuzzing import EXAMPLES, JSON, damaged, fuzz

FRAMES = [f"p/{number}.jpg" for number in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    heat = np.repeat(rng.integers(0, 255, (6, 17, 8, 4), np.uint8), 8, 2).repeat(8, 3)
    points = rng.uniform(0, 100, (6, 17, 3)).astype(np.float32)
    folder = write_cache(
        tmp_path_factory.mktemp("fuzz") / "poses", FRAMES, heat, points, np.full((6, 2), 128), shard_frames=3
    )
    shutil.copy(folder / "manifest.json", folder / "plan.json")
    with lock_folder(folder):
        pass
    return folder


def one_line(act) -> object:
    """What `act` returns, or None for an error of ours, which must be one line."""
    try:
        return act()
    except KeyReIDError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000
        return None


def read_all(folder):
    """Everything that a user does with a cache."""
    one_line(lambda: verify(folder))
    one_line(lambda: refuse_foreign(folder))
    poses = one_line(lambda: PoseCache.open(folder).read(FRAMES))
    if poses is not None:
        assert np.isfinite(poses.keypoints).all() and 0 <= poses.heatmaps.min() <= poses.heatmaps.max() <= 1
    return poses


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", ["shard-00001.h5", "manifest.json", "plan.json", "lock"])
def test_damaged_files_are_right_or_refused(folder, name, examples):
    path = folder / name
    original, right = path.read_bytes(), PoseCache.open(folder).read(FRAMES)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        poses = read_all(folder)
        if poses is not None:
            assert np.array_equal(poses.heatmaps, right.heatmaps)
            assert np.array_equal(poses.keypoints, right.keypoints)

    try:
        fuzz(examples, damaged(original), check)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_records_of_any_content_with_the_right_digest_are_right_or_refused(folder, examples):
    path = folder / "manifest.json"
    original = path.read_bytes()
    record = json.loads(original)
    del record["digest"]
    keys = st.sampled_from([*record, "more"])
    shard = st.sampled_from([*record["shards"][0], "more"])

    def check(values) -> None:
        top, inner = values
        changed = json.loads(json.dumps(record))
        changed |= top
        shards = changed["shards"] if isinstance(changed["shards"], list) else []
        for number, key, value in inner:
            if number < len(shards) and isinstance(shards[number], dict):
                shards[number][key] = value
        if isinstance(changed.get("parts"), dict):
            changed["fingerprint"] = fingerprint(changed["parts"])
        changed["digest"] = fingerprint(changed)
        write_whole(path, json.dumps(changed).encode())
        read_all(folder)

    try:
        fuzz(
            examples,
            st.tuples(
                st.dictionaries(keys, JSON, max_size=2),
                st.lists(st.tuples(st.integers(0, 1), shard, JSON), max_size=2),
            ),
            check,
        )
    finally:
        path.write_bytes(original)
