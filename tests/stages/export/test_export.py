"""ONNX files: equal to torch on real code paths, for any batch, without classes; refusals."""

import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache import PoseCache
from cache.errors import KeyReIDError
from pipeline.cli import keyreid
from stages.datasets import load_dataset
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.extract import run as extract
from stages.reid import Embedder
from stages.reid.model import KeyReID, ModelConfig, save_model
from tests.stages.pose import tiny
from tests.stages.reid.model.tiny import keeping
from tests.stages.reid.own import write_run

WHY = "ONNX is not installed: pip install -r requirements/export.txt"
onnx = pytest.importorskip("onnx", reason=WHY)
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

from stages.export import network, onnx_file, pose  # noqa: E402

EXAMPLE = Path(__file__).parents[3] / "examples" / "onnx_inference.py"
SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"patch_size": 16, "depth": 2, "embed_dim": 32, "num_heads": 2},
    "image_size": (64, 32),
    "clip_length": 2,
}


def call(*words):
    result = CliRunner(catch_exceptions=False).invoke(keyreid, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with run/, model.onnx and pose.onnx of it."""
    folder = tmp_path_factory.mktemp("export")
    run = write_run(folder / "run", tiny.write_estimator(folder / "pose", input_size=(64, 96), padding=1.2))
    text = call("export", "--run", run, "-o", folder / "model.onnx", "--pose-output", folder / "pose.onnx")
    assert text.count("opset 18") == 2
    return folder


def made(folder, seed=0, **config):
    torch.manual_seed(seed)
    model = KeyReID(ModelConfig(**SMALL | config), 4, 3).eval()
    return model, save_model(model, folder / "model.safetensors")


def difference(model, path, sample) -> float:
    """Between onnxruntime on the file and `KeyReID.embed` on what the loader would make of the same."""
    images = sample["frames"].permute(0, 1, 4, 2, 3) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.pixel_mean, model.pixel_std))
    maps = sample.get("part_maps", torch.zeros(len(images), 2, 6, 64, 32))
    if model.config.guidance == "published":
        maps = 2 * maps - 1
    expected = model.embed((images - mean) / std, maps, sample.get("cameras")).numpy()
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {name: value.numpy() for name, value in sample.items()})
    return float(np.abs(found - expected).max() / np.abs(expected).max())


ROPE, RELPOS = "vit_small_patch16_rope_mixed_224", "vit_relpos_medium_patch16_cls_224"
FAMILIES = (ROPE, RELPOS, "beit_base_patch16_224", "eva02_tiny_patch14_224", "vit_small_patch16_dinov3")
KINDS = {
    "published, cameras given": ({"guidance": "published", "parts": 3}, True),
    "global, no heat": ({"global_only": True, "kps": False}, False),
    "parts with blocks of their own": (
        {
            "backbone": ROPE,
            "part_block": 1,
            "part_depth": 1,
            "part_share": 0.4,
            "part_width": 20,
            "frame_prior": True,
        },
        True,
    ),
    "local, all patches": (
        {"backbone": RELPOS, "local_only": True, "keep": 1.0, "tcss": "sequence"},
        False,
    ),
}


REST = {
    "global, patches kept by heat": ({"global_only": True}, False),
    "parts without blocks": ({"part_depth": 0}, False),
    **{name: ({"backbone": name}, True) for name in FAMILIES},
}


@pytest.mark.parametrize(
    ("config", "cameras"),
    [
        *(pytest.param(*kind, id=name) for name, kind in KINDS.items()),
        *(pytest.param(*kind, id=name, marks=pytest.mark.slow) for name, kind in REST.items()),
    ],
)
def test_every_kind_of_network_and_backbone_gives_what_torch_gives(tmp_path, config, cameras):
    model, checkpoint = made(tmp_path, **keeping(config.get("backbone", "")) | config)
    with torch.no_grad():  # positions, their biases and rotations are to matter
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    fused = [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")]
    path = tmp_path / "model.onnx"
    assert network.export(model, checkpoint, path, cameras=cameras) < 1e-4
    assert fused == [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")]
    for sample in network.samples(model, (1, 4), cameras=cameras, seed=3):
        assert ("part_maps" in sample) == config.get("kps", True)
        assert difference(model, path, sample) < 1e-4
    if cameras:
        features = []
        for order in ([-1, 0, 1, 2], [2, 1, 0, -1]):
            sample["cameras"] = torch.tensor(order)
            assert difference(model, path, sample) < 1e-4
            session = onnxruntime.InferenceSession(path)
            features += session.run(None, {name: value.numpy() for name, value in sample.items()})
        assert np.abs(features[0] - features[1]).max() > 1e-3  # the camera matters


@pytest.mark.slow
def test_published_heat_on_a_finer_grid_than_the_caches_is_the_loaders(tmp_path):
    sizes = {"backbone_args": SMALL["backbone_args"] | {"patch_size": 14}, "image_size": (84, 42)}
    model, checkpoint = made(tmp_path, guidance="published", **sizes)
    assert network.export(model, checkpoint, tmp_path / "model.onnx") < 1e-4


@pytest.mark.slow
def test_a_file_that_is_not_the_model_is_not_written(tmp_path, monkeypatch):
    model, checkpoint = made(tmp_path)
    monkeypatch.setattr(network, "before_blocks", lambda vit, tokens: 2 * tokens)
    with pytest.raises(KeyReIDError, match=r"patch16_224.: onnxruntime in fp32 differs from torch"):
        network.export(model, checkpoint, tmp_path / "model.onnx")
    assert not list(tmp_path.glob("model.onnx*"))


class Asking(torch.nn.Module):
    """Asks for a value, or for the number of rows, in Python."""

    def __init__(self, length: bool):
        super().__init__()
        self.length = length

    def forward(self, rows):
        if self.length:
            return rows * len(rows)
        return rows if bool(rows.sum() > 0) else -rows


@pytest.mark.parametrize(("length", "message"), [(True, "any number of rows"), (False, "DataDependent")])
def test_what_onnx_cannot_express_is_refused_by_name(tmp_path, length, message):
    example = {"rows": torch.ones(2, 3)}
    with pytest.raises(KeyReIDError, match=f"^backbone 'x': ONNX cannot .*{message}") as caught:
        onnx_file.write_onnx(
            Asking(length), "backbone 'x'", example, "o", "rows", {}, tmp_path / "m.onnx", []
        )
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_the_file_says_what_it_needs_and_nothing_of_the_classes(exported):
    model = onnx.load(exported / "model.onnx")
    about = json.loads({p.key: p.value for p in model.metadata_props}["keyreid"])
    assert about["opset"] == onnx_file.OPSET == model.opset_import[0].version
    assert about["clip_length"] == 2 and about["frame_size"] == [64, 32] and len(about["parts"]) == 6
    assert about["unit_blocks"] and about["blocks"] == [about["global_width"]] + 6 * [about["blocks"][1]]
    assert about["feature_width"] == sum(about["blocks"])
    assert "num_persons" not in json.dumps(about) and "person" not in json.dumps(about)
    shapes = [tuple(value.dims) for value in model.graph.initializer]
    assert shapes and not any(4 in shape and len(shape) == 2 for shape in shapes)  # 4 training identities
    data = (exported / "model.onnx").read_bytes() + (exported / "pose.onnx").read_bytes()
    for word in (b"classifier", str(Path(__file__).parents[3]).encode(), b".py"):
        assert word not in data
    assert {p.name for p in exported.iterdir()} == {"run", "pose", "model.onnx", "pose.onnx"}


def test_real_clips_of_the_loader_agree(exported, real_data, tmp_path):
    dataset = load_dataset("mini-mars", real_data / "mini-mars")
    tracklets = dataset.query[:4]
    embedder = Embedder(exported / "run")
    part = type(dataset)("mini-mars", dataset.root, (), tracklets, tracklets)
    cache = PoseCache.open(extract(part, embedder.pose, tmp_path / "poses"))
    features = embedder.gallery(part, tracklets, cache, camera="unknown").features
    example = load_example()
    networks = [example.Network(str(exported / name)) for name in ("model.onnx", "pose.onnx")]
    for tracklet, feature in zip(tracklets, features, strict=True):
        found = example.embed(*networks, [str(dataset.root / frame) for frame in tracklet.frames])
        assert np.abs(found - feature).max() < 1e-4 * np.abs(feature).max()


def load_example():
    spec = importlib.util.spec_from_file_location("onnx_inference", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(network_file, pose_file, frames, folder) -> tuple[str, np.ndarray]:
    """What the example prints, and the embedding that it writes, in a process that imports no torch."""
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'mmpose', 'stages', 'cache'} & set(sys.modules)"
    )
    words = [EXAMPLE, network_file, pose_file, *frames, "-o", folder / "q.npy"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    return done.stdout, np.load(folder / "q.npy")


@pytest.mark.parametrize("size", [(32, 64), (64, 128), (70, 130), (20, 50)])
def test_the_example_gives_the_embedding_without_torch(exported, tmp_path, size):
    dataset = tiny.write_frames(tmp_path / "data", tracklets=1, length=5, size=size)
    frames = [str(dataset.root / frame) for frame in dataset.tracklets()[0].frames]
    said, found = run_example(exported / "model.onnx", exported / "pose.onnx", frames, tmp_path)
    expected = Embedder(exported / "run").embed(frames)
    assert said.startswith(f"5 frames -> {len(expected)} numbers")
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_example_with_the_shipped_pose_network_on_walkers(exported, walkers_tiny, tmp_path):
    config = PoseConfig(estimator="walkers", device="cpu")
    assert pose.export(config, tmp_path / "pose.onnx") < 1e-4
    dataset = load_dataset("walkers", walkers_tiny)
    tracklet = dataset.query[0]
    frames = [str(dataset.root / frame) for frame in tracklet.frames]
    said, found = run_example(exported / "model.onnx", tmp_path / "pose.onnx", frames, tmp_path)
    assert said.startswith(f"{len(frames)} frames")
    expected = Embedder(exported / "run", pose=config).embed(frames)
    # two programs round heat to 8 bits; where that decides between two patches, another is kept
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    example = load_example()
    picture, _ = example.read_pictures(frames[0], (64, 32))
    (heat,) = example.joint_heat(example.Network(str(tmp_path / "pose.onnx")), [picture])
    with np.load(walkers_tiny / "keypoints.npz") as made:
        joints = made["keypoints"][made["frames"].tolist().index(tracklet.frames[0])]
    rows, columns = np.unravel_index(heat.reshape(17, -1).argmax(1), heat.shape[1:])
    away = np.hypot(4 * columns + 2 - joints[:, 0], 4 * rows + 2 - joints[:, 1])[joints[:, 2] == 2]
    assert np.median(away) < 8  # pixels of a frame of 256x128


def test_mistakes_of_the_examples_user_are_one_line(exported, tmp_path):
    files = [exported / "model.onnx", exported / "pose.onnx"]
    (tmp_path / "text.onnx").write_text("no network")
    for words, message in (
        ((*reversed(files), "x.jpg"), f"{files[1]}: expected the file of keyreid export -o"),
        ((files[0], files[0], "x.jpg"), f"{files[0]}: expected the file of keyreid export --pose-output"),
        ((tmp_path / "text.onnx", files[1], "x.jpg"), f"{tmp_path}/text.onnx: not a file of keyreid export"),
        ((tmp_path / "none.onnx", files[1], "x.jpg"), f"{tmp_path}/none.onnx: not a file of keyreid export"),
        ((*files, "x.jpg", "-o", tmp_path / "new/q.npy"), f"{tmp_path}/new/q.npy: no such folder"),
        ((*files, "x.jpg"), "x.jpg: missing or no picture"),
    ):
        done = subprocess.run(
            [sys.executable, EXAMPLE, *words], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1 and line.startswith(message)


@pytest.mark.slow
def test_the_pose_network_for_real_frames_gives_what_torch_gives(tmp_path):
    torch.manual_seed(0)
    estimator = HRNetEstimator(load_spec("hrnet-w32-256x192"), None, channels_last=False)
    for module in estimator.network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.reset_parameters()  # mmpose's own beginning gives heat of 1e-10
    path = tmp_path / "pose.onnx"
    assert pose.write(estimator, {"estimator": "hrnet-w32-256x192", "weights_sha256": ""}, path) < 1e-4
    (frame,) = pose.samples(estimator, (1,), seed=3)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"images": frame["images"].numpy()})
    expected = estimator.forward(estimator.prepare(frame["images"].flip(-1).numpy())).numpy()
    assert found.shape == (1, 17, 64, 48) and expected.std() > 0.01
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_mistakes_are_named_and_leave_nothing(exported, tmp_path):
    run = exported / "run"
    for words, message in (
        (("export", "--run", tmp_path, "-o", tmp_path / "m.onnx"), "no trained network there"),
        (
            ("export", "--run", run, "-o", tmp_path / "m.onnx", "--pose-output", tmp_path / "m.onnx"),
            "two names",
        ),
    ):
        with pytest.raises(KeyReIDError, match=message):
            call(*words)
    module = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(module.bias, float("nan"))
    inputs = [{"input": torch.ones(n, 3)} for n in (2, 1)]
    checks = [(one, module(**one).detach()) for one in inputs]
    with pytest.raises(KeyReIDError, match="differs from torch"):
        onnx_file.write_onnx(module, "linear", inputs[0], "output", "rows", {}, tmp_path / "m.onnx", checks)
    assert not list(tmp_path.glob("m.onnx*"))


def test_the_example_names_a_picture_that_declares_a_huge_size(tmp_path):
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    at = data.index(b"\xff\xc0") + 5
    (tmp_path / "huge.jpg").write_bytes(data[:at] + struct.pack(">HH", 65_001, 65_001) + data[at + 4 :])
    with pytest.raises(SystemExit, match=r"huge.jpg: missing or no picture"):
        load_example().read_pictures(str(tmp_path / "huge.jpg"), (64, 32))
