"""Stage one from frames to a finished cache: the same content however it is run, and clear refusals."""

import os
import shutil
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.verify import verify
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose import filling, shard_task
from stages.pose.estimator import HRNetEstimator
from stages.pose.extract import run
from stages.pose.filling import split_frames
from tests.stages.pose.compare import assert_same_shards, differing_parts
from tests.stages.pose.tiny import config, write_estimator, write_frames


@pytest.fixture
def copied(frames, tmp_path) -> Dataset:
    """The frames, to be damaged."""
    shutil.copytree(frames.root, tmp_path / "data")
    return Dataset("tiny", tmp_path / "data", (), (), frames.gallery)


def test_every_frame_is_there_with_its_own_size_and_keypoints_inside_the_input(finished, frames):
    cache = PoseCache.open(finished)
    poses = cache.read(frames.frames())
    assert cache.missing(frames.frames()) == [] and len(cache) == 30
    assert (poses.frame_size == [128, 64]).all()
    seen = poses.keypoints[poses.keypoints[..., 2] > 0]
    assert len(seen) > 200 and (seen[:, :2] >= -2).all() and (seen[:, :2] <= (66, 130)).all()
    assert verify(finished) == []
    assert cache.info.estimator == "tiny" and cache.info.input_size == (64, 128)
    assert "torch" in cache.info.packages and cache.info.parts["settings"]["batch_size"] == 4
    assert sorted(p.name for p in finished.iterdir() if "shard" not in p.name) == [
        "lock",
        "manifest.json",
        "plan.json",
        "sources.npy",
    ]


def test_batches_run_across_tracklets_and_shards_hold_whole_tracklets(frames):
    runs = split_frames(frames, 8)
    assert [len(run) for run in runs] == [10, 10, 10]
    shared = Tracklet((*frames.gallery[0].frames[:2], "new.jpg"), 1, 1, "again")
    twice = Dataset("x", frames.root, frames.gallery[:1], (), (*frames.gallery, shared))
    assert [f for run in split_frames(twice, 8) for f in run] == [*frames.frames(), "new.jpg"]


