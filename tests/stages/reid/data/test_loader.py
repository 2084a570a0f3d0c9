"""Batches for training and testing."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.writer import write_cache
from stages.reid.data.clip_batches import TrainingClips, camera_index
from stages.reid.data.config import AugmentConfig, ClipConfig, LoaderConfig, SamplerConfig
from stages.reid.data.keyed import sample_keys
from stages.reid.data.loader import map_grid, training_loader, training_reader
from stages.reid.data.loader import test_loader as loader_for_test
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.data.reader import DiskReader, FrameIndex, MemoryReader
from stages.reid.data.sampler import BatchStream, IdentitySampler
from stages.reid.model import KeyReID, ModelConfig
from tests.limits import file_size_limit
from tests.stages.reid.driver import MODEL, dataset

CONFIG = ModelConfig(**MODEL)
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def data(tiny):
    return dataset(tiny), PoseCache.open(tiny / "cache")


def clips_of(data, config=CONFIG):
    ds, cache = data
    index = FrameIndex([t.frames for t in ds.train])
    disk = DiskReader(ds.root, index, cache, PartGroups.of(config.parts), config.image_size)
    persons = np.array([t.person for t in ds.train])
    return TrainingClips(disk, index, persons, persons * 0, config, AugmentConfig(), HALF, HALF)


def clips_for_test(root, tracklets, cache, batch_size, cameras=(), config=CONFIG):
    clips = ClipConfig(batch_size=batch_size, workers=0)
    return loader_for_test(KeyReID(config, 2, 2), clips, root, tracklets, cache, cameras)


def batches_of(data, **loader):
    train = data[0].train
    sampler = IdentitySampler(
        [t.person for t in train], [t.camera for t in train], SamplerConfig(identities=3), 0
    )
    return list(training_loader(clips_of(data), BatchStream(sampler, epochs=2), LoaderConfig(**loader)))


def equal(one, two):
    return len(one) == len(two) and all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(one, two, strict=True)
    )


def test_batches_have_the_promised_shapes_types_and_ranges(data):
    batch = batches_of(data, workers=0)[0]
    shapes = {k: (tuple(v.shape), v.dtype) for k, v in batch.items()}
    assert shapes == {
        "images": ((12, 2, 3, 64, 32), torch.float32),
        "part_maps": ((12, 2, 6, 4, 2), torch.float32),  # on the patch grid
        "persons": ((12,), torch.int64),
        "cameras": ((12,), torch.int64),
        "erased": ((12, 2), torch.float32),
        "keys": ((12,), torch.int64),
    }
    assert batch["part_maps"].min() >= 0 and 0.5 < batch["part_maps"].max() <= 1
    assert batch["images"].min() >= -1 and batch["images"].max() <= 1
    assert batch["erased"].min() == 0 and 0.1 < batch["erased"].max() <= 1  # share of a frame's heat
    assert len(batch["erased"].unique()) > 2


def test_cameras_are_hidden_for_a_share_of_the_clips_drawn_by_key(data):
    clips = clips_of(data)
    samples = [(i % len(clips.persons), 1000 + i) for i in range(200)]
    plain = clips.__getitems__(samples)
    clips.config = clips.config.model_copy(update={"hide_camera": 0.3})
    hiding = clips.__getitems__(samples)
    hidden = hiding["cameras"] == -1
    assert 0.2 < hidden.float().mean() < 0.4 and (plain["cameras"] >= 0).all()
    assert torch.equal(hiding["cameras"][~hidden], plain["cameras"][~hidden])
    assert torch.equal(hiding["pixels"], plain["pixels"])
    assert torch.equal(clips.__getitems__(samples[7:9])["cameras"], hiding["cameras"][7:9])


def test_erased_is_yes_or_no_for_the_released_arithmetic(data):
    config = CONFIG.model_copy(update={"guidance": "published"})
    erased = clips_of(data, config).__getitems__([(i, 1000 + i) for i in range(8)])["erased"]
    assert set(erased.unique().tolist()) == {0.0, 1.0}


def test_intruders_are_single_frames_of_other_persons_drawn_by_key_and_marked(data):
    ds, _ = data
    clips = clips_of(data)
    clips.config = AugmentConfig(intruder=0.5, erase=0.0)
    keys, tracklets = sample_keys(seed=0, epoch=0, count=400), np.arange(400) % len(ds.train)
    rows = clips.starts[tracklets, None] + np.zeros((400, 2), np.int64)
    found, mask = clips.with_intruders(rows, keys, tracklets)
    assert 0.3 < mask.any(axis=1).mean() <= 0.5 and mask.sum(axis=1).max() == 1
    assert np.array_equal(found[~mask], rows[~mask])
    whose = np.repeat(np.arange(len(ds.train)), clips.lengths)[found]  # tracklet of every frame
    others = clips.persons[whose] != clips.persons[tracklets][:, None]
    assert np.array_equal(others, mask), "never of the same person"
    assert 0.4 < mask[:, 0].sum() / mask.sum() < 0.6
    alone, place = clips.with_intruders(rows[7:9], keys[7:9], tracklets[7:9])
    assert np.array_equal(alone, found[7:9]) and np.array_equal(place, mask[7:9])
    samples = list(zip(tracklets[:16].tolist(), keys[:16].tolist(), strict=True))
    batch = clips.__getitems__(samples)
    assert np.array_equal(batch["erased"].numpy(), mask[:16].astype(np.float32))
    assert torch.equal(batch["persons"], torch.from_numpy(clips.persons[tracklets[:16]]))
    _, none = clips_of(data).with_intruders(rows, keys, tracklets)
    assert not none.any()


@pytest.mark.parametrize("start", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_workers_started_in_any_way_read_the_same_batches(data, start):
    data[1].read_heatmaps(data[0].train[0].frames)  # handles are open in this process already
    workers = 2 if start == "fork" else 1  # others import torch, each
    assert equal(batches_of(data, workers=0), batches_of(data, workers=workers, start=start))


RUN = """
import multiprocessing, sys, time
from torch.utils.data import DataLoader
from stages.reid.data.loader import _start_worker
if __name__ == "__main__":
    loader = DataLoader(
        range(99), num_workers=2, multiprocessing_context=sys.argv[1], worker_init_fn=_start_worker
    )
    for _ in loader:
        print(*[worker.pid for worker in multiprocessing.active_children()], flush=True)
        time.sleep(999)
