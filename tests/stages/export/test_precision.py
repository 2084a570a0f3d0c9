"""Exported networks in fewer bits."""

import json

import numpy as np
import pytest
import torch

WHY = "ONNX is not installed: pip install -r requirements/export.txt"
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)
for name in ("onnx", "onnxscript"):
    pytest.importorskip(name, reason=WHY)

from stages.export import network, pose  # noqa: E402
from stages.export.precision import TOLERANCES  # noqa: E402
from stages.pose.config import PoseConfig  # noqa: E402
from stages.reid.model import KeyReID, ModelConfig, save_model  # noqa: E402

WIDE = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"patch_size": 16, "depth": 2, "embed_dim": 128, "num_heads": 2},
    "image_size": (64, 32),
    "clip_length": 2,
}


@pytest.mark.parametrize(
    ("precision", "share"), [("int8", 0.5), pytest.param("fp16", 0.6, marks=pytest.mark.slow)]
)
def test_a_file_in_fewer_bits_is_smaller_and_gives_nearly_the_same(tmp_path, precision, share):
    torch.manual_seed(0)
    model = KeyReID(ModelConfig(**WIDE), 4, 3).eval()
    checkpoint = save_model(model, tmp_path / "model.safetensors")
    path = tmp_path / "model.onnx"
    assert network.export(model, checkpoint, path, precision=precision) < TOLERANCES[precision]
    weights = sum(p.numel() for name, p in model.named_parameters() if "classifier" not in name)
    assert path.stat().st_size < share * 4 * weights + 200_000  # and the graph
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["keyreid"])["precision"] == precision
    types = {value.name: value.type for value in [*session.get_inputs(), *session.get_outputs()]}
    assert types == {
        "frames": "tensor(uint8)", "part_maps": "tensor(float)", "embedding": "tensor(float)"
    }  # fmt: skip
    (sample,) = network.samples(model, (4,), cameras=False, seed=3)
    (found,) = session.run(None, {name: value.numpy() for name, value in sample.items()})
    expected = network.embedding(model, **sample).numpy()
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((found * expected).sum(1) / lengths > 0.995).all()


@pytest.mark.slow
def test_the_pose_network_is_smaller_in_fp16_and_as_it_was_in_int8(tmp_path):
    config = PoseConfig(estimator="walkers")
    sizes = {}
    for precision in ("fp16", "int8"):
        path = tmp_path / f"{precision}.onnx"
        assert pose.export(config, path, precision) < TOLERANCES["fp16" if precision == "fp16" else "fp32"]
        sizes[precision] = path.stat().st_size
    assert sizes["fp16"] < 0.6 * sizes["int8"]
