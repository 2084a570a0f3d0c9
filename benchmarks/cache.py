"""The pose cache: codecs on real heat, and random clips against the released format.

    python -m benchmarks.cache                                  # heat of walkers, made for the occasion
    python -m benchmarks.cache --data-root data/walkers --mini-mars data/mini-mars --frames 400

Heat comes from the walkers network on walkers frames and, where given, on the real frames of mini-mars.
hdf5plugin's codecs are measured where that package is installed (it is not a dependency).
h5py reads without its chunk cache, which random clips of a large set never hit.
The released format is one .npy file a frame, float64 [6, 256, 128].
Sides take turns; medians are printed. Warm: files in the page cache. Cold: dropped from it before each read.
The floor of reading is copying the heat, unpacked.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import floors
from benchmarks.made.stage_one import walkers_data, weights_of
from cache import PoseCache
from cache.chunks import CHUNK_BYTES, CHUNK_SHAPE, FLOOR, encode, quantise, unpack
from cache.writer import write_cache
from stages.datasets import load_dataset
from stages.frame_file import read_picture
from stages.pose.config import load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.geometry import warp_frame

MARS = 1_191_003
CLIP = 4
TARGET_BYTES, TARGET_RATIO = 6 * 1024, 4.0


def heat_of(dataset: str, root: Path, amount: int, folder: Path) -> tuple[np.ndarray, str]:
    """Heat before it is quantised, float32 [F,17,64,32], of frames spread over a data set."""
    data = load_dataset(dataset, root)
    frames = data.frames()
    frames = frames[:: max(len(frames) // amount, 1)][:amount]
    spec = load_spec("walkers")
    weights, note = weights_of(spec, folder)
    estimator = HRNetEstimator(spec, weights)
    heat = []
    for start in range(0, len(frames), 32):
        images = []
        for frame in frames[start : start + 32]:
            images.append(read_picture(data.root / frame))
        sizes = [image.shape[1::-1] for image in images]
        affines = [estimator.affine(size) for size in sizes]
        drawn = [warp_frame(i, a, estimator.input_size) for i, a in zip(images, affines, strict=True)]
        maps = estimator.forward(estimator.prepare(np.stack(drawn)))
        heat.append(estimator.heat(maps, affines, sizes))
    return np.concatenate(heat), note


def without_floor(heat: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)


def median_time(function: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def codecs() -> dict[str, dict]:
    """HDF5 filters to compare, as arguments of h5py's create_dataset."""
    figures = {
        "none": {},
        "lzf": {"compression": "lzf"},
        "gzip 1": {"compression": "gzip", "compression_opts": 1},
        "gzip 4": {"compression": "gzip", "compression_opts": 4},
        "gzip 9": {"compression": "gzip", "compression_opts": 9},
        "gzip 4 + shuffle": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
        "lzf + shuffle": {"compression": "lzf", "shuffle": True},
    }
    try:
        import hdf5plugin
    except ImportError:
        return figures
    return figures | {
        "lz4 (hdf5plugin)": dict(hdf5plugin.LZ4()),
        "zstd 3 (hdf5plugin)": dict(hdf5plugin.Zstd(clevel=3)),
        "zstd 19 (hdf5plugin)": dict(hdf5plugin.Zstd(clevel=19)),
        "blosc2 zstd 5 (hdf5plugin)": dict(hdf5plugin.Blosc2("zstd", 5)),
    }


def through_hdf5(values: np.ndarray, filters: dict, path: Path) -> tuple[float, float, Callable]:
    """Bytes and seconds a frame written by h5py, and a function that reads a clip without its chunk cache."""
    with h5py.File(path, "w") as file:
        shape, chunk = values.shape, (1, *CHUNK_SHAPE)
        data = file.create_dataset("x", shape, "u1", chunks=chunk, fletcher32=True, **filters)
        began = time.perf_counter()
        for i, frame in enumerate(values):
            data[i] = frame
        file.flush()
        took = time.perf_counter() - began
        size = data.id.get_storage_size()
    data = h5py.File(path, "r", rdcc_nbytes=0)["x"]
    return size / len(values), took / len(values), lambda clip: [data[int(i)] for i in clip]


def through_zlib(values: np.ndarray, pack: Callable, unpack: Callable) -> tuple[float, float, Callable]:
    """The same for bytes packed and unpacked outside the HDF5 library."""
    began = time.perf_counter()
    packed = [pack(frame) for frame in values]
    took = time.perf_counter() - began
    size = np.mean([len(frame) for frame in packed]) + 4
    return size, took / len(values), lambda clip: [unpack(packed[i]) for i in clip]


def packer(level: int, strategy: int) -> Callable:
    def pack(frame: np.ndarray) -> bytes:
        stream = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
        return stream.compress(frame.data) + stream.flush()

    return pack


