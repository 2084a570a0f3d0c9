"""What stage one is timed on: weights, frames, a shard to extract, and mmpose's own loop beside it."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from cache.errors import KeyReIDError
from cache.files import sha256_of
from cache.manifest import Manifest
from stages.datasets.tracklet import Dataset
from stages.pose.config import EstimatorSpec
from stages.pose.estimator import build_network, model_config
from stages.pose.plan import packages
from stages.pose.shard_task import ShardTask
from stages.pose.sources import check_frames
from stages.pose.weights import find_weights, load_into


def weights_of(spec: EstimatorSpec, folder: Path) -> tuple[Path, str]:
    """The estimator's weights, or random ones of its shape."""
    try:
        return (find_weights(spec)[0], "its own weights")
    except KeyReIDError:
        torch.manual_seed(0)
        state = build_network(spec, initialise=False).state_dict()
        path = folder / f"{spec.name}.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, path)
        return path, "random weights"


def walkers_data(folder: Path) -> Path:
    from stages.datasets.walkers import make
    from stages.datasets.walkers.config import WalkersConfig

    return make.run(WalkersConfig(identities=8), folder / "walkers")


def mmpose_loop(spec: EstimatorSpec, weights: Path, device: str):
    """mmpose's own way: `inference_topdown` on one frame file after the other, without flip test."""
    from mmengine import Config
    from mmpose.apis import inference_topdown
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    network = build_network(spec, initialise=False)
    load_into(network, weights)
    network.test_cfg = {**(network.test_cfg or {}), "flip_test": False}
    size = tuple(model_config(spec)["head"]["decoder"]["input_size"])
    pipeline = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale", "padding": spec.padding},
        {"type": "TopdownAffine", "input_size": size},
        {"type": "PackPoseInputs"},
    ]
    network.cfg = Config({"test_dataloader": {"dataset": {"pipeline": pipeline}}})
    network.dataset_meta = parse_pose_metainfo({"from_file": "configs/_base_/datasets/coco.py"})
    network.to(device).eval()
    return lambda paths: [inference_topdown(network, str(path)) for path in paths]


def make_task(
    data: Dataset, frames: tuple[str, ...], spec: EstimatorSpec, weights: Path, folder: Path, settings: dict
) -> ShardTask:
    checked = [frame for part in check_frames(data.root, frames, range(len(frames)), 2) for frame in part]
    versions = packages(settings["device"])
    plan = Manifest(spec.name, sha256_of(weights), {"settings": settings}, (), versions)
    digests = np.array([digest for _, _, _, digest, *_ in checked], "<u8")
    device = "cpu" if settings["device"] == "cpu" else "cuda"
    return ShardTask(
        folder, 0, data.root, frames, digests, frozenset(), plan, spec, weights, settings, device, ""
    )
