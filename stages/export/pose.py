"""A pose network as ONNX: the network's input in, its heatmaps out. What surrounds it is in the metadata."""

import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from cache.chunks import GRID_HEIGHT, GRID_WIDTH
from cache.errors import KeyReIDError
from stages.export.onnx_file import write_onnx
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.weights import find_weights


class Heatmaps(nn.Module):
    """images uint8 [N, h, w, 3], RGB, of the network's input size -> heatmaps float32 [N, 17, h', w']."""

    def __init__(self, estimator: HRNetEstimator):
        super().__init__()
        self.network = estimator.network
        self.swap = not estimator.to_rgb  # the network was trained on BGR
        self.register_buffer("mean", estimator.mean.clone(), persistent=False)
        self.register_buffer("std", estimator.std.clone(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).float()
        if self.swap:
            pixels = pixels.flip(1)
        return self.network.head.forward(self.network.extract_feat((pixels - self.mean) / self.std))


def export(config: PoseConfig, path: Path) -> float:
    """Write `path`; returns the largest difference from torch, as a share of the largest value.

    Raises KeyReIDError where the config asks for a flip test, which the file does not do.
    """
    if config.flip_test:
        raise KeyReIDError("pose.flip_test: the exported pose network runs without it; set it to false")
    spec = load_spec(config.estimator)
    weights, sha256 = find_weights(spec, config.weights)
    estimator = HRNetEstimator(spec, weights, padding=config.padding, channels_last=False)
    width, height = estimator.input_size
    scale = [float(value) for value in estimator.codec.scale_factor]
    metadata = {
        "what": "pose network of KeyRe-ID",
        "keyreid": importlib.metadata.version("keyreid"),
        "estimator": spec.name,
        "weights_sha256": sha256,
        "input_size": [width, height],
        "padding": estimator.padding,
        "heatmap_scale": scale,
        "grid": [GRID_WIDTH, GRID_HEIGHT],
    }
    draw = torch.Generator().manual_seed(0)
    batches = [
        {"images": torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=draw)}
        for n in (2, 1, 3)
    ]
    return write_onnx(Heatmaps(estimator), batches[0], "heatmaps", "images", metadata, path, batches[1:])
