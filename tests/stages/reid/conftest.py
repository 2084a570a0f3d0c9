"""A tiny data set with its pose cache, and processes that train on it."""

import json
import multiprocessing
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))  # child processes import the driver by name

from cache.writer import write_cache
from tests.stages.reid.driver import Job, run_job

# Children are forked from a server that has imported torch once.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["stages.reid.train", "mmpose.models", "tests.stages.reid.driver"])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and its pose cache: 5 persons x 2 cameras x 2 tracklets x 3 or 4 frames of 64x32."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "frames").mkdir()
    rng = np.random.default_rng(0)
    frames = []
    for person in range(5):
        colours = rng.integers(0, 256, (2, 3))
        for camera in (1, 2):
            for track in range(2):
                for number in range(3 + track):
                    frames.append(f"frames/{person:04d}C{camera}T{track:03d}F{number:03d}.jpg")
                    image = np.repeat(colours, 32, axis=0)[:, None] + rng.normal(10 * camera, 15, (64, 32, 3))
                    assert cv2.imwrite(str(folder / frames[-1]), image.clip(0, 255).astype(np.uint8))
    count = len(frames)
    heat = rng.integers(0, 256, (count, 17, 64, 32), dtype=np.uint8)
    write_cache(
        folder / "cache", frames, heat, np.ones((count, 17, 3), np.float32), np.tile([64, 32], (count, 1))
    )
    return folder


def start(job: Job) -> list[multiprocessing.Process]:
    """Start the processes of a job."""
    if job.world > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            job = replace(job, port=free.getsockname()[1])
    processes = [CONTEXT.Process(target=run_job, args=(replace(job, rank=r),)) for r in range(job.world)]
    for process in processes:
        process.start()
    return processes


def finish(processes: list[multiprocessing.Process]) -> list[int]:
    """Exit codes, once all have ended."""
    for process in processes:
        process.join(600)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def train(job: Job) -> Path:
    """Run a job to its end, which must be a good one."""
    codes = finish(start(job))
    error = job.run_dir / "error.txt"
    assert codes == [0] * job.world, error.read_text() if error.exists() else codes
    return job.run_dir


def records(run_dir: Path, kind: str = "train") -> list[dict]:
    """The records of metrics.jsonl that are whole."""
    path = run_dir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [r for r in map(json.loads, lines) if r["kind"] == kind]


@pytest.fixture(scope="session")
def once(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Finished runs by their settings, each made once: once(train={...}, world=1) -> run folder."""
    done: dict[str, Path] = {}

    def make(world: int = 1, **sections: dict) -> Path:
        key = json.dumps([world, sections], sort_keys=True)
        if key not in done:
            done[key] = train(Job(tiny, tmp_path_factory.mktemp("once") / "run", world=world, **sections))
        return done[key]

    return make


@pytest.fixture(scope="session")
def setting(tmp_path_factory):
    """An untrained run folder, a data set of three tracklets with five frames each, and its pose cache."""
    from cache import PoseCache
    from stages.pose.extract import run as extract
    from tests.stages.pose import tiny
    from tests.stages.reid.own import write_run

    folder = tmp_path_factory.mktemp("embedder")
    estimator = tiny.write_estimator(folder / "pose")
    dataset = tiny.write_frames(folder / "data", tracklets=3, length=5, size=(60, 130))
    cache = extract(dataset, tiny.config(estimator), folder / "poses")
    return write_run(folder / "run", estimator), dataset, PoseCache.open(cache)
