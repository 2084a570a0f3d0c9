"""What is written is what is read, from any process."""

import io
import multiprocessing
import os
import pickle
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import PoseCache
from cache.chunks import FLOOR, decode, encode, fletcher32, quantise
from cache.errors import KeyReIDError
from cache.writer import build_shard, write_cache


def blobs(count: int, seed: int = 0) -> np.ndarray:
    """Gaussians with a little noise, float32 [count,17,64,32]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:32]
    centre = rng.uniform(0, (32, 64), (count, 17, 1, 1, 2))
    heat = np.exp(-((x - centre[..., 0]) ** 2 + (y - centre[..., 1]) ** 2) / 8)
    return (heat + rng.normal(0, 0.002, heat.shape)).astype(np.float32)


def sample(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    frames = [f"bbox_test/{i:04d}/frame-{'x' * (i % 3)}{i}.jpg" for i in rng.permutation(count)]
    keypoints = rng.uniform(0, 100, (count, 17, 3)).astype(np.float32)
    sizes = np.tile(np.array([256, 128], np.int32), (count, 1))
    return frames, quantise(blobs(count, seed)), keypoints, sizes


@pytest.mark.parametrize("longest", [1, 4, 300, 40_000])
def test_zlib_ng_packs_to_the_bytes_of_zlib(longest):
    rng = np.random.default_rng(longest)
    for values in (2, 256):
        content, lengths = rng.integers(0, values, 34_816), rng.integers(1, longest + 1, 34_816)
        used = 1 + int(np.searchsorted(lengths.cumsum(), 34_816))
        heat = np.repeat(content[:used].astype(np.uint8), lengths[:used])[:34_816]
        packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        assert encode(heat)[:-4] == packer.compress(heat.tobytes()) + packer.flush()


@pytest.fixture
def small(tmp_path):
    content = sample(23)
    return write_cache(tmp_path / "poses", *content, shard_frames=5), content


def test_any_frames_in_any_order_come_back_as_written(small):
    folder, (frames, heat, keypoints, sizes) = small
    cache = PoseCache.open(folder)
    pick = [7, 0, 22, 7, 11]
    poses = cache.read([frames[i] for i in pick])
    assert np.array_equal(cache.read_heatmaps([frames[i] for i in pick]), heat[pick])
    assert np.array_equal(poses.heatmaps, heat[pick].astype(np.float32) / np.float32(255))
    assert np.array_equal(poses.keypoints, keypoints[pick])
    assert np.array_equal(poses.frame_size, sizes[pick])
    assert cache.frames() == frames and len(cache) == 23
    assert cache.read_heatmaps([]).shape == (0, 17, 64, 32)


def test_unknown_frames_are_named(small):
    folder, (frames, *_) = small
    cache = PoseCache.open(folder)
    unknown = frames[3] + "x" * 90
    assert frames[3] in cache and unknown not in cache and frames[3][:-1] not in cache and "" not in cache
    assert cache.missing([frames[1], unknown, "nope"]) == [unknown, "nope"]
    with pytest.raises(KeyReIDError, match="nope nor 1 more"):
        cache.read_heatmaps([frames[0], "nope", "nope2"])


def test_names_may_hold_any_letters(tmp_path):
    frames = ["a/é.jpg", "a/e.jpg", "日本/0001.png", "a/ b.jpg"]
    _, heat, keypoints, sizes = sample(4)
    cache = PoseCache.open(write_cache(tmp_path, frames, heat, keypoints, sizes))
    assert np.array_equal(cache.read_heatmaps(frames[::-1]), heat[::-1])


def test_chunks_are_what_the_hdf5_library_writes_and_reads(small):
    folder, (_frames, heat, *_) = small
    with h5py.File(folder / "shard-00001.h5") as file:
        assert file["heatmaps"].chunks == (1, 17, 64, 32) and file["heatmaps"].fletcher32
        assert np.array_equal(file["heatmaps"][:], heat[5:10])
        stored = file["heatmaps"].id.read_direct_chunk((2, 0, 0, 0))[1]
        assert stored == encode(heat[7])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_fletcher32_is_the_librarys(data):
    with h5py.File(io.BytesIO(), "w") as file:
        values = np.frombuffer(data or b"\0", np.uint8)
        values = file.create_dataset("x", data=values, chunks=values.shape, fletcher32=True)
        stored = values.id.read_direct_chunk((0,))[1]
    assert fletcher32(stored[:-4]).to_bytes(4, "little") == stored[-4:]


def test_fletcher32_folds_like_the_library_where_sums_are_multiples_of_65535():
    for data in (b"\xff\xff", b"\xff\xff" * 3, b"\0\0", b"\xff\xfe\0\1"):
        test_fletcher32_is_the_librarys.hypothesis.inner_test(data)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_of_heat_never_decodes(place, change):
    stored = bytearray(encode(quantise(blobs(1))[0]))
    stored[place % len(stored)] ^= change
    with pytest.raises(ValueError):
        decode(bytes(stored))


def test_round_trip_error_is_within_the_stated_bounds():
    heat = np.concatenate([blobs(2).ravel(), np.linspace(-0.1, 1.1, 4001, dtype=np.float32)])
    error = np.abs(quantise(heat) / 255 - np.clip(heat, 0, 1))
    assert error[heat >= FLOOR].max() <= 1 / 510 + 1e-6
    assert error[heat < FLOOR].max() < 1 / 255


def test_same_content_gives_the_same_bytes():
    frames, heat, keypoints, sizes = sample(3)
    chunks = [encode(h) for h in heat]
    one, two = (build_shard(frames, chunks, keypoints, sizes, {"b": 1, "a": [2]}) for _ in "ab")
    assert one == two


@pytest.mark.parametrize("late", ["frames", "frame_size", "keypoints"])
def test_bytes_do_not_depend_on_when_the_garbage_collector_closes_a_data_set(late, monkeypatch):
    frames, heat, keypoints, sizes = sample(3)
    chunks = [encode(h) for h in heat]
    expected = build_shard(frames, chunks, keypoints, sizes, {"a": 1})
    create, open_ones = h5py.Group.create_dataset, []

    def keep(self, name, *given, **options):
        made = create(self, name, *given, **options)
        if name == late:
            open_ones.append(made)
        return made

    monkeypatch.setattr(h5py.Group, "create_dataset", keep)
    assert build_shard(frames, chunks, keypoints, sizes, {"a": 1}) == expected
    assert open_ones


def _read_in_child(cache, frame, results):
    results.put((os.getpid(), cache.read_heatmaps([frame]).tobytes()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_handles_are_not_carried_into_other_processes(small, method):
    folder, (frames, heat, *_) = small
    cache = PoseCache.open(folder)
    cache.read_heatmaps(frames)
    before = dict(cache._handles)
    context = multiprocessing.get_context(method)
    results = context.Queue()
    child = context.Process(target=_read_in_child, args=(cache, frames[4], results))
    child.start()
    pid, data = results.get(timeout=60)
    child.join()
    assert pid != os.getpid() and data == heat[4].tobytes()
    assert dict(cache._handles) == before
    copy = pickle.loads(pickle.dumps(cache))
    assert not copy._handles and np.array_equal(copy.read_heatmaps([frames[4]])[0], heat[4])


def test_few_handles_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr("cache.reader.OPEN_FILES", 2)
    frames, heat, keypoints, sizes = sample(12)
    cache = PoseCache.open(write_cache(tmp_path, frames, heat, keypoints, sizes, shard_frames=2))
    assert np.array_equal(cache.read_heatmaps(frames), heat)
    assert len(cache._handles) == 2
