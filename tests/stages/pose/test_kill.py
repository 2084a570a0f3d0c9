"""A killed extraction loses at most the shards it was at, and never leaves anything wrong behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize(
    ("kills", "commands"), [(6, 0), pytest.param(50, 3, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_kills_at_random_points_leave_every_cache_right_or_unfinished(kills, commands, tmp_path):
    seed = int(os.environ.get("KEYREID_KILL_SEED", "0"))
    command = [sys.executable, "-W", "ignore", "-m", "tests.stages.pose.kill_harness", str(tmp_path)]
    command += ["--kills", str(kills), "--commands", str(commands), "--seed", str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    assert report["killed"] >= kills and report["commands"] == commands and report["compared"] >= kills / 5
    assert report["opened"] < report["killed"] + report["survived"]


def test_workers_end_with_their_run(estimator, frames, tmp_path):
    code = f"""
from pathlib import Path
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose.extract import run
from tests.stages.pose import tiny
tracklets = tuple(Tracklet((frame,), 1, 1, frame) for frame in {list(frames.frames())!r})
config = tiny.config(Path({str(estimator)!r}), workers=2, shard_frames=1)
run(Dataset("tiny", Path({str(frames.root)!r}), (), (), tracklets), config, Path({str(tmp_path)!r}))
"""
    run = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("shard-*.h5")) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.02)
    children = [
        int(pid)
        for pid in os.listdir("/proc")  # noqa: PTH208
        if pid.isdigit() and _parent(int(pid)) == run.pid
    ]
    run.send_signal(signal.SIGKILL)
    run.wait()
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children and not [pid for pid in children if _alive(pid)]


def _status(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def _parent(pid: int) -> int:
    return int(_status(pid)[1])


def _alive(pid: int) -> bool:
    return _status(pid)[0] not in "XZ"
