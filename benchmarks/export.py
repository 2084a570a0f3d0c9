"""The exported networks in onnxruntime against torch: time per clip and per frame, side by side.

    OMP_NUM_THREADS=2 python -m benchmarks.export --rounds 15
    OMP_NUM_THREADS=2 python -m benchmarks.export --vit-base    # ViT-B/16 and HRNet-W32 instead

The small network is the recipe of walkers (--vit-base: ViT-B/16 at 256x128), the pose network its small
HRNet (HRNet-W32); untrained weights, which cost as much. Calls take turns, a pause between them, since idle
threads of both spin for a while; the median of the ratios counts.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from stages.export import network, pose
from stages.export.onnx_file import import_onnx
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.reid.model import KeyReID, ModelConfig, save_model

SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"patch_size": 16, "depth": 4, "embed_dim": 128, "num_heads": 4},
    "image_size": (128, 64),
}


def side_by_side(title: str, module, session, batches: list[dict], rounds: int) -> None:
    """Print a line for each batch: milliseconds of both and the ratio."""
    for batch in batches:
        values = {name: value.numpy() for name, value in batch.items()}
        count = len(next(iter(values.values())))
        calls = (_torch(module, batch), lambda values=values: session.run(None, values))
        times = [[_once(call) for call in calls] for _ in range(rounds)]
        ours, theirs = (1000 * statistics.median(column) / count for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        print(f"{title:34} {count:5d} {ours:9.2f} {theirs:12.2f} {ratio:16.2f}", flush=True)


def _torch(module, batch: dict):
    def call() -> None:
        with torch.inference_mode():
            module(**batch)

    return call


def _once(call) -> float:
    """Seconds of a call that follows another of its kind; first the other side's threads stop spinning."""
    time.sleep(0.1)
    call()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--vit-base", action="store_true", help="ViT-B/16, 219 M parameters, instead")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    _, onnxruntime = import_onnx()
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{platform.machine()}, {threads} threads, {versions}")
    print(f"{'network':34} {'batch':>5} {'torch ms':>9} {'onnxruntime':>12} {'torch/onnxruntime':>16}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.manual_seed(0)
        model = KeyReID(ModelConfig(**({} if given.vit_base else SMALL)), 32, 4).eval()
        network.export(model, save_model(model, Path(folder) / "model.safetensors"), path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = "ViT-B/16 256x128, a clip of 4" if given.vit_base else "walkers recipe, a clip of 4"
        batches = network.samples(model, (1, 8), cameras=False)
        side_by_side(name, network.ClipEmbedding(model).eval(), session, batches, given.rounds)

        config = PoseConfig(estimator="hrnet-w32-256x192" if given.vit_base else "walkers")
        estimator = HRNetEstimator(load_spec(config.estimator), None)
        path = Path(folder) / "pose.onnx"
        pose.write(estimator, {"estimator": config.estimator}, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        module = pose.Heatmaps(estimator).eval()
        side_by_side(
            f"{config.estimator}, a frame", module, session, pose.samples(estimator, (1, 16)), given.rounds
        )


if __name__ == "__main__":
    main()