def test_a_second_run_does_nothing(finished, frames, estimator, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*.h5")}
    run(frames, config(estimator), finished)
    assert {path: path.stat().st_mtime_ns for path in finished.glob("*.h5")} == before
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_local_workers_make_the_same_bytes(count, finished, frames, estimator, tmp_path):
    run(frames, config(estimator, workers=count), tmp_path)
    assert_same_shards(tmp_path, finished)


def test_a_shard_is_written_while_the_network_is_at_the_next(
    finished, frames, estimator, tmp_path, monkeypatch
):
    second = threading.Event()
    begin, write = shard_task.make_poses, shard_task.write_shard

    def note(task):
        if task.number == 1:
            second.set()
        return begin(task)

    def wait(folder, number, *others):
        assert number or second.wait(60), "the second shard waits for the first"
        return write(folder, number, *others)

    monkeypatch.setattr(shard_task, "make_poses", note)
    monkeypatch.setattr(shard_task, "write_shard", wait)
    run(frames, config(estimator), tmp_path)
    assert_same_shards(tmp_path, finished)


def test_unfinished_work_goes_on_where_it_stopped(finished, frames, estimator, tmp_path):
    folder = tmp_path / "poses"
    shutil.copytree(finished, folder)
    for name in ("manifest.json", "shard-00001.h5"):
        (folder / name).unlink()
    (folder / "shard-00002.h5.0123.tmp").write_bytes(b"half")
    with pytest.raises(KeyReIDError, match="not finished: 2 of 3 shards"):
        PoseCache.open(folder)
    kept = (folder / "shard-00000.h5").stat().st_mtime_ns
    run(frames, config(estimator), folder)
    assert_same_shards(folder, finished)
    assert not list(folder.glob("*.tmp"))
    assert (folder / "shard-00000.h5").stat().st_mtime_ns == kept


def test_flip_padding_and_batch_size_change_what_is_made(finished, frames, estimator, tmp_path):
    base = PoseCache.open(finished).read_heatmaps(frames.frames())
    for change in ({"flip_test": True}, {"padding": 1.25}):
        folder = run(frames, config(estimator, **change), tmp_path / next(iter(change)))
        assert not np.array_equal(PoseCache.open(folder).read_heatmaps(frames.frames()), base)
    folder = run(frames, config(estimator, batch_size=7), tmp_path / "batch")
    other = PoseCache.open(folder).read_heatmaps(frames.frames()).astype(int)
    assert np.abs(other - base).max() <= 1


@pytest.mark.parametrize("batch_size", [4, 7, 16, 32])
def test_the_network_only_sees_multiples_of_16_frames(batch_size, frames, estimator, tmp_path, monkeypatch):
    seen = []
    forward = HRNetEstimator.forward

    def note(self, inputs):
        seen.append(len(inputs))
        return forward(self, inputs)

    monkeypatch.setattr(HRNetEstimator, "forward", note)
    folder = run(frames, config(estimator, batch_size=batch_size, shard_frames=20), tmp_path)
    assert set(seen) == ({16} if batch_size < 32 else {16, 32}), "shards of 20 and 10 frames"
    scores = PoseCache.open(folder).read(frames.frames()).keypoints[..., 2] * 4096
    assert (scores == scores.round()).all() and len(np.unique(scores)) > 100


def test_frames_of_any_size_go_into_one_batch(estimator, tmp_path):
    parts = [
        write_frames(tmp_path / "data" / str(n), 1, 2, size, seed=n)
        for n, size in enumerate([(64, 128), (50, 70), (200, 90)])
    ]
    tracklets = [
        Tracklet(tuple(f"{n}/{f}" for f in part.frames()), n, 1, str(n)) for n, part in enumerate(parts)
    ]
    data = Dataset("mixed", tmp_path / "data", (), (), tuple(tracklets))
    poses = PoseCache.open(run(data, config(estimator), tmp_path / "poses")).read(data.frames())
    assert poses.frame_size.tolist() == [[128, 64]] * 2 + [[70, 50]] * 2 + [[90, 200]] * 2
    alone = Dataset("alone", data.root, (), (), data.gallery[2:])
    again = PoseCache.open(run(alone, config(estimator), tmp_path / "alone")).read(alone.frames())
    assert np.abs(again.heatmaps - poses.heatmaps[4:]).max() <= 1.01 / 255


def test_all_unreadable_frames_are_found_before_the_network_runs(copied, estimator, tmp_path):
    names = copied.frames()
    whole = (copied.root / names[3]).read_bytes()
    (copied.root / names[3]).write_bytes(whole[: len(whole) // 2])
    (copied.root / names[11]).write_bytes(b"")
    (copied.root / names[20]).unlink()
    (copied.root / names[21]).write_bytes(b"GIF or whatever")
    with pytest.raises(KeyReIDError) as error:
        run(copied, config(estimator), tmp_path / "poses")
    text = str(error.value)
    for row, reason in ((3, "cut short"), (11, "zero bytes"), (20, "missing"), (21, "is not a picture")):
        assert f"{names[row]}: " in text and reason in text
    assert "4 of 30 frames" in text and "--on-bad-frame zero" in text and "\n" not in text
    assert len((tmp_path / "poses" / "unreadable-frames.txt").read_text().splitlines()) == 4
    assert not list((tmp_path / "poses").glob("shard*"))


def png_that_says(width: int, height: int) -> bytes:
    """A few bytes of PNG that declare a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + ends


def test_other_formats_and_huge_frames_are_found_too(copied, estimator, tmp_path):
    paths = [copied.root / name for name in copied.frames()]
    picture = Image.new("RGB", (64, 128))
    for path, kind in zip(paths, ("GIF", "TGA", "ICO", "PCX"), strict=False):
        picture.save(path, kind)
    Image.new("F", (64, 128)).save(paths[4], "TIFF")
    picture.save(paths[5], "BMP")  # read by both
    paths[6].write_bytes(png_that_says(60_000, 60_000))
    paths[7].write_bytes(png_that_says(6_000, 6_000))
    Image.new("L", (1, 2_000_000)).save(paths[8], "PNG")  # OpenCV raises
    with pytest.raises(KeyReIDError, match="8 of 30 frames") as error:
        run(copied, config(estimator), tmp_path / "poses")
    text = str(error.value)
    for name in copied.frames()[:5]:
        assert f"{name}: is not a picture that can be read; expected the content of a JPEG, PNG, BMP" in text
    assert "60000 x 60000 pixels; at most 34 million" in text and "6000 x 6000 pixels" in text
    assert not list((tmp_path / "poses").glob("shard*"))


def test_unreadable_frames_can_be_given_zero_heat(copied, finished, estimator, tmp_path):
    names = copied.frames()
    (copied.root / names[3]).write_bytes(b"")
    (copied.root / names[29]).unlink()
    zero = config(estimator, on_bad_frame="zero")
    folder = run(copied, zero, tmp_path / "poses")
    cache = PoseCache.open(folder)
    poses = cache.read(names)
    assert cache.info.zeroed == (names[3], names[29])
    assert not poses.heatmaps[[3, 29]].any() and not poses.keypoints[[3, 29]].any()
    good = [i for i in range(30) if i not in (3, 29)]
    expected = PoseCache.open(finished).read_heatmaps(names)
    assert np.array_equal(cache.read_heatmaps(names)[good], expected[good])
    run(copied, zero, folder)
    # Repaired frames are not those the cache was made from.
    shutil.copy(tmp_path / "data" / names[0], tmp_path / "data" / names[3])
    with pytest.raises(KeyReIDError, match=r"made with different settings.*unreadable"):
        run(copied, zero, folder)


def test_a_difference_is_named(finished, frames, estimator, tmp_path):
    other = write_estimator(tmp_path / "other", seed=1)
    cases = [
        (config(other), "weights: "),
        (config(estimator, weights=other.with_suffix(".safetensors")), "weights: "),
        (config(estimator, flip_test=True), "settings.flip_test: false -> true"),
        (config(estimator, batch_size=5), "settings.batch_size: 4 -> 5"),
        (config(estimator, threads=2), "settings.threads: 1 -> 2"),
        (config(estimator, padding=1.5), "settings.padding: 1.0 -> 1.5"),
    ]
    for changed, words in cases:
        with pytest.raises(KeyReIDError) as error:
            run(frames, changed, finished)
        assert words in str(error.value) and "--force" in str(error.value)
    fewer = Dataset("tiny", frames.root, (), (), frames.gallery[:-1])
    with pytest.raises(KeyReIDError, match=r"frames.count: 30 -> 25"):
        run(fewer, config(estimator), finished)


def test_options_left_open_are_taken_from_the_cache(finished, frames, estimator, capsys):
    open_config = config(estimator, batch_size=None, threads=None, shard_frames=None)
    run(frames, open_config, finished)
    assert "nothing to do" in capsys.readouterr().err


def test_changed_frames_are_noticed_and_touched_ones_are_not(copied, finished, estimator, tmp_path, capsys):
    folder = run(copied, config(estimator), tmp_path / "poses")
    first = copied.root / copied.frames()[0]
    os.utime(first, (time.time(), time.time() + 5))
    run(copied, config(estimator), folder)
    assert "nothing to do" in capsys.readouterr().err
    data = bytearray(first.read_bytes())
    data[-30] ^= 1  # same size
    first.write_bytes(bytes(data))
    os.utime(first, (time.time(), time.time() + 9))
    with pytest.raises(KeyReIDError, match=r"frames\.content"):
        run(copied, config(estimator), folder)
    run(copied, config(estimator, force=True), folder)
    assert verify(folder) == []
    assert differing_parts(folder / "shard-00000.h5", finished / "shard-00000.h5")


def test_content_that_changed_under_the_same_size_and_time_is_noticed(copied, estimator, tmp_path):
    folder = run(copied, config(estimator), tmp_path / "poses")
    first = copied.root / copied.frames()[0]
    stat = first.stat()
    data = bytearray(first.read_bytes())
    data[-30] ^= 1
    first.write_bytes(bytes(data))
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(KeyReIDError, match=r"frames\.content"):
        run(copied, config(estimator), folder)


def test_only_a_sample_of_untouched_frames_is_read_again_another_one_each_time(
    finished, frames, estimator, tmp_path, monkeypatch
):
    folder, read = tmp_path / "poses", []
    shutil.copytree(finished, folder)
    check = filling.check_frames

    def note(root, names, rows, *others):
        read.append(rows)
        return check(root, names, rows, *others)

    monkeypatch.setattr(filling, "check_frames", note)
    monkeypatch.setattr(filling, "SAMPLE", 4)
    for _ in range(6):
        run(frames, config(estimator), folder)
    assert {len(rows) for rows in read} == {4} and len(set(map(tuple, read))) > 1


def test_force_redoes_with_other_settings(frames, estimator, finished, tmp_path):
    folder = tmp_path / "poses"
    shutil.copytree(finished, folder)
    run(frames, config(estimator, flip_test=True, shard_frames=30, force=True), folder)
    cache = PoseCache.open(folder)
    assert len(cache.info.shards) == 1 and cache.info.parts["settings"]["flip_test"]
    assert len(list(folder.glob("shard-*"))) == 1 and verify(folder) == []


def test_a_run_that_stopped_before_its_first_shard_binds_no_later_one(frames, estimator, finished, tmp_path):
    (tmp_path / "other.pth").write_bytes(b"no weights")
    with pytest.raises(KeyReIDError, match=r"other\.pth"):
        run(frames, config(estimator, weights=tmp_path / "other.pth"), tmp_path / "poses")
    assert (tmp_path / "poses/plan.json").exists()
    assert_same_shards(run(frames, config(estimator), tmp_path / "poses"), finished)
