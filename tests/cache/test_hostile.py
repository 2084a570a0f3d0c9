"""An untrusted cache: nothing outside it is read or written, small files cannot use up memory."""

import hashlib
import json
import os
import resource
from dataclasses import replace

import h5py
import numpy as np
import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.lock import lock_folder
from cache.manifest import fingerprint, load_manifest
from cache.shard import read_rows, read_small
from cache.verify import verify
from cache.writer import write_cache


@pytest.fixture
def folder(tmp_path):
    frames = [f"p/{number}.jpg" for number in range(12)]
    heat = np.zeros((12, 17, 64, 32), np.uint8)
    heat[:, 3, 10:20, 5:9] = 200
    keypoints = np.ones((12, 17, 3), np.float32)
    return write_cache(tmp_path / "poses", frames, heat, keypoints, np.full((12, 2), 128), shard_frames=4)


def forge(path, **changes) -> None:
    """Write a record again with other values and the digest that belongs to them."""
    record = json.loads(path.read_text())
    del record["digest"]
    record |= changes
    write_whole(path, json.dumps(record | {"digest": fingerprint(record)}).encode())


def entries(folder) -> list[dict]:
    return json.loads((folder / "manifest.json").read_text())["shards"]


@pytest.mark.parametrize("name", ["../precious.txt", "/etc/passwd", "manifest.json", "shard-00001.h5", ""])
def test_a_manifest_names_its_own_shards_only(folder, name):
    first, *others = entries(folder)
    forge(folder / "manifest.json", shards=[first | {"file": name}, *others])
    with pytest.raises(KeyReIDError, match=r"manifest.json: not .*\(shards are not named"):
        load_manifest(folder / "manifest.json")
    assert verify(folder)


