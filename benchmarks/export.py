"""The exported networks in onnxruntime against torch: time per clip and per frame, size, and what they find.

    OMP_NUM_THREADS=2 python -m benchmarks.export --rounds 15
    OMP_NUM_THREADS=2 python -m benchmarks.export --vit-base    # ViT-B/16 and HRNet-W32 instead
    OMP_NUM_THREADS=1 python -m benchmarks.export --run RUN     # scores of a trained network

The small network is the recipe of walkers (--vit-base: ViT-B/16 at 256x128), the pose network its small
HRNet (HRNet-W32); untrained weights, which cost as much. Calls take turns, a pause between them, since idle
threads of both spin for a while; the median of the ratios counts. torch is in float32. With one thread the
clock is the processor's.

--run: the test set of the run's config, embedded by torch and by the exported file in each precision, cameras
unknown, and scored as keyreid eval does; and for how many queries the first answer is that of torch.
"""

import argparse
import dataclasses
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from benchmarks import floors
from cache import PoseCache
from stages.datasets import Dataset
from stages.export import network, pose
from stages.export.onnx_file import import_onnx, quiet
from stages.export.precision import Precision, write_in
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.reid.data.loader import test_loader
from stages.reid.embedder import checkpoint_file
from stages.reid.evaluate import embed_dataset
from stages.reid.model import KeyReID, ModelConfig, save_model
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import Checkpoint, embed_tracklets
from stages.reid.scoring.protocols import protocols_for
from stages.reid.scoring.ranking import rank_protocols

SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"patch_size": 16, "depth": 4, "embed_dim": 128, "num_heads": 4},
    "image_size": (128, 64),
}


