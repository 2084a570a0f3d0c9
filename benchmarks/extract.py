"""Stage one against the bare network, and against mmpose's own loop.

    python -m benchmarks.extract                          # walkers and HRNet-W32, this machine's device
    python -m benchmarks.extract --layouts                # also: best workers x threads and memory order
    python -m benchmarks.extract --memory                 # also: peak memory for 10x the frames

Every side runs on the same frames and the same cores: one worker, pinned to as many cores as it has
threads, which is its share of a machine whose cores are all busy. Sides take turns; medians are printed.
The CPU clock counts what this process was given, which a busy machine disturbs less than the wall clock.
Missing weights are replaced by random ones, which take the same time. The floor is the operations of the
network's convolutions at the rate of a large product. Where the CPU has AMX, extraction is also timed in bf16
beside float32; how far its poses are from float32's is printed everywhere.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import floors
from benchmarks.made import half_poses
from benchmarks.made.stage_one import make_task, mmpose_loop, walkers_data, weights_of
from cache.lock import lock_folder
from cache.manifest import Manifest
from stages.datasets.tracklet import Dataset
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.extract import run
from stages.pose.shard_task import ShardTask, load_estimator, run_shard
from stages.precision import choose, has_amx

MARS = 1_191_003
SIDES = ("bare", "extraction", "share", "mmpose", "times", "bare, flip")
SHARE = 0.85  # of the bare forward that extraction has at least
HALF = 3.5  # times as fast in bf16 as in float32, with AMX
MMPOSE = 5.5  # times as fast in bf16 as mmpose's loop in float32


def rates(data: Dataset, name: str, given: argparse.Namespace, folder: Path) -> dict[str, dict]:
    """Frames per second of each side by each clock, medians over rounds."""
    spec = load_spec(name)
    weights, note = weights_of(spec, folder)
    gpu = given.device != "cpu"
    amount = given.frames or (2048 if gpu else 64 if name.startswith("hrnet") else 512)
    precision = choose(given.precision, given.device, half="fp16")
    settings = {
        "batch_size": min(given.batch_size or (128 if gpu else 32), amount),
        "threads": given.threads,
        "precision": precision,
        "padding": spec.padding,
        "flip_test": False,
        "device": given.device,
        "layout": "channels_last",
    }
    frames = (data.frames() * (amount // len(data.frames()) + 1))[:amount]
    frames = tuple(frames)
    torch.set_num_threads(given.threads)
    task = make_task(data, frames, spec, weights, folder, settings)
    key = (spec.model_dump_json(), weights, task.plan.weights_sha256)
    estimator = load_estimator(*key, tuple(sorted(settings.items())), task.device)
    width, height = estimator.input_size
    images = np.random.default_rng(0).integers(0, 256, (settings["batch_size"], height, width, 3), np.uint8)
    ready = estimator.prepare(images)
    loop = mmpose_loop(spec, weights, task.device)
    paths = [data.root / frame for frame in frames[: max(amount // 4, 16)]]
    flipping = HRNetEstimator(spec, weights, flip_test=True, device=task.device, precision=precision)

    def bare(network=estimator) -> int:
        for _ in range(amount // settings["batch_size"]):
            network.forward(ready)
        if gpu:
            torch.cuda.synchronize()
        return amount // settings["batch_size"] * settings["batch_size"]

    def extraction(task: ShardTask = task) -> int:
        with lock_folder(folder) as token:
            run_shard(ShardTask(**{**task.__dict__, "token": token}))
        return len(frames)

    def mmpose() -> int:
        loop(paths)
        return len(paths)

    with FlopCounterMode(display=False) as counter:
        estimator.forward(ready)
    work = counter.get_total_flops() / len(ready)
    sides = {"bare": bare, "extraction": extraction, "mmpose": mmpose, "flip": lambda: bare(flipping)}
    estimator.forward(ready)
    loop(paths[:2])
    clocks = {"wall": time.perf_counter} | ({} if gpu else {"CPU": time.process_time})
    seen = {clock: {side: [] for side in sides} for clock in clocks}
    for _ in range(given.rounds):
        for side, function in sides.items():
            began = {clock: read() for clock, read in clocks.items()}
            done = function()
            for clock, read in clocks.items():
                seen[clock][side].append(done / (read() - began[clock]))
    padded = make_task(data, frames, spec, weights, folder, settings | {"padding": spec.padding + 0.25})
    extraction(padded)  # loads its estimator
    began = {clock: read() for clock, read in clocks.items()}
    done = sum(extraction(padded) for _ in range(given.rounds))
    for clock, read in clocks.items():
        seen[clock]["padding"] = [done / (read() - began[clock])]
    floor = floors.product_rate(given.device, precision) / work
    measured = {clock: summary(rounds) | {"floor": floor} for clock, rounds in seen.items()}
    if not gpu and has_amx():
        measured["CPU"]["half"] = half_rate(task, settings, extraction)
    note = f"batch {settings['batch_size']}, {note}"
    return {clock: row | {"note": note} for clock, row in measured.items()}


def half_rate(task: ShardTask, settings: dict, extraction: Callable[[ShardTask], int]) -> float:
    """How many times as fast extraction is in bf16 as in float32 by the CPU clock, the best of three."""
    rates = {}
    for precision in ("fp32", "bf16"):
        chosen = settings | {"precision": precision}
        plan = Manifest(
            task.plan.estimator, task.plan.weights_sha256, {"settings": chosen}, (), task.plan.packages
        )
        one = ShardTask(**{**task.__dict__, "settings": chosen, "plan": plan})
        extraction(one)
        times = []
        for _ in range(3):
            began = time.process_time()
            extraction(one)
            times.append(time.process_time() - began)
        rates[precision] = min(times)
    return rates["fp32"] / rates["bf16"]


def summary(rounds: dict[str, list[float]]) -> dict[str, float]:
    """Medians of each side, and of the ratios within rounds."""
    pairs = [e / b for e, b in zip(rounds["extraction"], rounds["bare"], strict=True)]
    against = [e / m for e, m in zip(rounds["extraction"], rounds["mmpose"], strict=True)]
    medians = {side: statistics.median(values) for side, values in rounds.items()}
    return medians | {"share": statistics.median(pairs), "times": statistics.median(against)}


def _worker_rate(
    name: str, weights: Path, threads: int, batch: int, seconds: float, channels_last: bool
) -> float:
    torch.set_num_threads(threads)
    estimator = HRNetEstimator(load_spec(name), weights, channels_last=channels_last)
    width, height = estimator.input_size
    ready = estimator.prepare(np.zeros((batch, height, width, 3), np.uint8))
    estimator.forward(ready)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        estimator.forward(ready)
        done += batch
    return done / (time.perf_counter() - began)


def layouts(name: str, given: argparse.Namespace, folder: Path, console: Console) -> None:
    """Bare forwards in all workers at once, for both memory orders and every way to divide the cores."""
    import joblib

    weights, _ = weights_of(load_spec(name), folder)
    cores = len(os.sched_getaffinity(0))
    batch, seconds = given.batch_size or 16, given.seconds
    orders = {"contiguous": False, "channels last": True}
    table = Table("workers x threads", *orders, "times", title=f"{name}: frames/s of {cores} cores")
    best: dict[str, tuple[float, str]] = dict.fromkeys(orders, (0.0, ""))
    for threads in [n for n in (1, 2, 4, 8, 16, 32) if n <= cores]:
        workers = cores // threads
        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            pool = joblib.Parallel(n_jobs=workers, batch_size=1)
            job = joblib.delayed(_worker_rate)
            measured = {
                order: sum(pool(job(name, weights, threads, batch, seconds, last) for _ in range(workers)))
                for order, last in orders.items()
            }
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)
        times = measured["channels last"] / measured["contiguous"]
        table.add_row(
            f"{workers} x {threads}", *(f"{rate:.1f}" for rate in measured.values()), f"{times:.2f}x"
        )
        flags = f"--workers {workers} --threads {threads}"
        best = {order: max(best[order], (rate, flags)) for order, rate in measured.items()}
    console.print(table)
    (contiguous, _), (rate, flags) = best["contiguous"], best["channels last"]
    console.print(
        f"{name}, on this machine: {flags} ({rate:.1f} frames/s; extraction keeps memory channels last, "
        f"{rate / contiguous:.2f} times as fast as the best contiguous one)"
    )


def memory(given: argparse.Namespace, folder: Path, console: Console) -> None:
    """Peak resident memory of a whole extraction of N and of 10 N frames, each in a fresh process."""
    table = Table("frames", "peak memory", title="walkers, 1 worker")
    for times in (1, 10):
        options = ["--measure", str(times), "--data-root", str(given.data_root)]
        command = [sys.executable, "-m", "benchmarks.extract", *options]
        peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        table.add_row(peak[0], f"{int(peak[1]) / 1024:.0f} MB")
    console.print(table)


def measure(times: int, root: Path) -> None:
    """Extract the data set `times` times over, under new names; print frames and peak memory in KB."""
    from stages.datasets import load_dataset
    from stages.datasets.tracklet import Tracklet

    data = load_dataset("walkers", root)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        copies = []
        for number in range(times):
            (folder / str(number)).symlink_to(root.resolve())
            copies += [
                Tracklet(tuple(f"{number}/{f}" for f in t.frames), t.person, t.camera, f"{number}/{t.name}")
                for t in data.tracklets()
            ]
        many = Dataset("copies", folder, tuple(copies), (), ())
        weights, _ = weights_of(load_spec("walkers"), folder)
        run(many, PoseConfig(estimator="walkers", weights=weights, workers=1, threads=1), folder / "poses")
        # Not ru_maxrss, which starts at what the process that started this one had.
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        print(len(many.frames()), status["VmHWM"].split()[0])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimators", nargs="+", default=["walkers", "hrnet-w32-256x192"])
    parser.add_argument("--data-root", type=Path, help="walkers data; default: made for the occasion")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--frames", type=int, help="frames per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layouts", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each cell of --layouts")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    if given.measure:
        measure(given.measure, given.data_root)
        return
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as work:
        from stages.datasets import load_dataset

        folder = Path(work)
        given.data_root = given.data_root or walkers_data(folder)
        data = load_dataset("walkers", given.data_root)
        all_cores = os.sched_getaffinity(0)
        if given.device == "cpu":
            os.sched_setaffinity(0, sorted(all_cores)[: given.threads])
        columns = ("estimator", "clock", "floor", *SIDES, "+0.25 padding", "note")
        title = f"frames/s, {given.device}, {given.threads} thread(s) on as many cores"
        table = Table(*columns, title=title)
        for name in given.estimators:
            for clock, measured in rates(data, name, given, folder).items():
                table.add_row(
                    name,
                    clock,
                    f"{measured['floor']:.1f}",
                    f"{measured['bare']:.1f}",
                    f"{measured['extraction']:.1f}",
                    f"{100 * measured['share']:.0f} %",
                    f"{measured['mmpose']:.1f}",
                    f"{measured['times']:.2f}x",
                    f"{measured['flip']:.1f}",
                    f"{measured['padding']:.1f}",
                    measured["note"],
                )
            hours = MARS / measured["extraction"] / 3600
            console.print(f"{name}: MARS ({MARS:,} frames) takes {hours:.1f} hours of one such worker")
            half = measured.get("half")
            speed = f"{half:.2f} times as fast (at least {HALF})" if half else "its rate is skipped: no AMX"
            if half:
                against = half * measured["times"]
                speed += f", {against:.1f} times mmpose's loop in float32 (at least {MMPOSE})"
            console.print(
                f"{name} in bf16: {speed}{half_poses.apart(data, name, measured['note'], given.device)}"
            )
        console.print(table)
        console.print(f"share: of the bare forward, at least {SHARE:.0%} for walkers")
        console.print(f"{floors.peak_memory(given.device)}, {floors.busy()}")
        os.sched_setaffinity(0, all_cores)
        if given.layouts:
            for name in given.estimators:
                layouts(name, given, folder, console)
        if given.memory:
            memory(given, folder, console)


if __name__ == "__main__":
    main()
