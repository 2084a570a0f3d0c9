"""How fast walkers are made: frames a second of one core, drawing, encoding and writing included.

    python -m benchmarks.synthesize --rounds 5 --tracklets 20

Every round films the same tracklets of the default data set; CPU time and wall time are printed, and the
best and the median of the rounds. On a machine busy with other work only the CPU time means something. The
floor is encoding the finished frames as JPEG, and nothing else.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2

from benchmarks import floors
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.make import film_to_disk
from stages.datasets.walkers.plan import make_plan


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tracklets", type=int, default=20)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    cv2.setNumThreads(1)
    config = WalkersConfig()
    plans = make_plan(config).tracklets()
    step = max(1, len(plans) // options.tracklets)
    picked = plans[::step][: options.tracklets]
    frames = sum(plan.frames for plan in picked)
    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for plan in picked:
            (root / plan.frame_paths()[0]).parent.mkdir(parents=True, exist_ok=True)
        for _ in range(options.rounds + 1):
            before = time.perf_counter(), time.process_time()
            for plan in picked:
                film_to_disk(plan, config, root)
            wall.append(time.perf_counter() - before[0])
            cpu.append(time.process_time() - before[1])
        pictures = [cv2.imread(str(root / path)) for plan in picked for path in plan.frame_paths()]
        quality = [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality]
        before = time.process_time()
        for picture in pictures:
            cv2.imencode(".jpg", picture, quality)
        encoding = time.process_time() - before
    wall, cpu = wall[1:], cpu[1:]  # the first round also draws the backdrops
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, {frames} frames of 128x256, one process, one thread")
    for name, times in (("wall", wall), ("CPU", cpu)):
        print(
            f"{name} time: {frames / statistics.median(times):.0f} frames/s median of {len(times)} rounds, "
            f"{frames / min(times):.0f} best"
        )
    print(floors.against(min(cpu), encoding, "encoding alone"))
    print(f"{floors.peak_memory()}, {floors.busy()}")


if __name__ == "__main__":
    main()