def side_by_side(title: str, size: float, module, session, batches: list[dict], rounds: int) -> None:
    """Print a line for each batch: milliseconds of both and the ratio. size: MB of the file."""
    for batch in batches:
        values = {name: value.numpy() for name, value in batch.items()}
        count = len(next(iter(values.values())))
        calls = (_torch(module, batch), lambda values=values: session.run(None, values))
        times = [[_once(call) for call in calls] for _ in range(rounds)]
        ours, theirs = (1000 * statistics.median(column) / count for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        print(f"{title:34} {size:6.1f} {count:5d} {ours:9.2f} {theirs:12.2f} {ratio:16.2f}", flush=True)


def _torch(module, batch: dict):
    def call() -> None:
        with torch.inference_mode():
            module(**batch)

    return call


def _once(call) -> float:
    """Seconds of a call that follows another of its kind; first the other side's threads stop spinning."""
    time.sleep(0.1)
    call()
    return floors.seconds(call)


def in_each_precision(path: Path, options: Any) -> Iterator[tuple[Precision, float, Any]]:
    """Precision, MB of the file, and a session of it, of a float32 file."""
    onnx, onnxruntime = import_onnx()
    for precision in get_args(Precision):
        other = path.with_name(f"{path.stem}-{precision}.onnx")
        with quiet():
            write_in(onnx.load(path), precision, other)
        session = onnxruntime.InferenceSession(other, options, providers=["CPUExecutionProvider"])
        yield precision, other.stat().st_size / 1e6, session


class Exported(torch.nn.Module):
    """An exported network in the place of `KeyReID`, for clips as the file takes them. Keeps its seconds."""

    def __init__(self, session: Any, model: KeyReID):
        super().__init__()
        self.session, self.names = session, [value.name for value in session.get_inputs()]
        self.model, self.config = model, model.config
        self.block_widths, self.unit_blocks = model.block_widths, model.unit_blocks
        self.seconds = 0.0

    def embed(self, images: torch.Tensor, part_maps: torch.Tensor, cameras: None) -> torch.Tensor:
        given = {"frames": images.numpy(), "part_maps": part_maps.numpy()}
        began = floors.now()
        (features,) = self.session.run(None, {name: given[name] for name in self.names})
        self.seconds += floors.now() - began
        return torch.from_numpy(features)


def clips_of(clips: Any, parts: int, batch: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of `TestClips` as the file takes them."""
    for start in range(0, len(clips), batch):
        rows = clips.rows[start : start + batch]
        frames, maps = clips.reader.read(rows.ravel())
        pixels = np.ascontiguousarray(frames.transpose(0, 2, 3, 1))
        heat = maps[:, :parts] / np.float32(255)
        yield {
            "images": torch.from_numpy(pixels).unflatten(0, rows.shape),
            "part_maps": torch.from_numpy(heat).unflatten(0, rows.shape),
            "cameras": torch.full((len(rows),), -1),
            "tracklet": torch.from_numpy(clips.tracklets[start : start + batch]),
        }


def scores(run: Path, dataset: Dataset, poses: PoseCache, config: EvalConfig, options: Any) -> None:
    """Print what a trained network finds in torch and as a file of each precision."""
    tested = Checkpoint.load(checkpoint_file(run), "cpu")
    model = tested.model.eval()
    config = config.model_copy(update={"device": "cpu", "precision": "fp32", "camera": "unknown"})
    whole = embed_dataset(tested, config, dataset, poses, [])
    protocols = protocols_for(bool(np.isin(whole.query, whole.gallery).any()), config.protocols, dataset.name)
    tracklets = dataset.test_tracklets()
    clips = test_loader(model, config, dataset.root, tracklets, poses).loader.dataset
    print(
        f"{run.name} on {dataset.name}, {protocols[0].name}: {len(whole.query)} queries, {len(clips)} clips"
    )
    print(f"{'':12} {'MB':>6} {'ms a clip':>9} {'mAP':>6} {'Rank-1':>6} {'same first':>10} {'cosine':>8}")
    first = None

    def line(name: str, features: np.ndarray, more: str) -> np.ndarray:
        test = dataclasses.replace(whole, features=features)
        ranked, ranking, _ = rank_protocols(test, protocols[:1], config)[0]
        answers = ranking.matches[:, 0]
        same = 1.0 if first is None else np.mean(answers == first)
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(whole.features, axis=1)
        cosine = ((features * whole.features).sum(1) / lengths).mean()
        figures = f"{100 * ranked.mean_ap:6.2f} {100 * ranked.cmc[0]:6.2f} {same:10.1%} {cosine:8.5f}"
        print(f"{name:12} {more} {figures}", flush=True)
        return answers

    first = line("torch, fp32", whole.features, " " * 16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        network.export(model, checkpoint_file(run), path)
        for precision, size, session in in_each_precision(path, options):
            exported = Exported(session, model)
            batches = clips_of(clips, len(model.config.part_names), config.batch_size)
            features, _ = embed_tracklets(exported, batches, len(tracklets), "unknown")
            line(f"file, {precision}", features, f"{size:6.1f} {1000 * exported.seconds / len(clips):9.2f}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--run", type=Path, help="a trained run; its data set and poses as its config says")
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
    if given.run:
        from pipeline.config import load_recipe

        recipe = load_recipe(None, given.run / "config.yaml")
        dataset = recipe.dataset.load(recipe.dataset.root)
        scores(given.run, dataset, PoseCache.open(recipe.cache), recipe.eval, options)
        return
    columns = f"{'torch ms':>9} {'onnxruntime':>12} {'torch/onnxruntime':>16}"
    print(f"{'network':34} {'MB':>6} {'batch':>5} {columns}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.manual_seed(0)
        model = KeyReID(ModelConfig(**({} if given.vit_base else SMALL)), 32, 4).eval()
        network.export(model, save_model(model, Path(folder) / "model.safetensors"), path)
        name = "ViT-B/16 256x128, a clip of 4" if given.vit_base else "walkers recipe, a clip of 4"
        batches = network.samples(model, (1, 8), cameras=False)
        module = network.ClipEmbedding(model).eval()
        for precision, size, session in in_each_precision(path, options):
            side_by_side(f"{name}, {precision}", size, module, session, batches, given.rounds)

        config = PoseConfig(estimator="hrnet-w32-256x192" if given.vit_base else "walkers")
        estimator = HRNetEstimator(load_spec(config.estimator), None)
        path = Path(folder) / "pose.onnx"
        pose.write(estimator, {"estimator": config.estimator}, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        module = pose.Heatmaps(estimator).eval()
        size, batches = path.stat().st_size / 1e6, pose.samples(estimator, (1, 16))
        side_by_side(f"{config.estimator}, a frame", size, module, session, batches, given.rounds)


if __name__ == "__main__":
    main()
