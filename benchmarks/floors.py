"""What this device could do at most: products of matrices, copies, decoded JPEGs; the floors of the others.

    OMP_NUM_THREADS=2 python -m benchmarks.floors
    python -m benchmarks.floors --device cuda

A floor is the time that the operations of a task take at the rate of one large product, or its bytes at the
rate of one large copy, measured in the same run. The other benchmarks print how many times their floor they
take. Peak memory is the most that the process ever held.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from stages import frame_file
from stages.precision import dtype_of, has_amx

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
COPIED = {"cpu": 2**26, "cuda": 2**30}  # bytes: more than caches hold
PRECISIONS = ("fp32", "bf16", "fp16")


def now(device: str = "cpu") -> float:
    """Seconds, once the device is done; with one thread those of the processor, which others disturb less."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    """What a call takes, on a GPU until it is done there."""
    began = now(device)
    call()
    return now(device) - began


def product_rate(device: str = "cpu", precision: str = "fp32", repeats: int = 3) -> float:
    """Operations a second of a large product of matrices, a multiply-add counted as two: the best of some."""
    side = SIDE[device.split(":")[0]]
    left, right = (torch.randn(side, side, device=device).to(dtype_of(precision)) for _ in range(2))
    left @ right  # the first is slower
    return 2 * side**3 / min(seconds(lambda: left @ right, device) for _ in range(repeats))


def copy_rate(device: str = "cpu", repeats: int = 3) -> float:
    """Bytes a second, read and written, of a large copy: the best of some."""
    source = torch.zeros(COPIED[device.split(":")[0]], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.numel() / min(seconds(lambda: target.copy_(source), device) for _ in range(repeats))


def decoding_seconds(files: Sequence[bytes], size: tuple[int, int]) -> dict[str, float]:
    """Seconds for JPEG files in memory, decoded as frames of `size` (height, width) are and nothing else.

    By OpenCV, and by the faster decoder that frames are read with.
    """
    factor = frame_file.reduction(frame_file.check_header(files[0]), size)
    flag = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}[factor]
    return {
        "OpenCV": seconds(lambda: [cv2.imdecode(np.frombuffer(file, np.uint8), flag) for file in files]),
        "ours": seconds(lambda: [frame_file.decode(file, size) for file in files]),
    }


def peak_memory(device: str = "cpu") -> str:
    """The most memory that this process held so far, and on a GPU the most that was asked of it."""
    # not ru_maxrss, which starts at what the process that started this one had
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    text = f"peak memory {int(status['VmHWM'].split()[0]) * 1024 / 1e9:.2f} GB"
    if device.startswith("cuda"):
        text += f", {torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU"
    return text


def against(took: float, floor: float, what: str) -> str:
    """How far from a floor, in words; both in seconds."""
    return f"{took / floor:.2f} times the floor ({what}: {_time(floor)}, took {_time(took)})"


def _time(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def busy() -> str:
    """How much else runs: the mean number of running processes of the last minute."""
    return f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    device = parse(arguments).device
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    torch.set_num_threads(threads)
    gpu = device.startswith("cuda")
    name = torch.cuda.get_device_name() if gpu else f"{platform.machine()}, {threads} threads"
    print(f"{name}, torch {torch.__version__}, {busy()}")
    rates = {precision: product_rate(device, precision) for precision in PRECISIONS[: 3 if gpu else 2]}
    for precision, rate in rates.items():
        print(
            f"product of matrices, {precision}: {rate / 1e9:.0f} G operations/s, "
            f"{rate / rates['fp32']:.1f} x fp32"
        )
    if not gpu and not has_amx():
        print("products with AMX: skipped: no AMX")
    print(f"copy: {copy_rate(device) / 1e9:.1f} GB/s, read and written")
    picture = np.random.default_rng(0).integers(0, 256, (32, 16, 3), np.uint8)
    picture = cv2.resize(picture, (128, 256), interpolation=cv2.INTER_CUBIC)
    file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    for decoder, took in decoding_seconds([file] * 200, (256, 128)).items():
        print(f"JPEG of 256x128, {len(file)} bytes, by {decoder}: {200 / took:.0f}/s of one thread")
    print(peak_memory(device))


if __name__ == "__main__":
    main()
