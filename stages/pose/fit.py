"""Trains a small pose network of mmpose on walkers or on photographs, with mmpose's codec and loss."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import stages.compat  # noqa: F401
from cache.errors import KeyReIDError
from cache.files import prepare_file, sha256_of, write_whole
from cache.text_files import load_record
from stages.datasets import load_dataset
from stages.datasets.walkers.config import LOOK
from stages.device import find_device
from stages.pose import geometry
from stages.pose.config import load_spec
from stages.pose.estimator import build_network, model_config
from stages.pose.fit_config import FitConfig
from stages.pose.fit_data import SEEN, UNKNOWN, Pool, augment, make_pool
from stages.pose.fit_photos import photo_pools
from stages.pose.pck import PCK, THRESHOLD, pck
from stages.pose.weights import load_into

# The ends of the limbs are harder to find; of the ankles, it is hard to learn which is the left one.
JOINT_WEIGHTS = np.array([1, 1, 1, 1, 1, 1, 1, 1.2, 1.2, 1.5, 1.5, 1, 1, 1.5, 1.5, 2.5, 2.5])
CHECKS = 6  # times that a run is scored on the held-out walkers on its way


def command_line(config: FitConfig) -> str:
    """The command that makes the same weights: every value that is not the default's."""
    changed = config.model_dump(exclude_defaults=True)
    return " ".join(["keyreid fit-pose", *(f"--{k.replace('_', '-')} {v}" for k, v in changed.items())])


Report = Callable[[int, float, float], None]  # step, mean loss since the last report, seconds per step


