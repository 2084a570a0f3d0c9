"""Starts real extractions and kills them with SIGKILL at random points; prints what it saw as JSON.

    python -m tests.stages.pose.kill_harness FOLDER --kills 50 --commands 3 --seed 0

Most runs are forked from this process, which has the libraries loaded and runs no threads of its own;
some are killed after a random time, some at a random file operation. The rest are full commands, each in
an empty working directory, the first with two worker processes: killed once a random number of files is
there, and finished by the same command. After each kill the cache opens, and then is right, or says what
is missing; every few kills, and after each killed command, the cache is finished and must equal, byte for
byte, one that nobody disturbed.
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
from stages.datasets import Dataset, load_dataset
from tests.stages.pose import tiny
from tests.stages.pose.compare import assert_same_shards

SERIES = 5  # kills before a cache is finished and compared
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}  # needs no installation
PATIENCE = 600  # seconds for one command, on a machine that has much else to do
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")


class Harness:
    def __init__(self, folder: Path, seed: int):
        import torch

        torch.set_num_threads(1)
        self.random = random.Random(seed)
        self.folder = folder
        self.estimator = tiny.write_estimator(folder / "estimator")
        self.frames = self._write_data(folder / "data")
        self.config = tiny.config(self.estimator, shard_frames=5)  # _command() says the same
        self.empty = folder / "empty"
        self.empty.mkdir()
        self.reference = folder / "reference"
        self.events = self._run_child(self.reference, None)[1]
        began = time.monotonic()
        self._run_child(folder / "timed", None)
        self.seconds = time.monotonic() - began
        self.heat = PoseCache.open(self.reference).read_heatmaps(self.frames.frames())
        self.killed = self.survived = self.opened = self.compared = self.commands = 0

    @staticmethod
    def _write_data(root: Path) -> Dataset:
        """Tiny frames with a list of them, as a user's own data set."""
        rows = ["frame,person,camera,tracklet,subset"]
        for tracklet in tiny.write_frames(root, tracklets=12).tracklets():
            rows += [f"{frame},p{tracklet.person},1,{tracklet.name},train" for frame in tracklet.frames]
        (root / "frames.csv").write_text("\n".join(rows))
        return load_dataset("folder", root)

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
        """The whole program, killed once some of the files are there; with workers, one of a shard."""
        files = len(list(self.reference.iterdir()))
        wanted = self.random.randint(1 if workers == 1 else 5, files - 2)  # 4 are there before a shard
        delay = self.random.uniform(0, self.seconds / 10)
        quiet, deadline = subprocess.DEVNULL, time.monotonic() + PATIENCE
        process = subprocess.Popen(
            self._command(target, workers), cwd=self.empty, env=ENVIRONMENT, stdout=quiet, stderr=quiet
        )
        while len(list(target.glob("*"))) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        code = process.wait()
        self.commands += code != 0
        self._record(code, target)

    def finish_command(self, target: Path, workers: int) -> None:
        """The same command again, to its end."""
        subprocess.run(
            self._command(target, workers), cwd=self.empty, env=ENVIRONMENT, check=True, timeout=PATIENCE
        )
        assert not list(self.empty.iterdir()), "a command wrote to its working directory"
        self._compare(target)

    def _command(self, target: Path, workers: int) -> list[str]:
        words = [sys.executable, "-m", "pipeline", "extract-poses", "--dataset", "folder"]
        words += ["--data-root", str(self.frames.root), "--cache", str(target)]
        words += ["--estimator", str(self.estimator), "--set", "pose.shard_frames=5", "--batch-size", "4"]
        return [*words, "--threads", "1", "--device", "cpu", "--workers", str(workers)]

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
        self._compare(target)

    def _compare(self, target: Path) -> None:
        assert_same_shards(target, self.reference)
        assert {path.name for path in target.iterdir()} == {path.name for path in self.reference.iterdir()}
        ours, theirs = (json.loads((f / "manifest.json").read_text()) for f in (target, self.reference))
        assert {**ours, "created": "", "digest": ""} == {**theirs, "created": "", "digest": ""}
        assert verify(target) == []
        self.compared += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--commands", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    harness = Harness(given.folder, given.seed)
    began, series = time.monotonic(), 0
    while harness.commands < given.commands:
        target, workers = given.folder / f"command-{series}", 1 if harness.commands else 2
        harness.kill_command(target, workers)
        harness.finish_command(target, workers)
        series += 1
    while harness.killed < given.kills:
        target = given.folder / f"series-{series}"
        for _ in range(SERIES):
            if harness.kill_forked(target) or harness.killed == given.kills:
                break
        harness.finish(target)
        shutil.rmtree(target)
        series += 1
    report = {"seed": given.seed, "events": harness.events, "seconds": round(time.monotonic() - began, 1)}
    report |= {key: getattr(harness, key) for key in ("killed", "commands", "survived", "opened", "compared")}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
