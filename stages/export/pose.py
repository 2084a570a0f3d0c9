"""A pose network as ONNX: the network's input in, its heatmaps out. What surrounds it is in the metadata."""

import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from cache.chunks import GRID_HEIGHT, GRID_WIDTH
from cache.errors import KeyReIDError
from stages.export.onnx_file import write_onnx
from stages.export.precision import Precision
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.weights import find_weights


class Heatmaps(nn.Module):
    """images uint8 [N, h, w, 3], RGB, of the network's input size -> heatmaps float32 [N, 17, h', w']."""

    def __init__(self, estimator: HRNetEstimator):
        super().__init__()
        self.network = estimator.network
        self.register_buffer("scale", estimator.scale.view(3, 1, 1).clone(), persistent=False)
        self.register_buffer("shift", estimator.shift.view(3, 1, 1).clone(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flip(-1).permute(0, 3, 1, 2).float()  # the estimator takes BGR
        return self.network.head.forward(self.network.extract_feat(pixels * self.scale + self.shift))


def export(config: PoseConfig, path: Path, precision: Precision = "fp32") -> float:
    """Write the pose network of `config` as the ONNX file `path`; in and out are those of `Heatmaps`.

    precision: fp32 or fp16; int8, which is for linear layers, leaves this network float32.
    Returns the largest difference from torch, as a share of the largest value; at most 1e-4 in fp32.
    Raises KeyReIDError where the config asks for a flip test, which the file does not do, where weights or
    onnx are not there, and where onnxruntime disagrees. Then nothing is written.
    """
    if config.flip_test:
        raise KeyReIDError("pose.flip_test: the exported pose network runs without it; set it to false")
    spec = load_spec(config.estimator)
    weights, sha256 = find_weights(spec, config.weights)
    estimator = HRNetEstimator(spec, weights, padding=config.padding, channels_last=False)
    return write(estimator, {"estimator": spec.name, "weights_sha256": sha256}, path, precision)


def write(
    estimator: HRNetEstimator, names: dict[str, str], path: Path, precision: Precision = "fp32"
) -> float:
    """`export` of a loaded network. names: estimator and weights_sha256, for the metadata."""
    metadata = {
        "what": "pose network of KeyRe-ID",
        "keyreid": importlib.metadata.version("keyreid"),
        **names,
        "input_size": list(estimator.input_size),
        "padding": estimator.padding,
        "heatmap_scale": [float(value) for value in estimator.codec.scale_factor],
        "grid": [GRID_WIDTH, GRID_HEIGHT],
    }
    example, *others = samples(estimator, (2, 1, 3))
    checks = [
        (one, estimator.forward(estimator.prepare(one["images"].flip(-1).numpy())))  # it takes BGR
        for one in others
    ]
    name = f"pose network {names['estimator']}"
    bits = "fp32" if precision == "int8" else precision
    return write_onnx(Heatmaps(estimator), name, example, "heatmaps", "images", metadata, path, checks, bits)


def samples(estimator: HRNetEstimator, sizes: tuple[int, ...], seed: int = 0) -> list[dict[str, Tensor]]:
    """Random inputs of several batch sizes."""
    draw = torch.Generator().manual_seed(seed)
    width, height = estimator.input_size
    return [
        {"images": torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=draw)}
        for n in sizes
    ]
