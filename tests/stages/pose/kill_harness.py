"""Starts real extractions and kills them with SIGKILL at random points; prints what it saw as JSON.

    python -m tests.stages.pose.kill_harness FOLDER --kills 50 --commands 4 --seed 0

Most runs are forked from this process, which has the libraries loaded and runs no threads of its own;
some are killed after a random time, some at a random file operation. The rest are full commands, one of
them with worker processes. After each kill the cache opens, and then is right, or says what is missing;
every few kills the cache is finished and must equal, byte for byte, one that nobody disturbed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.verify import verify
from tests.stages.pose import tiny

SERIES = 5  # kills before a cache is finished and compared
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")


class Harness:
    def __init__(self, folder: Path, seed: int):
        import torch

        torch.set_num_threads(1)
        self.random = random.Random(seed)
        self.folder = folder
        self.estimator = tiny.write_estimator(folder / "estimator")
        self.frames = tiny.write_frames(folder / "data", tracklets=12)
        self.config = tiny.config(self.estimator, shard_frames=5)
        self.reference = folder / "reference"
        self.events = self._run_child(self.reference, None)[1]
        began = time.monotonic()
        self._run_child(folder / "timed", None)
        self.seconds = time.monotonic() - began
        self.heat = PoseCache.open(self.reference).read_heatmaps(self.frames.frames())
        self.killed = self.survived = self.opened = self.compared = 0

    def _run_child(self, target: Path, kill) -> tuple[int, int]:
        """Fork and run the extraction; kill(pid) may end it. Returns wait status and file events seen.

        kill may be an int: the child then kills itself at that file event.
        """
        import torch  # noqa: F401  loaded before the fork

        import stages.pose.estimator  # noqa: F401
        from stages.pose.extract import run

        counter = self.folder / "events"
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                seen = 0

                def watch(event: str, _arguments) -> None:
                    nonlocal seen
                    if event in EVENTS:
                        seen += 1
                        if seen == kill:
                            os.kill(os.getpid(), signal.SIGKILL)

                sys.addaudithook(watch)
                run(self.frames, self.config, target)
                counter.write_text(str(seen))
                code = 0
            finally:
                os._exit(code)
        if callable(kill):
            kill(pid)
        status = os.waitpid(pid, 0)[1]
        return status, int(counter.read_text()) if status == 0 else 0

    def kill_forked(self, target: Path) -> bool:
        """True where the cache is finished, so that more kills would hit nothing."""
        if self.random.random() < 0.5:
            kill = self.random.randint(1, self.events)
        else:
            delay = self.random.uniform(0, 1.1 * self.seconds)

            def kill(pid: int) -> None:
                time.sleep(delay)
                os.kill(pid, signal.SIGKILL)

        return self._record(os.waitstatus_to_exitcode(self._run_child(target, kill)[0]), target)

    def kill_command(self, target: Path, workers: int) -> None:
        """The whole program, killed somewhere between its start and a little after its end."""
        command = [sys.executable, "-m", "tests.stages.pose.kill_harness", "--run"]
        command += [str(self.folder), str(target), str(workers)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        plan, deadline = target / "plan.json", time.monotonic() + 100
        while not plan.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)  # importing takes seconds in which nothing can be broken
        time.sleep(self.random.uniform(0, 3.0 + 3.0 * (workers > 1)))
        process.kill()
        self._record(process.wait(), target)

    def _record(self, code: int, target: Path) -> bool:
        """Check what a run left; True where that is a finished cache."""
        if code not in (0, -signal.SIGKILL):
            raise AssertionError(f"a run ended with {code} in {target}")
        self.killed += code != 0
        self.survived += code == 0
        try:
            cache = PoseCache.open(target)
        except KeyReIDError as error:
            known = ("not finished", "there is no pose cache")
            assert any(words in str(error) for words in known), str(error)
            assert code != 0, f"a run that ended well left {error}"
            return False
        self.opened += 1
        assert np.array_equal(cache.read_heatmaps(self.frames.frames()), self.heat), target
        return True

    def finish(self, target: Path) -> None:
        status = self._run_child(target, None)[0]
        assert status == 0, f"finishing {target} ended with {os.waitstatus_to_exitcode(status)}"
        names = [path.name for path in self.reference.glob("shard-*")]
        for name in names:
            assert (target / name).read_bytes() == (self.reference / name).read_bytes(), target / name
        files = sorted(path.name for path in target.iterdir())
        assert files == sorted([*names, "lock", "manifest.json", "plan.json", "sources.npy"]), files
        ours, theirs = (json.loads((f / "manifest.json").read_text()) for f in (target, self.reference))
        assert {**ours, "created": ""} == {**theirs, "created": ""}
        assert verify(target) == []
        self.compared += 1


def run_command(folder: Path, target: Path, workers: int) -> None:
    """One extraction, as a command of its own."""
    from stages.datasets.tracklet import Dataset, Tracklet
    from stages.pose.extract import run

    root = folder / "data"
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    groups = [tuple(names[start : start + 5]) for start in range(0, len(names), 5)]
    tracklets = tuple(Tracklet(group, n, 1, f"t{n}") for n, group in enumerate(groups))
    config = tiny.config(folder / "estimator" / "tiny.yaml", shard_frames=5, workers=workers)
    run(Dataset("tiny", root, (), (), tracklets), config, target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--commands", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", nargs=3)
    given = parser.parse_args()
    if given.run:
        run_command(Path(given.run[0]), Path(given.run[1]), int(given.run[2]))
        return
    harness = Harness(given.folder, given.seed)
    began, series = time.monotonic(), 0
    while harness.killed < given.kills - given.commands:
        target = given.folder / f"series-{series}"
        for _ in range(SERIES):
            if harness.kill_forked(target):
                break
        harness.finish(target)
        shutil.rmtree(target)
        series += 1
    for number in range(given.commands):
        target = given.folder / f"command-{number // 2}"
        harness.kill_command(target, workers=2 if number == 0 else 1)
        if number % 2 or number == given.commands - 1:
            harness.finish(target)
    report = {"seed": given.seed, "events": harness.events, "seconds": round(time.monotonic() - began, 1)}
    report |= {key: getattr(harness, key) for key in ("killed", "survived", "opened", "compared")}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
