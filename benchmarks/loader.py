"""How fast workers read training clips, where their time goes, and whether a network has to wait for them.

    python -m benchmarks.loader --clips 16 --rounds 15 --network walkers
    python -m benchmarks.loader --memory --workers 2 --start fork

Ours decodes JPEG frames with OpenCV, reads uint8 joint heatmaps from the pose cache and augments whole
batches. The plain reader opens frames with Pillow, loads a float64 map [6, 256, 128] per frame from a
.npy file, and makes the same changes (the same draws) frame by frame. Both run in one process on
one thread, by turns, on the same clips; files are in the page cache, which favours the larger ones. The floor
is decoding the same JPEGs, in memory, and nothing else, with OpenCV's decoder and with ours.
Then the training loader is run as training runs it, with one and with two worker processes, and its rate
is compared with that of the network's training steps, measured before on its own.

--memory prints the private memory of each worker after each of ten epochs, over an index as long as
that of MARS (509,914 frames, which are links to a few files).
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks import floors
from cache import PoseCache
from cache.writer import write_cache
from stages.reid.data import augment
from stages.reid.data.clip_batches import TrainingClips
from stages.reid.data.clips import training_clips
from stages.reid.data.config import AugmentConfig, LoaderConfig, SamplerConfig
from stages.reid.data.keyed import sample_keys, uniform
from stages.reid.data.loader import disk_reader, training_loader
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.data.reader import FrameIndex
from stages.reid.data.sampler import BatchStream, IdentitySampler
from stages.reid.model import ModelConfig

AT_MOST = 1.5  # times decoding alone
HALF = (0.5, 0.5, 0.5)
FRAMES, TRACKLETS = 8, 32  # 256 frames: 400 MB of float64 maps


def make_data(root: Path, tracklets: int = TRACKLETS) -> list[list[str]]:
    """Frames of 256x128, their pose cache and their .npy maps; frame paths by tracklet."""
    rng = np.random.default_rng(0)
    (root / "frames").mkdir()
    (root / "maps").mkdir()
    names, heat = [], []
    y, x = np.mgrid[0:64, 0:32]
    for track in range(tracklets):
        for number in range(FRAMES):
            name = f"frames/{track:04d}F{number:03d}.jpg"
            coarse = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, (128, 256), interpolation=cv2.INTER_CUBIC)
            picture = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
            places = rng.uniform((4, 4), (60, 28), (17, 2))
            blobs = np.exp(-((y - places[:, 0, None, None]) ** 2 + (x - places[:, 1, None, None]) ** 2) / 4.5)
            names.append(name)
            heat.append(np.round(255 * np.where(blobs > 0.01, blobs, 0)).astype(np.uint8))
            parts = joints_to_parts(blobs[None], PartGroups.of(6).joints)[0]
            large = np.stack([cv2.resize(part, (128, 256), interpolation=cv2.INTER_LINEAR) for part in parts])
            np.save(root / "maps" / f"{Path(name).stem}.npy", large.astype(np.float64))
    count = len(names)
    write_cache(
        root / "cache", names, np.stack(heat), np.ones((count, 17, 3), np.float32), np.full((count, 2), 128)
    )
    return [names[start : start + FRAMES] for start in range(0, count, FRAMES)]


def plain_batch(clips: TrainingClips, root: Path, samples: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """What TrainingClips returns, read and changed frame by frame; maps stay at 256x128."""
    tracklets, keys = np.array(samples, dtype=np.int64).T
    rows = clips.starts[tracklets, None] + training_clips(
        clips.lengths[tracklets], uniform(keys, 0, clips.frames)
    )
    draws = augment.draw(keys, clips.frames, clips.config, clips.size)
    height, width = clips.size
    images, maps = [], []
    for n, name in enumerate(clips.reader.index.names(rows.ravel())):
        with Image.open(root / name) as file:
            picture = file.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        image = (np.asarray(picture, dtype=np.float32) / 255).transpose(2, 0, 1)
        heat = np.load(root / "maps" / f"{Path(name).stem}.npy")
        if heat.shape[1:] != (height, width):
            heat = np.stack([cv2.resize(part, (width, height)) for part in heat])
        if draws.flip[n]:
            image, heat = image[:, :, ::-1], heat[clips.groups.flip, :, ::-1]
        down, right = draws.shift[n]
        moved = []
        for array in (image, heat):
            canvas = np.zeros_like(array)
            canvas[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = array[
                :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
            ]
            moved.append(canvas)
        image, heat = (moved[0] - 0.5) / 0.5, moved[1]
        top, left, bottom, edge = draws.erased[n]
        image[:, top:bottom, left:edge] = np.array(clips.config.erase_fill, np.float32)[:, None, None]
        heat[:, top:bottom, left:edge] = 0
        images.append(torch.from_numpy(image))
        maps.append(torch.from_numpy(heat.astype(np.float32)))
    return {
        "images": torch.stack(images).unflatten(0, rows.shape),
        "part_maps": torch.stack(maps).unflatten(0, rows.shape),
    }


def shares(clips: TrainingClips, samples: list[tuple[int, int]]) -> dict[str, float]:
    """Seconds of each part of reading one batch."""
    tracklets, keys = np.array(samples, dtype=np.int64).T
    rows = clips.starts[tracklets, None] + training_clips(
        clips.lengths[tracklets], uniform(keys, 0, clips.frames)
    )
    times, start = {}, floors.now()

    def lap(name: str) -> None:
        nonlocal start
        times[name], start = floors.now() - start, floors.now()

    frames = clips.reader.read_frames(rows.ravel())
    lap("decoding")
    maps = clips.reader.read_maps(rows.ravel())
    lap("cache")
    draws = augment.draw(keys, clips.frames, clips.config, clips.size)
    pixels = torch.from_numpy(augment.move_frames(frames, draws))
    augment.move_maps(maps, draws, clips.size, clips.groups.flip, clips.grid, clips.pool)
    lap("augmentation")
    augment.normalise(pixels, torch.from_numpy(draws.erased), clips.mean, clips.std, clips.fill)
    lap("normalising")
    return times


def decoding_alone(clips: TrainingClips, samples: list[tuple[int, int]]) -> dict[str, float]:
    """Seconds of decoding the frames of one batch from memory, by decoder."""
    tracklets, keys = np.array(samples, dtype=np.int64).T
    picked = training_clips(clips.lengths[tracklets], uniform(keys, 0, clips.frames))
    names = clips.reader.index.names((clips.starts[tracklets, None] + picked).ravel())
    return floors.decoding_seconds([(clips.reader.root / name).read_bytes() for name in names], clips.size)


def training_set(root: Path, tracklets: list[list[str]], size: tuple[int, int]) -> TrainingClips:
    """Clips of 4 frames as the network is to see them, in frames of `size`."""
    config = ModelConfig(image_size=size)
    index = FrameIndex(tracklets)
    reader = disk_reader(root, index, PoseCache.open(root / "cache"), config)
    zeros = np.zeros(len(tracklets), dtype=np.int64)
    return TrainingClips(reader, index, zeros, zeros, config, AugmentConfig(), HALF, HALF)


def drawn(clips: TrainingClips, batch: int, count: int) -> list[list[tuple[int, int]]]:
    """Samples, (tracklet, key), of this many batches."""
    rng = np.random.default_rng(1)
    return [
        [(int(rng.integers(len(clips.lengths))), key) for key in sample_keys(0, number, batch).tolist()]
        for number in range(count)
    ]


def measure(clips: TrainingClips, root: Path, batch: int, rounds: int) -> float:
    """Print one table; returns our clips/s in this process."""
    ours, plain, parts, alone = [], [], [], []
    for round_, samples in enumerate(drawn(clips, batch, rounds + 1)):
        start = floors.now()
        one = clips.finish(clips.__getitems__(samples))
        middle = floors.now()
        two = plain_batch(clips, root, samples)
        end = floors.now()
        difference = (one["images"] - two["images"]).abs().mean().item()
        assert difference < 0.1, f"the two readers must show the same pixels, not {difference} apart"
        if round_:  # the first warms the page cache
            ours.append(middle - start)
            plain.append(end - middle)
            parts.append(shares(clips, samples))
            alone.append(decoding_alone(clips, samples))
    fast, slow = np.median(ours), np.median(plain)
    ratio = np.median(np.array(plain) / np.array(ours))
    total = sum(np.median([p[name] for p in parts]) for name in parts[0])
    height, width = clips.size
    print(f"frames read at {height}x{width}, {batch} clips of 4 frames a batch, median of {rounds} batches")
    print(f"  ours          {batch / fast:7.1f} clips/s in one process")
    for name in parts[0]:
        print(f"    {name:12}{np.median([p[name] for p in parts]) / total:7.0%} of its time")
    print(f"  plain reader  {batch / slow:7.1f} clips/s in one process")
    print(f"  ratio         {ratio:7.2f}")
    for decoder in alone[0]:
        times = np.median([took / one[decoder] for took, one in zip(ours, alone, strict=True)])
        print(f"  floor: {times:.2f} times decoding alone by {decoder} (at most {AT_MOST})")
    return batch / fast


def loader_speed(clips: TrainingClips, workers: int, batch: int, rounds: int) -> float:
    """Clips/s of the training loader with this many worker processes, once all are running."""
    config = LoaderConfig(workers=workers)
    before = 2 * workers * config.prefetch  # read while the workers started
    times = [time.perf_counter()]
    for _ in training_loader(clips, drawn(clips, batch, before + rounds + 1), config):
        times.append(time.perf_counter())
    return batch * rounds / (times[-1] - times[-1 - rounds])


def network_speed(recipe: str, batch: int) -> tuple[float, tuple[int, int]]:
    """Clips/s of training steps of a recipe's network on this machine's device, and its frame size."""
    from pipeline.config import load_recipe
    from stages.reid.model import KeyReID
    from stages.reid.training.processes import start_processes
    from stages.reid.training.trainer import Trainer

    loaded = load_recipe(recipe)
    model, train = loaded.model.model_copy(update={"vit_path": None, "pretrained": False}), loaded.train
    accelerator = start_processes(train)
    trainer = Trainer(KeyReID(model, 32, 4), train, accelerator, batches_per_epoch=10)
    data = {
        "images": torch.randn(batch, model.clip_length, 3, *model.image_size),
        "part_maps": torch.rand(batch, model.clip_length, len(model.part_names), 64, 32),
        "persons": torch.arange(batch) // 4,
        "cameras": torch.zeros(batch, dtype=torch.int64),
        "keys": torch.arange(batch),
        "erased": torch.zeros(batch, model.clip_length),
    }
    data = {name: value.to(accelerator.device) for name, value in data.items()}
    times = []
    for _ in range(6):
        start = time.perf_counter()
        trainer.step(data, 0, 0)  # reads the loss back, so the device is done
        times.append(time.perf_counter() - start)
    where = (
        torch.cuda.get_device_name()
        if accelerator.device.type == "cuda"
        else f"{torch.get_num_threads()} threads"
    )
    print(f"network of configs/{recipe}.yaml on {where}: {batch / min(times[1:]):.1f} clips/s of training")
    return batch / min(times[1:]), tuple(model.image_size)


def private_mb(pid: int) -> float:
    """Memory that a process shares with no other, in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) * 1024 / 1e6


