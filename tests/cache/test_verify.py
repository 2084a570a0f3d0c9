"""No damaged byte of a shard or a record is taken for good data."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.manifest import load_manifest
from cache.verify import check_shard, verify
from cache.writer import write_cache
from tests.cache.test_reader import sample


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A cache of three shards with five frames each. Do not write to it."""
    return write_cache(tmp_path_factory.mktemp("cache") / "poses", *sample(15), shard_frames=5)


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return shutil.copytree(written, tmp_path / "poses")


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(bytes(data))


def test_a_sound_cache_has_no_problem_and_a_missing_one_is_named(folder, tmp_path):
    assert verify(folder) == []
    with pytest.raises(KeyReIDError, match="there is no pose cache in"):
        verify(tmp_path / "nothing")


@pytest.mark.parametrize("seed", range(3))
def test_every_flipped_byte_of_an_unsigned_shard_is_found(seed, folder):
    plan = load_manifest(folder / "manifest.json").plan()
    (folder / "manifest.json").unlink()
    rng = np.random.default_rng(seed)
    path = folder / "shard-00002.h5"
    original = path.read_bytes()
    with h5py.File(path) as file:
        heat = [file["heatmaps"].id.get_chunk_info(row) for row in range(len(file["frames"]))]
    inside = np.zeros(len(original), bool)
    for chunk in heat:
        inside[chunk.byte_offset : chunk.byte_offset + chunk.size] = True
    check_shard(folder, 2, plan)
    for place in rng.choice(np.flatnonzero(~inside), 100, replace=False):
        data = bytearray(original)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
        with pytest.raises(ValueError):
            check_shard(folder, 2, plan)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_no_flipped_byte_is_ever_read_as_good_data(seed, folder):
    """Random places: an error, or exactly the right content where the byte carries none."""
    rng = np.random.default_rng(seed)
    names = PoseCache.open(folder).frames()
    good = PoseCache.open(folder).read(names)
    path = folder / "shard-00002.h5"
    original = path.read_bytes()
    refused = 0
    for place in rng.integers(0, len(original), 60):
        flip(path, int(place))
        assert verify(folder), f"byte {place} of {len(original)}, seed {seed}"
        try:
            poses = PoseCache.open(folder).read(names)
        except KeyReIDError as error:
            refused += 1
            assert "shard-00002.h5" in str(error)
        else:
            for field in ("heatmaps", "keypoints", "frame_size"):
                assert np.array_equal(getattr(poses, field), getattr(good, field)), (
                    f"byte {place}, seed {seed}"
                )
        path.write_bytes(original)
    assert refused > 40


def test_a_record_without_its_digest_is_damaged(folder):
    record = json.loads((folder / "manifest.json").read_text())
    del record["digest"]
    (folder / "manifest.json").write_text(json.dumps(record | {"zeroed": ["x"]}))
    (problem,) = verify(folder)
    assert "manifest.json: not a whole record" in problem
