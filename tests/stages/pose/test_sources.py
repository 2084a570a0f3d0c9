"""Frames are what their bytes are, whatever their names say."""

import os
import shutil

import numpy as np
import pytest

from cache import PoseCache
from cache.chunks import CHUNK_SHAPE
from cache.errors import KeyReIDError
from cache.shard import frames_digest
from cache.writer import write_cache
from stages.pose.extract import run
from stages.pose.sources import (
    Sources,
    changed_frames,
    content_digest,
    known_records,
    load_records,
    refuse_changed,
)
from tests.stages.pose import tiny


@pytest.fixture
def moved(frames, tmp_path):
    """The data set at another place, with the times of its files."""
    shutil.copytree(frames.root, tmp_path / "data")
    return tmp_path / "data"


def exchange(root, one, two):
    (root / one).rename(root / "aside")
    (root / two).rename(root / one)
    (root / "aside").rename(root / two)


def test_frames_that_were_exchanged_under_the_same_names_are_found(finished, frames, moved):
    cache, names = PoseCache.open(finished), list(frames.frames())
    assert changed_frames(cache, moved, names) == []
    exchange(moved, names[3], names[20])
    assert changed_frames(cache, moved, names) == [names[3], names[20]]
    assert changed_frames(cache, moved, names[4:10][::-1]) == []
    with pytest.raises(KeyReIDError, match=r"F003.jpg: 2 of 30 frames are not those that pose cache"):
        refuse_changed(cache, moved, names)


def test_touched_frames_are_read_and_accepted(finished, frames, moved):
    cache, names = PoseCache.open(finished), list(frames.frames())
    for name in names:
        os.utime(moved / name, (1, 1))
    refuse_changed(cache, moved, names)
    (moved / names[5]).unlink()
    assert changed_frames(cache, moved, names) == [names[5]]


def test_content_that_changed_under_the_same_size_and_time_is_found_when_asked_for(finished, frames, moved):
    cache, names = PoseCache.open(finished), list(frames.frames())
    path = moved / names[7]
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed_frames(cache, moved, names) == []
    assert changed_frames(cache, moved, names, thorough=True) == [names[7]]


@pytest.mark.parametrize("damage", [lambda data: None, lambda data: data[:-1], lambda data: data[:-1] + b"x"])
def test_a_cache_without_its_record_says_that_frames_are_not_compared(
    finished, frames, moved, tmp_path, caplog, damage
):
    shutil.copytree(finished, tmp_path / "poses")
    path = tmp_path / "poses" / "sources.npy"
    data = damage(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    (moved / frames.frames()[0]).write_bytes(b"other")
    assert changed_frames(PoseCache.open(tmp_path / "poses"), moved, frames.frames()) == []
    assert "sources.npy is missing or damaged" in caplog.text and "extract-poses again" in caplog.text


def test_a_record_that_may_not_be_read_counts_as_none(tmp_path):
    path, user = tmp_path / "sources.npy", os.geteuid()
    Sources(Sources.empty(3), {}).save(path)
    path.chmod(0)
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        assert load_records(path, 3) is None
    finally:
        os.seteuid(user)
    path.chmod(0o600)
    assert len(load_records(path, 3)) == 3


def test_what_the_decoder_warns_of_is_counted(estimator, tmp_path, caplog):
    data = tiny.write_frames(tmp_path / "data")
    frame = data.root / data.frames()[4]
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) - 40] + whole[-2:])
    run(data, tiny.config(estimator), tmp_path / "poses")
    words = "the decoder reports damage in 1 of 30 frames, first " + str(frame)
    assert words in caplog.text


@pytest.mark.parametrize("old", [True, False], ids=["a digest alone", "which are unreadable is missing"])
def test_caches_of_other_writers_count_as_without_a_record_of_their_frames(frames, tmp_path, old):
    names = list(frames.frames())
    records, heat = Sources.empty(len(names)), np.zeros((len(names), *CHUNK_SHAPE), np.uint8)
    about = {"names": frames_digest(names), "content": content_digest(records["digest"])}
    small = np.zeros((len(names), 17, 3), np.float32), np.ones((len(names), 2), np.int32)
    folder = write_cache(tmp_path, names, heat, *small, parts={"frames": "0" * 64 if old else about})
    cache = PoseCache.open(folder)
    if old:
        assert changed_frames(cache, frames.root, names) == []
    Sources(records, {}).save(folder / "sources.npy")
    assert known_records(folder / "sources.npy", cache.info, names) == (None, [])