def memory(
    root: Path, tracklets: list[list[str]], workers: int, start: str, batches: int = 40
) -> list[list[float]]:
    """Private memory of each worker after each of ten epochs of this many batches; printed too."""
    config = ModelConfig(image_size=(256, 128), backbone="vit_base_patch16_224")
    times = -(-509_914 // (len(tracklets) * FRAMES))
    index = FrameIndex(tracklets * times)
    reader = disk_reader(root, index, PoseCache.open(root / "cache"), config)
    zeros = np.zeros(len(index.lengths), dtype=np.int64)
    clips = TrainingClips(reader, index, zeros, zeros, config, AugmentConfig(), HALF, HALF)
    persons = np.arange(len(index.lengths)) % 1000
    sampler = IdentitySampler(persons, zeros.tolist(), SamplerConfig(leftovers="fill"), seed=0)
    sampler.batches = batches  # an epoch of all is longer than this needs to be
    stream = BatchStream(sampler, epochs=10)
    loader = training_loader(clips, stream, LoaderConfig(workers=workers, start=start))
    memory = []
    for number, _ in enumerate(loader, start=1):
        if number % batches == 0:
            pids = sorted(process.pid for process in multiprocessing.active_children())
            memory.append([private_mb(pid) for pid in pids])
            print(
                f"epoch {number // batches:2}: " + "  ".join(f"{mb:.1f} MB" for mb in memory[-1]), flush=True
            )
    return memory


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips in a batch")
    parser.add_argument("--rounds", type=int, default=15, help="batches measured")
    parser.add_argument("--tracklets", type=int, default=TRACKLETS, help="tracklets made to be read")
    parser.add_argument(
        "--network", default="walkers", help="recipe whose network the reader must keep up with"
    )
    parser.add_argument("--memory", action="store_true", help="memory of workers over ten epochs")
    parser.add_argument("--workers", type=int, default=2, help="workers, for --memory")
    parser.add_argument("--start", default="fork", help="fork, spawn or forkserver, for --memory")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tracklets = make_data(root, given.tracklets)
        if given.memory:
            memory(root, tracklets, given.workers, given.start)
            return
        speed, size = network_speed(given.network, given.clips)
        torch.set_num_threads(1)  # and the clock is the processor's
        for wanted in dict.fromkeys([(256, 128), size]):
            clips = training_set(root, tracklets, wanted)
            measure(clips, root, given.clips, given.rounds)
            rates = {n: loader_speed(clips, n, given.clips, 4 * given.rounds) for n in (1, 2)}
            for n, rate in rates.items():
                print(f"  {n} worker{'s' * (n > 1):1}     {rate:7.1f} clips/s, {rate / n:.1f} per worker")
    cores = len(os.sched_getaffinity(0))
    enough = next((n for n, rate in rates.items() if rate >= speed), int(np.ceil(2 * speed / rates[2])))
    where = f"with {enough} of {cores} cores" if enough < cores else f"with {enough} cores (here: {cores})"
    print(
        f"network {speed:.1f} clips/s, 1 worker {rates[1] / speed:.2f} times as fast, 2 workers "
        f"{rates[2] / speed:.2f} times: {where} reading is never slower than the network"
    )
    print(f"{floors.peak_memory()}, {floors.busy()}")


if __name__ == "__main__":
    main()