"""


@pytest.mark.parametrize("start", ["fork", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_workers_end_with_a_main_process_that_is_killed(tmp_path, start):
    """Waits without end where they do not."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, "-W", "ignore", str(script), start]
    where = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=where) as run:
        workers = [Path("/proc", pid) for pid in run.stdout.readline().split()]
        assert len(workers) == 2
        run.kill()
    while any(worker.exists() for worker in workers):
        time.sleep(0.1)


def test_the_memory_of_a_worker_does_not_grow_over_ten_epochs(tiny):
    """With an index as long as that of MARS; of Python objects, a worker would copy it page by page."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.stages.reid.worker_memory", str(tiny)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["frames"] > 509_914
    assert np.mean(seen["mb"][-3:]) - np.mean(seen["mb"][3:6]) < 1, f"MB by epoch: {seen['mb']}"


def test_memory_and_disk_give_the_same(data):
    clips = clips_of(data)
    memory = MemoryReader(clips.reader)
    rows = np.array([5, 0, 11, 5])
    for one, two in zip(clips.reader.read(rows), memory.read(rows), strict=True):
        np.testing.assert_array_equal(one, two)
    per_frame = 64 * 32 * 3 + 6 * 64 * 32
    assert MemoryReader.needed_mb(clips.reader) == pytest.approx(len(clips.reader.index) * per_frame / 1e6)


def test_the_part_maps_of_a_test_clip_are_those_of_its_frames_and_the_last_repeats(data):
    ds, cache = data
    odd = [t for t in ds.train if len(t.frames) == 3]
    loader = clips_for_test(ds.root, odd, cache, 3)
    batches = list(loader)
    whose = torch.cat([b["tracklet"] for b in batches])
    assert whose.tolist() == np.repeat(np.arange(len(odd)), 2).tolist() and len(batches[0]["images"]) == 3
    maps = torch.cat([b["part_maps"] for b in batches])
    heat = cache.read(odd[0].frames).heatmaps
    expected = joints_to_parts(heat, PartGroups.of(6).joints)
    np.testing.assert_allclose(maps[0], expected[:2], atol=1e-6)
    np.testing.assert_allclose(maps[1], expected[[2, 2]], atol=1e-6)
    images = torch.cat([b["images"] for b in batches])
    assert torch.equal(images[1, 0], images[1, 1]) and not torch.equal(images[0, 0], images[0, 1])


def test_cameras_are_numbered_as_in_training_and_others_are_unknown(data):
    ds, cache = data
    loader = clips_for_test(ds.root, ds.train, cache, 64, [5, 2])
    cameras, whose = (torch.cat([b[k] for b in loader]) for k in ("cameras", "tracklet"))
    for tracklet, camera in zip(whose.tolist(), cameras.tolist(), strict=True):
        assert camera == {1: -1, 2: 1}[ds.train[tracklet].camera]
    assert camera_index([3, None, 1], known=[1, 3]).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("size", "patch"), [((64, 32), 16), ((256, 128), 16), ((128, 64), 8), ((112, 56), 14)]
)
def test_part_maps_are_a_multiple_of_the_patch_grid(size, patch):
    args = {**MODEL["backbone_args"], "patch_size": patch}
    config = ModelConfig(**{**MODEL, "image_size": size, "backbone_args": args})
    grid = KeyReID(config, 2, 1).grid
    assert all(
        m % g == 0 and m >= least for m, g, least in zip(map_grid(config), grid, (64, 32), strict=True)
    )


def test_guidance_published_gets_maps_in_minus_one_to_one(data):
    config = CONFIG.model_copy(update={"guidance": "published"})
    ds, cache = data
    batch = next(iter(clips_for_test(ds.root, ds.train, cache, 4, config=config)))
    assert batch["part_maps"].min() == -1 and 0 < batch["part_maps"].max() <= 1
    empty = config.model_copy(update={"published_maps": "empty"})
    batch = next(iter(clips_for_test(ds.root, ds.train, cache, 4, config=empty)))
    assert (batch["part_maps"] == -1).all(), "no heat, as the released maps are"


@pytest.mark.parametrize("workers", [0, 2])
def test_frames_that_break_during_training_are_one_line_that_names_one(data, tmp_path, workers):
    ds, cache = data
    for frame in [f for t in ds.train for f in t.frames]:
        (tmp_path / frame).parent.mkdir(exist_ok=True)
        (tmp_path / frame).write_bytes((ds.root / frame).read_bytes()[:300])
    with pytest.raises(KeyReIDError, match=r"\dC\dT\d+F\d+.jpg.*cut short") as caught:
        batches_of((replace(ds, root=tmp_path), cache), workers=workers)
    assert "\n" not in str(caught.value)


def test_a_cache_without_some_frames_is_an_error_that_names_one(data, tmp_path):
    ds, cache = data
    few = list(ds.train[0].frames)
    write_cache(
        tmp_path / "few", few, cache.read_heatmaps(few), np.zeros((len(few), 17, 3), np.float32),
        np.full((len(few), 2), 64),
    )  # fmt: skip
    with pytest.raises(KeyReIDError, match=rf"missing.*{ds.train[1].frames[0]}.*extract-poses"):
        clips_for_test(ds.root, ds.train, PoseCache.open(tmp_path / "few"), 4)


def test_a_custom_grouping_without_mirror_partner_reads(data):
    config = CONFIG.model_copy(update={"parts": {"left hand": ["left_wrist"], "head": ["nose"]}})
    samples = [(i, 1000 + i) for i in range(6)]
    assert clips_of(data, config).__getitems__(samples)["part_maps"].shape == (6, 2, 2, 4, 2)


def test_grey_frames_read_as_rgb(data, tmp_path):
    from stages.frame_file import read_picture

    cv2.imwrite(str(tmp_path / "grey.jpg"), np.full((64, 32), 77, np.uint8))
    assert (read_picture(tmp_path / "grey.jpg", (64, 32)) == 77).all()


def test_memory_is_for_the_whole_machine_and_has_to_be_there(data, monkeypatch):
    disk = clips_of(data).reader
    enough = LoaderConfig(memory_mb=math.ceil(2 * MemoryReader.needed_mb(disk)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert training_reader(disk, enough) is disk
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert isinstance(training_reader(disk, enough), MemoryReader)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(KeyReIDError, match=r"in each of 2 process.*--shm-size"):
        training_reader(disk, enough)


def test_shared_memory_that_cannot_be_had_is_one_line(data):
    disk = clips_of(data).reader
    with pytest.raises(KeyReIDError, match=r"/dev/shm.*memory_mb=0") as error, file_size_limit(1000):
        MemoryReader(disk)
    assert "\n" not in str(error.value)
