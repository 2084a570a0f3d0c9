"""What is promised of files, tried as often as asked: kills, flips, bombs, fuzz, writers, full disks.

    python -m benchmarks.reliability --kills 200 --flips 2000 --fuzz 2000 --output docs/reliability.md

Real extractions with a tiny network on tiny frames. Prints rows of a table in Markdown; with --output they
replace those of the same promise in that page's table, so that rows can be tried one by one. Exit code 1
where anything was lost.
"""

import argparse
import json
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.manifest import load_manifest
from cache.verify import verify
from stages.frame_file import FrameError, read_picture
from stages.pose.extract import run
from tests.limits import file_size_limit
from tests.stages.pose import tiny
from tests.stages.pose.compare import assert_same_shards

START, END = "<!-- table: benchmarks/reliability.py -->", "<!-- end of table -->"
FUZZ = (
    "tests/cache/test_fuzz.py",
    "tests/stages/test_frame_fuzz.py",
    "tests/stages/pose/test_fuzz.py",
    "tests/test_fuzz_formats.py",
)


@dataclass(frozen=True)
class Row:
    """promise, how it is tested, how often, what was seen, what was lost."""

    promise: str
    test: str
    times: int
    seen: str
    lost: int


class Bench:
    """A tiny data set, a tiny network and the cache that nobody disturbed."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed, self.rng = folder, seed, np.random.default_rng(seed)
        self.estimator = tiny.write_estimator(folder / "estimator")
        self.data = tiny.write_frames(folder / "data")
        self.names = self.data.frames()
        self.reference = run(self.data, tiny.config(self.estimator), folder / "reference")
        self.poses = PoseCache.open(self.reference).read(self.names)

    def kills(self, count: int) -> Row:
        command = [sys.executable, "-W", "ignore", "-m", "tests.stages.pose.kill_harness"]
        command += [
            str(self.folder / "kills"),
            "--kills",
            str(count),
            "--commands",
            "3",
            "--seed",
            str(self.seed),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return Row(*KILLS, count, done.stderr.strip().splitlines()[-1], 1)
        seen = json.loads(done.stdout.splitlines()[-1])
        text = f"{seen['opened']} caches found whole, {seen['compared']} finished and equal byte by byte"
        return Row(*KILLS, seen["killed"], text, 0)

    def flips(self, count: int) -> Row:
        folder, lost, refused = self._copy("flips"), 0, 0
        files = [*sorted(folder.glob("shard-*.h5")), folder / "manifest.json"]
        for _ in range(count):
            path = files[self.rng.integers(len(files))]
            original = path.read_bytes()
            data = bytearray(original)
            data[self.rng.integers(len(data))] ^= 1 << self.rng.integers(8)
            path.write_bytes(bytes(data))
            try:
                poses = PoseCache.open(folder).read(self.names)
            except KeyReIDError:
                refused += 1
            else:
                lost += not all(
                    np.array_equal(getattr(poses, f), getattr(self.poses, f)) for f in vars(self.poses)
                )
            lost += not verify(folder)
            path.write_bytes(original)
        text = f"{refused} refused when read, the others without effect; all named by cache verify"
        return Row(
            "No damaged byte is read as good data", "a bit of a shard or manifest flipped", count, text, lost
        )

    def bombs(self, _: int) -> Row:
        folder, lost = self.folder / "bombs", 0
        folder.mkdir()
        before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
        tries = [*self._pictures(folder), *self._caches(folder)]
        for act in tries:
            start = time.monotonic()
            try:
                act()
                lost += 1
            except (KeyReIDError, FrameError):
                slowest = max(slowest, time.monotonic() - start)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        text = f"all refused, the slowest in {slowest * 1000:.0f} ms, {grown:.0f} MB of memory at most"
        return Row(
            "Small files cannot use up memory, special files do not block", BOMBS, len(tries), text, lost
        )

    def _pictures(self, folder: Path) -> list[Callable]:
        data = (self.data.root / self.names[0]).read_bytes()
        at = data.index(b"\xff\xc0") + 5
        (folder / "large.jpg").write_bytes(data[:at] + struct.pack(">HH", 65_001, 65_001) + data[at + 4 :])
        head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 60_000, 60_000)
        (folder / "large.png").write_bytes(head + b"\x08\x02\0\0\0" + bytes(4) + b"\0\0\0\0IEND" + bytes(4))
        with (folder / "sparse.jpg").open("wb") as file:
            file.truncate(2**40)
        (folder / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
        os.mkfifo(folder / "pipe.jpg")
        (folder / "device.jpg").symlink_to("/dev/zero")
        return [lambda path=path: read_picture(path) for path in sorted(folder.glob("*.*"))]

    def _caches(self, folder: Path) -> list[Callable]:
        bomb, outside = self._copy("bomb"), self._copy("outside")
        rows = 500_000
        with h5py.File(bomb / "shard-00000.h5", "w", libver=("v110", "v110")) as file:
            for name, shape, kind in (
                ("heatmaps", (rows, 17, 64, 32), "u1"),
                ("keypoints", (rows, 17, 3), "f4"),
                ("frame_size", (rows, 2), "i4"),
                ("frames", (rows,), "S4000"),
                ("places", (rows, 2), "i8"),
            ):
                file.create_dataset(name, shape, kind, chunks=(1, *shape[1:]), compression="gzip")
            file.attrs["schema"] = np.int64(1)
        about = load_manifest(bomb / "manifest.json")
        claimed = replace(about.shards[0], bytes=(bomb / "shard-00000.h5").stat().st_size)
        replace(about, shards=(claimed, *about.shards[1:])).save(bomb / "manifest.json")
        with h5py.File(outside / "shard-00000.h5", "r+") as file:
            points = file["keypoints"][:]
            del file["keypoints"]
            points.tofile(folder / "points.bin")
            where = [(str(folder / "points.bin"), 0, points.nbytes)]
            file.create_dataset("keypoints", points.shape, points.dtype, external=where)
        return [lambda f=f: PoseCache.open(f).read(self.names) for f in (bomb, outside)]

    def fuzz(self, examples: int) -> Row:
        environment = os.environ | {"KEYREID_FUZZ_EXAMPLES": str(examples)}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-p", "no:cacheprovider", *FUZZ]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        passed, failed = (
            int((re.search(rf"(\d+) {word}", done.stdout) or [0, 0])[1]) for word in ("passed", "failed")
        )
        hours = (time.monotonic() - start) / 3600
        text = f"{hours:.2f} hours over {passed} formats and ways: right content or one line each time"
        return Row(
            "No file is a traceback", FUZZED, examples * (passed + failed), text, failed + (not passed)
        )

    def writers(self, count: int) -> Row:
        lost = named = 0
        code = (
            "import sys; from pathlib import Path; from tests.stages.pose import tiny; "
            "from stages.datasets.tracklet import Dataset, Tracklet; from stages.pose.extract import run\n"
            "names = sys.argv[4:]\n"
            "data = Dataset('tiny', Path(sys.argv[1]), (), (), (Tracklet(tuple(names), 1, 1, 'all'),))\n"
            "run(data, tiny.config(Path(sys.argv[2])), Path(sys.argv[3]))"
        )
        for number in range(count):
            target = self.folder / f"writers-{number}"
            words = [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                code,
                self.data.root,
                self.estimator,
                target,
                *self.names,
            ]
            both = [
                subprocess.Popen(
                    [*map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
                )
                for _ in range(2)
            ]
            errors = [process.communicate()[1] for process in both]
            named += sum("is writing to" in text for text in errors)
            lost += not any(process.returncode == 0 for process in both) or verify(target) != []
        text = (
            f"{named} times the second was refused by the first's name, else it came after; all caches sound"
        )
        return Row("Two writers never mix", "two extractions into one folder at once", count, text, lost)

    def full_disks(self, count: int) -> Row:
        lost, largest = 0, max(path.stat().st_size for path in self.reference.iterdir())
        for number in range(count):
            target = self.folder / f"full-{number}"
            try:
                with file_size_limit(int(self.rng.integers(1, largest))):
                    run(self.data, tiny.config(self.estimator), target)
                lost += 1
            except KeyReIDError as error:
                lost += "free some space" not in str(error)
            run(self.data, tiny.config(self.estimator), target)
            assert_same_shards(target, self.reference)
        text = "each said which file; the same command finished each cache, equal byte by byte"
        return Row("A full disk loses nothing", "no room at a random size of file", count, text, lost)

    def _copy(self, name: str) -> Path:
        target = self.folder / name
        target.mkdir()
        for path in self.reference.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        return target


KILLS = ("A crash leaves whole shards only", "SIGKILL at a random time or file operation, commands too")
BOMBS = (
    "pictures of 4 billion pixels, a sparse terabyte, a pipe, a device, PostScript, shards of 17 GB in 100 kB"
)
FUZZED = (
    "bytes, or values, changed in what is read: caches, frames, configs, weights, states, poses, tracks, "
    "embeddings, reports"
)


HEAD = ("| promise | tested by | times | seen | lost | day |", "|---|---|---:|---|---:|---|")


def line(row: Row) -> str:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"| {row.promise} | {row.test} | {row.times:,} | {row.seen} | {row.lost or 'nothing'} | {day} |"


def merged(page: str, lines: list[str]) -> str:
    """The page with these lines in its table; lines of other promises stay."""
    start, end = page.index(START) + len(START), page.index(END)
    before = [old for old in page[start:end].splitlines() if old.startswith("| ")][1:]
    rows = {text.split(" | ")[0]: text for text in (*before, *lines)}
    return f"{page[:start]}\n" + "\n".join((*HEAD, *rows.values())) + f"\n{page[end:]}"


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("kills", 50), ("flips", 500), ("fuzz", 300), ("writers", 5), ("full", 8)):
        parser.add_argument(f"--{name}", type=int, default=default, help="how often; 0: leave it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="page in whose table rows are replaced")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    given, rows = parse(words), []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.seed)
        for times, act in (
            (given.kills, bench.kills),
            (given.flips, bench.flips),
            (1, bench.bombs),
            (given.fuzz, bench.fuzz),
            (given.writers, bench.writers),
            (given.full, bench.full_disks),
        ):
            if times:
                rows.append(act(times))
                print(line(rows[-1]), flush=True)
                if given.output:
                    page = merged(given.output.read_text(), [line(rows[-1])])
                    write_whole(given.output, page.encode())
    if any(row.lost for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