def targets(codec, keypoints: np.ndarray, hidden_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps [N, 17, h, w] and loss weights [N, 17] by mmpose's codec.

    Heat is where a joint is SEEN. For hidden and absent joints the target is zero heat, so heat says what
    the frame shows; they weigh `hidden_weight`. UNKNOWN ones weigh nothing.
    """
    visible = (keypoints[..., 2] == SEEN).astype(np.float32)
    heat = np.stack(
        [codec.encode(k[None, :, :2], v[None])["heatmaps"] for k, v in zip(keypoints, visible, strict=True)]
    )
    weights = np.where(visible > 0, 1.0, hidden_weight) * (keypoints[..., 2] != UNKNOWN)
    return heat, (JOINT_WEIGHTS * weights).astype(np.float32)


def _examples(pool: Pool, config: FitConfig, codec) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of frames, heatmaps and weights, made one step ahead in a thread; a function of the seed."""
    order = np.random.default_rng([config.seed, 41])
    needed = config.steps * config.batch_size
    rounds = -(-needed // len(pool.frames))
    rows = np.concatenate([order.permutation(len(pool.frames)) for _ in range(rounds)])[:needed]

    def make(step: int):
        picked = rows[step * config.batch_size : (step + 1) * config.batch_size]
        pairs = [
            augment(np.random.default_rng([config.seed, 43, step, i]), pool.frames[row], pool.keypoints[row])
            for i, row in enumerate(picked)
        ]
        frames, keypoints = (np.stack(part) for part in zip(*pairs, strict=True))
        inputs, affine = to_input(frames, codec)
        keypoints[..., :2] = geometry.apply(affine, keypoints[..., :2])
        return (inputs, *targets(codec, keypoints, config.hidden_weight))

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(make, 0)
        for step in range(config.steps):
            batch = ahead.result()
            if step + 1 < config.steps:
                ahead = thread.submit(make, step + 1)
            yield batch


def to_input(frames: np.ndarray, codec) -> tuple[np.ndarray, np.ndarray]:
    """Frames [N, H, W, 3] drawn into the network's input as stage one draws them, and the affine used."""
    size = tuple(int(n) for n in codec.input_size)
    affine = geometry.frame_to_input(frames.shape[2:0:-1], size)
    return np.stack([geometry.warp_frame(frame, affine, size) for frame in frames]), affine


def to_tensor(network: torch.nn.Module, frames: np.ndarray) -> torch.Tensor:
    """BGR uint8 [N, h, w, 3] of the input's size to what the network's own preprocessor settings ask for."""
    settings = network.data_preprocessor
    pixels = torch.from_numpy(frames).to(settings.mean.device).permute(0, 3, 1, 2).float()
    if settings._channel_conversion:
        pixels = pixels.flip(1)
    pixels = (pixels - settings.mean) / settings.std
    return pixels.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict(network: torch.nn.Module, frames: np.ndarray) -> np.ndarray:
    """x, y in pixels and score, float32 [N, 17, 3], for BGR uint8 frames [N, H, W, 3]."""
    network.eval()
    keypoints = []
    for start in range(0, len(frames), 32):
        inputs, affine = to_input(frames[start : start + 32], network.head.decoder)
        back = geometry.invert(affine)
        for maps in network.head.forward(network.extract_feat(to_tensor(network, inputs))).cpu().numpy():
            points, scores = network.head.decoder.decode(maps)
            keypoints.append(np.concatenate([geometry.apply(back, points[0]), scores[0][:, None]], 1))
    return np.stack(keypoints).astype(np.float32)


def score(network: torch.nn.Module, pool: Pool, threshold: float = THRESHOLD) -> PCK:
    """PCK on visible joints, by default at 0.05 of the frame height."""
    return pck(predict(network, pool.frames), pool.keypoints, pool.frames.shape[1], threshold)


def make_pools(config: FitConfig, size: tuple[int, int]) -> tuple[Pool, Pool]:
    """What to learn from, and what to score on. size: of photographs, width and height."""
    if config.keypoints is None:
        return tuple(
            make_pool(config.seed + further, count, config.workers)
            for further, count in ((0, config.frames), (1_000_000, config.held_out))
        )
    if config.dataset is None or config.data_root is None:
        raise KeyReIDError(
            f"keypoints {config.keypoints}: of which frames? Give the data set and its root "
            "(--dataset NAME --data-root PATH)"
        )
    dataset = load_dataset(
        config.dataset, config.data_root, config.split, boxes=config.boxes, frame_list=config.list
    )
    return photo_pools(
        dataset,
        config.keypoints,
        size,
        (config.frames, config.held_out),
        (config.seen_score, config.hidden_score),
        config.seed,
    )


def fit(
    network: torch.nn.Module,
    pool: Pool,
    config: FitConfig,
    report: Report | None = None,
    check: Callable[[int], None] | None = None,
) -> None:
    """Train in place. report is called every tenth step, check a few times on the way."""
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / (config.warmup + 1))
        return warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    losses, started = [], time.perf_counter()
    for step, (frames, heat, weights) in enumerate(_examples(pool, config, network.head.decoder), start=1):
        network.train()
        made = network.head.forward(network.extract_feat(to_tensor(network, frames)))
        loss = network.head.loss_module(
            made, torch.from_numpy(heat).to(made.device), torch.from_numpy(weights).to(made.device)
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise KeyReIDError(f"fit-pose: loss is {losses[-1]} at step {step}; lower the learning rate")
        if report and step % 10 == 0:
            report(step, float(np.mean(losses)), (time.perf_counter() - started) / step)
            losses = []
        if check and step % max(1, config.steps // CHECKS) == 0:
            check(step)


def _record_of(weights: Path | None) -> dict | None:
    """What is known of the weights that a run started from: command, seed, score, SHA-256."""
    if weights is None:
        return None
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    record = weights.with_suffix(".json")
    known = load_record(record)
    kept = ("command", "look", "keypoints_sha256", "seconds_of_training", "pck_0.05_held_out", "started_from")
    return {**{name: known[name] for name in kept if name in known}, "weights_sha256": digest}


def run(
    config: FitConfig, folder: Path, report: Report | None = None, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Fit, score on held-out walkers or test frames, and write NAME.safetensors and NAME.json into `folder`.

    Returns the path of the weights. Raises KeyReIDError for an unknown estimator or a diverging loss.
    """
    from safetensors.torch import save

    spec, device = load_spec(config.estimator), find_device(config.device)
    path = folder / f"{spec.name}.safetensors"
    prepare_file(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        torch.manual_seed(config.seed)
        network = build_network(spec)
        if config.start is not None:
            load_into(network, config.start)
        network.to(device)
        say(f"drawing {config.frames} frames of walkers" if config.keypoints is None else "reading frames")
        width, height = network.head.decoder.input_size
        pool, held_out = make_pools(config, (int(width), int(height)))
        say(f"{len(pool.frames)} frames for training, {len(held_out.frames)} to score on")
        say(f"training {sum(p.numel() for p in network.parameters()):,} parameters for {config.steps} steps")
        started = time.perf_counter()
        fit(
            network,
            pool,
            config,
            report,
            lambda n: say(f"step {n}: PCK {score(network, held_out).share:.4f}"),
        )
        seconds = time.perf_counter() - started
        state = {
            name: (value.half() if value.is_floating_point() else value).cpu()
            for name, value in network.state_dict().items()
        }
        network.load_state_dict(state)
        fine, coarse = (score(network, held_out, at) for at in (THRESHOLD, 0.1))  # of the weights as saved
    finally:
        torch.set_num_threads(threads)

    data = save({name: value.contiguous() for name, value in state.items()})
    record = {
        "command": command_line(config),
        "estimator": spec.name,
        "model": model_config(spec),
        "config": config.model_dump(mode="json"),
        "started_from": _record_of(config.start),
        **({"look": LOOK} if config.keypoints is None else {"keypoints_sha256": sha256_of(config.keypoints)}),
        "torch": torch.__version__,
        "seconds_of_training": round(seconds),
        "pck_0.05_held_out": round(fine.share, 4),
        "pck_0.1_held_out": round(coarse.share, 4),
        "pck_0.05_held_out_per_joint": [round(float(v), 4) for v in fine.per_joint],
        "held_out_frames": fine.frames,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "weights_bytes": len(data),
    }
    text = json.dumps(record, indent=1, default=str) + "\n"
    write_whole(path, data)
    write_whole(path.with_suffix(".json"), text.encode())
    return path