WRONG = {
    "shards": [1, {}, [1], [{"file": 1}], None],
    "parts": [[], None, "x"],
    "zeroed": ["abc", [1], {}],
    "joint_names": [None, 3],
    "packages": [[], {"a": 1}],
    "input_size": ["12", [1], [1, "2"]],
    "created": [5, None],
    "floor": ["x"],
    "more": [1],
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_types_in_a_manifest_are_one_line(folder, key):
    for value in WRONG[key]:
        forge(folder / "manifest.json", **{key: value})
        with pytest.raises(KeyReIDError, match=r"manifest.json: .*: .*; run the extract-poses") as error:
            load_manifest(folder / "manifest.json")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": ' + b"9" * 5000 + b"}",
        b'{"schema": NaN}',
    ],
)
def test_no_content_of_a_manifest_is_a_traceback(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(KeyReIDError, match=r"manifest.json") as error:
        load_manifest(folder / "manifest.json")
    assert "\n" not in str(error.value)


def test_a_cache_of_a_newer_version_is_not_called_damaged(folder):
    forge(folder / "manifest.json", schema=2)
    with pytest.raises(KeyReIDError, match="has schema 2, this program reads 1"):
        PoseCache.open(folder)


def test_pipes_and_loops_of_links_are_refused(folder):
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(KeyReIDError, match=r"manifest.json: cannot be read: not a regular file"):
        PoseCache.open(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(folder / "manifest.json")
    with pytest.raises(KeyReIDError, match=r"manifest.json: cannot be read"):
        PoseCache.open(folder)
    assert "manifest.json: cannot be read" in verify(folder)[0]


def test_a_lock_that_is_a_link_keeps_its_target(folder, tmp_path):
    (tmp_path / "precious.txt").write_text("kept")
    (folder / "lock").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(KeyReIDError, match="lock is a symbolic link"), lock_folder(folder):
        pass
    assert (tmp_path / "precious.txt").read_text() == "kept"


def test_a_file_system_without_locks_is_named(folder, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("cache.lock.fcntl.flock", flock)
    with (
        pytest.raises(KeyReIDError, match=r"has no file locks \(Function not implemented\)"),
        lock_folder(folder),
    ):
        pass


def rebuilt(path, name, make) -> None:
    """Replace one data set of a shard."""
    with h5py.File(path, "r+") as file:
        old = file[name][:]
        del file[name]
        make(file, name, old)


def external(file, name, old):
    old.tofile("outside.bin")
    file.create_dataset(name, old.shape, old.dtype, external=[("outside.bin", 0, old.nbytes)])


def virtual(file, name, old):
    with h5py.File("other.h5", "w") as other:
        other[name] = old
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[:] = h5py.VirtualSource("other.h5", name, old.shape)
    file.create_virtual_dataset(name, layout)


def link(file, name, old):
    with h5py.File("other.h5", "w") as other:
        other[name] = old
    file[name] = h5py.ExternalLink("other.h5", name)


def soft(file, name, old):
    file["real"] = old
    file[name] = h5py.SoftLink("/real")


def unchunked(file, name, old):
    file[name] = old


def wide(file, name, old):
    file.create_dataset(name, data=old.astype(np.float64), chunks=(4, *old.shape[1:]))


@pytest.mark.parametrize("make", [external, virtual, link, soft, unchunked, wide])
@pytest.mark.parametrize("name", ["keypoints", "heatmaps", "frame_size"])
def test_only_what_is_stored_in_the_shard_itself_is_read(folder, tmp_path, monkeypatch, make, name):
    monkeypatch.chdir(tmp_path)
    rebuilt(folder / "shard-00000.h5", name, make)
    for read in (read_rows, read_small):
        with pytest.raises(ValueError, match=rf"{name}") as error:
            read(folder / "shard-00000.h5")
        assert "\n" not in str(error.value)


def test_a_shard_that_claims_more_than_it_can_hold_takes_no_memory(tmp_path):
    rows = 500_000
    with h5py.File(tmp_path / "bomb.h5", "w", libver=("v110", "v110")) as file:
        packed = {"compression": "gzip", "compression_opts": 9, "fletcher32": True}
        file.create_dataset("heatmaps", (rows, 17, 64, 32), "u1", chunks=(1, 17, 64, 32), **packed)
        for name, shape, kind in (
            ("keypoints", (rows, 17, 3), "f4"),
            ("frame_size", (rows, 2), "i4"),
            ("frames", (rows,), "S4000"),
            ("places", (rows, 2), "i8"),
        ):
            file.create_dataset(name, shape, kind, chunks=(256, *shape[1:]), **packed)
        file.attrs["schema"] = np.int64(1)
    assert (tmp_path / "bomb.h5").stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_rows, read_small):
        with pytest.raises(ValueError, match="claims 500000 frames in"):
            read(tmp_path / "bomb.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_places_outside_the_file_are_refused(folder):
    path = folder / "shard-00000.h5"
    for place in ([2**62, 100], [10, 2**30], [-1, 5]):
        with h5py.File(path, "r+") as file:
            file["places"][0] = place
        with pytest.raises(ValueError, match="places lie outside the file"):
            read_rows(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_keypoints_that_are_not_finite_are_refused_when_made_and_when_read(folder, tmp_path, value):
    with h5py.File(folder / "shard-00000.h5", "r+") as file:
        points = file["keypoints"][:]
        points[1, 2, 0] = value
        file["keypoints"][:] = points
    manifest = load_manifest(folder / "manifest.json")
    data = (folder / "shard-00000.h5").read_bytes()
    signed = replace(manifest.shards[0], bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    replace(manifest, shards=(signed, *manifest.shards[1:])).save(folder / "manifest.json")
    assert any("keypoints or frame sizes are not valid pixel values" in line for line in verify(folder))
    with pytest.raises(KeyReIDError, match="not valid pixel values"):
        PoseCache.open(folder).read(["p/0.jpg"])
    with pytest.raises(ValueError, match="not finite"):
        write_cache(
            tmp_path / "new", ["a"], np.zeros((1, 17, 64, 32), np.uint8), points[1:2], np.ones((1, 2))
        )


def test_a_reader_that_is_open_takes_nothing_of_a_cache_that_is_made_again(folder):
    cache = PoseCache.open(folder)
    cache.read_heatmaps(["p/0.jpg"])  # its file is open: the old one is read to the end
    frames = [f"p/{number}.jpg" for number in range(12)]
    heat = np.full((12, 17, 64, 32), 9, np.uint8)
    write_cache(folder, frames, heat, np.ones((12, 17, 3), np.float32), np.full((12, 2), 128), shard_frames=4)
    assert cache.read_heatmaps(["p/0.jpg"]).max() == 200
    with pytest.raises(KeyReIDError, match="not the file it was when the cache was opened"):
        cache.read_heatmaps(["p/5.jpg"])


def test_few_open_files_are_enough(tmp_path):
    count = 100
    frames = [f"{number}.jpg" for number in range(count)]
    heat = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(17, 1).repeat(64, 2).repeat(32, 3)
    write_cache(tmp_path, frames, heat, np.ones((count, 17, 3)), np.ones((count, 2)), shard_frames=1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    cache = PoseCache.open(tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
    try:
        assert (cache.read_heatmaps(frames) == heat).all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