def codec_table(heat: np.ndarray, title: str, rounds: int, folder: Path, console: Console) -> None:
    rng = np.random.default_rng(0)
    values = {"floor": quantise(heat), "no floor": without_floor(heat)}
    clips = rng.integers(0, len(heat), (64, CLIP))
    numbers = itertools.count()

    def inflate(packed: bytes) -> bytes:
        return zlib.decompress(packed, 15, CHUNK_BYTES)

    def hdf5(filters: dict) -> Callable:
        return lambda values: through_hdf5(values, filters, folder / f"codec-{next(numbers)}.h5")

    def bare(level: int, strategy: int, unpack: Callable) -> Callable:
        return lambda values: through_zlib(values, packer(level, strategy), unpack)

    ways = {name: hdf5(filters) for name, filters in codecs().items()}
    for label, strategy in (("default", zlib.Z_DEFAULT_STRATEGY), ("rle", zlib.Z_RLE)):
        for level in (4, 6) if label == "default" else (6,):
            ways[f"zlib {level} {label}, unpacked by zlib"] = bare(level, strategy, inflate)
            ways[f"zlib {level} {label}, unpacked by zlib-ng"] = bare(level, strategy, unpack)
    ways["cache.chunks (chosen)"] = lambda values: through_zlib(values, lambda f: encode(f)[:-4], unpack)
    table = Table("codec", "bytes/frame", "no floor", "write us/frame", "read us/clip", title=title)
    for name, way in ways.items():
        more = way(values["no floor"])[0]
        runs = [way(values["floor"]) for _ in range(rounds)]
        read = median_time(lambda clip=runs[-1][2]: [clip(c) for c in clips], rounds)
        write = statistics.median(run[1] for run in runs)
        row = (f"{runs[0][0]:,.0f}", f"{more:,.0f}", f"{write * 1e6:.0f}", f"{read / len(clips) * 1e6:.0f}")
        table.add_row(name, *row)
    console.print(table)


def floor_table(heat: np.ndarray, console: Console) -> None:
    """What floors do: bytes, and the most that a weight of any joint and patch moves."""
    table = Table("floor", "bytes/frame", "largest change of a 4x4 cell mean", title="floors")
    for steps in (0, 1, 2, 4):
        changed = without_floor(heat)
        changed[heat < steps / 255] = 0
        pooled = [
            values.reshape(len(heat), 17, 16, 4, 8, 4).mean((3, 5))
            for values in (np.clip(heat, 0, 1), changed / 255)
        ]
        size = np.mean([len(encode(frame)) for frame in changed])
        table.add_row(f"{steps}/255", f"{size:,.0f}", f"{np.abs(pooled[0] - pooled[1]).max() * 255:.2f}/255")
    console.print(table)


def drop(paths: list[Path]) -> None:
    """Out of the page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def clip_table(heat: np.ndarray, rounds: int, folder: Path, console: Console) -> dict[str, float]:
    """Random clips from the cache and from released files, warm and cold."""
    rng = np.random.default_rng(1)
    count = len(heat)
    names = [f"bbox_train/{i // 16:04d}/{i:06d}.jpg" for i in range(count)]
    flat = np.zeros((count, 17, 3), np.float32), np.tile(np.array([256, 128], np.int32), (count, 1))
    root = write_cache(folder / "poses", names, quantise(heat), *flat, shard_frames=64)
    maps = folder / "maps"
    maps.mkdir()
    for i in range(count):
        np.save(maps / f"{i:06d}.npy", np.repeat(np.repeat(heat[i, :6], 4, 1), 4, 2).astype(np.float64))
    os.sync()
    cache = PoseCache.open(root)
    released = [maps / f"{i:06d}.npy" for i in range(count)]
    shards = sorted(root.glob("*.h5"))

    def ours(clip: np.ndarray) -> None:
        cache.read_heatmaps([names[i] for i in clip])

    def theirs(clip: np.ndarray) -> None:
        for i in clip:
            np.load(released[i])

    figures = {}
    table = Table("random 4-frame clip", "cache", "4 np.load", "times", title="reading")
    for state in ("warm", "cold"):
        seen: dict[Callable, list[float]] = {ours: [], theirs: []}
        for clip in rng.integers(0, count, (rounds * (100 if state == "warm" else 10), CLIP)):
            for side in (ours, theirs):
                if state == "cold":
                    drop(shards if side is ours else [released[i] for i in clip])
                else:
                    side(clip)
                began = time.perf_counter()
                side(clip)
                seen[side].append(time.perf_counter() - began)
        mine, other = (statistics.median(seen[side]) for side in (ours, theirs))
        ratio = statistics.median(t / o for o, t in zip(seen[ours], seen[theirs], strict=True))
        table.add_row(state, f"{mine * 1e6:.0f} us", f"{other * 1e6:.0f} us", f"{ratio:.1f}x")
        figures[state] = ratio
        if state == "warm":
            floor = 2 * CLIP * CHUNK_BYTES / floors.copy_rate()
            console.print(f"warm clip: {floors.against(mine, floor, 'copying its heat')}")
    console.print(table)
    figures["bytes"] = cache.info.bytes / count
    return figures


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="walkers data; default: made for the occasion")
    parser.add_argument("--mini-mars", type=Path, help="mini-mars data, for real frames")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    real = os.environ.get("KEYREID_REAL_DATA")
    if given.mini_mars is None and real is not None:
        given.mini_mars = Path(real) / "mini-mars"
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        sets = {"walkers": given.data_root or walkers_data(folder), "mini-mars": given.mini_mars}
        for name, root in sets.items():
            if root is None:
                console.print("mini-mars: not measured, give --mini-mars")
                continue
            place = folder / f"bench-{name}"
            place.mkdir()
            heat, note = heat_of(name, root, given.frames, place)
            console.print(f"\n{name}: {len(heat)} frames, walkers network ({note}), floor {FLOOR:.4f}")
            codec_table(heat, f"codecs on {name}", given.rounds, place, console)
            floor_table(heat, console)
            figures = clip_table(heat, given.rounds, place, console)
            console.print(
                f"{name}: {figures['bytes']:,.0f} bytes a frame with everything (at most {TARGET_BYTES:,}), "
                f"warm clips {figures['warm']:.1f}x (at least {TARGET_RATIO:.0f}x); "
                f"MARS, {MARS:,} frames: {figures['bytes'] * MARS / 1e9:.1f} GB"
            )
        console.print(f"{floors.peak_memory()}, {floors.busy()}")


if __name__ == "__main__":
    main()
