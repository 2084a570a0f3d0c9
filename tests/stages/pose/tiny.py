"""A pose network of a few thousand weights, and frames to run it on: real code, milliseconds a frame."""

from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose.config import PoseConfig, load_spec


def stage(branches: int, width: int = 4) -> dict:
    return {
        "num_modules": 1,
        "num_branches": branches,
        "block": "BOTTLENECK" if branches == 1 else "BASIC",
        "num_blocks": [1] * branches,
        "num_channels": [width * 2**i for i in range(branches)],
    }


def write_estimator(folder: Path, input_size=(64, 128), padding: float = 1.0, seed: int = 0) -> Path:
    """tiny.yaml and tiny.safetensors in a folder; the weights make uneven heat in about [0, 1]."""
    from stages.pose.estimator import build_network

    extra = {f"stage{i}": stage(i) for i in range(1, 5)}
    extra["stage1"]["num_channels"] = [8]
    width, height = input_size
    codec = {"type": "MSRAHeatmap", "input_size": [width, height], "sigma": 2}
    codec["heatmap_size"] = [width // 4, height // 4]
    model = {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {
            "type": "PoseDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
        },
        "backbone": {"type": "HRNet", "in_channels": 3, "extra": extra},
        "head": {
            "type": "HeatmapHead",
            "in_channels": 4,
            "out_channels": 17,
            "deconv_out_channels": None,
            "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
            "decoder": codec,
        },
        "test_cfg": {"flip_mode": "heatmap", "shift_heatmap": False},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(
        yaml.safe_dump({"model": model, "padding": padding, "weights": {"file": "tiny.safetensors"}})
    )
    torch.manual_seed(seed)
    load_spec.cache_clear()
    network = build_network(load_spec(str(path)), initialise=False)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    state["head.final_layer.weight"] *= 0.4
    save_file(state, folder / "tiny.safetensors")
    return path


def write_frames(root: Path, tracklets: int = 6, length: int = 5, size=(64, 128), seed: int = 0) -> Dataset:
    """A data set of random blotches as JPEG; width and height are `size`."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(tracklets):
        names = tuple(f"bbox_test/{number:04d}/{number:04d}F{i:03d}.jpg" for i in range(length))
        (root / names[0]).parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            small = rng.integers(0, 256, (8, 4, 3), np.uint8)
            cv2.imwrite(str(root / name), cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
        made.append(Tracklet(names, number, 1, f"t{number}"))
    return Dataset("tiny", root, (), (), tuple(made))


def config(estimator: Path, **changes) -> PoseConfig:
    values = {"estimator": str(estimator), "shard_frames": 8, "batch_size": 4, "workers": 1, "threads": 1}
    return PoseConfig(**(values | {"device": "cpu", "precision": "fp32"} | changes))
