"""Networks come from mmpose's registry, weights are read without running code, errors say the way out."""

import contextlib
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cache.chunks import quantise
from cache.errors import KeyReIDError
from cache.files import sha256_of
from stages.pose import geometry
from stages.pose.config import SPECS, EstimatorSpec, load_spec
from stages.pose.estimator import MIRRORED, HRNetEstimator, build_network, input_size, quantised
from stages.pose.weights import find_weights, read_state_dict
from tests.stages.pose import tiny


@pytest.fixture(scope="module")
def loaded(estimator) -> HRNetEstimator:
    return HRNetEstimator(load_spec(str(estimator)), estimator.with_suffix(".safetensors"))


def test_the_default_for_real_frames_is_mmposes_w32():
    spec = load_spec("hrnet-w32-256x192")
    network = build_network(spec, initialise=False)
    assert sum(p.numel() for p in network.parameters()) == 28_536_113
    assert input_size(spec) == (192, 256) and spec.padding == 1.25
    assert spec.weights.sha256 == "81c58e40" and spec.weights.url.endswith(spec.weights.file)


def test_any_size_by_name():
    spec = load_spec("hrnet-w48-256x192")
    assert build_network(spec, initialise=False).head.in_channels == 48
    with pytest.raises(KeyReIDError, match=r"hrnet-w99.*known: .*hrnet-w32-256x192"):
        load_spec("hrnet-w99")


def test_loading_settles_how_a_gpu_computes_in_whichever_process_it_is(estimator, monkeypatch):
    """Workers get the name of a device from the process that looked for it."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with contextlib.suppress(RuntimeError, AssertionError):  # where there is no GPU
        HRNetEstimator(load_spec(str(estimator)), None, device="cuda")
    assert torch.backends.cudnn.benchmark and not torch.backends.cudnn.allow_tf32


def test_folding_batch_norm_changes_nothing(estimator, loaded):
    images = np.random.default_rng(0).integers(0, 255, (3, 128, 64, 3), np.uint8)
    inputs = loaded.prepare(images)
    plain = build_network(load_spec(str(estimator)), initialise=False)
    plain.load_state_dict(load_file(estimator.with_suffix(".safetensors")))
    plain.eval()
    with torch.no_grad():
        expected = plain.head.forward(plain.extract_feat(inputs.flip(1)))  # theirs is RGB
    assert expected.std() > 0.05
    assert torch.allclose(loaded.forward(inputs), expected, atol=1e-5)


def test_inputs_are_normalised_as_mmpose_does(loaded, estimator):
    images = np.random.default_rng(1).integers(0, 255, (2, 128, 64, 3), np.uint8)
    network = build_network(load_spec(str(estimator)), initialise=False)
    data = {"inputs": [torch.from_numpy(i).permute(2, 0, 1) for i in images], "data_samples": []}
    expected = network.data_preprocessor(data)["inputs"]
    assert torch.allclose(loaded.prepare(images).flip(1), expected, atol=1e-5)


class Dots:
    """Stands for a trained network: a Gaussian where the codec puts the brightest pixel of an input."""

    def __init__(self, estimator: HRNetEstimator):
        self.estimator = estimator

    def __call__(self, inputs):
        width, height = self.estimator.heatmap_size
        brightest = inputs.sum(1).flatten(1).argmax(1)
        pixels = torch.stack([brightest % inputs.shape[3], brightest // inputs.shape[3]], 1).numpy()
        cells = geometry.apply(geometry.input_to_heatmap(self.estimator.codec.scale_factor), pixels)
        y, x = np.mgrid[0:height, 0:width]
        away = (x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2
        return torch.from_numpy(np.exp(-away / 8).astype(np.float32))[:, None].repeat(1, 17, 1, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in SPECS.glob("*.yaml")))
def test_the_flip_test_moves_nothing_by_parts_of_a_cell(name, monkeypatch):
    flipping = HRNetEstimator(load_spec(name), None, flip_test=True, padding=1.0)
    monkeypatch.setattr(flipping, "_forward", Dots(flipping))
    width, height = flipping.input_size
    scale = flipping.codec.scale_factor[0]
    for column in (width // 3, width // 2 - 1, 3 * width // 4 + 1):
        image = np.zeros((1, height, width, 3), np.uint8)
        image[0, height // 3, column] = 255
        for picture, place in ((image, column), (image[:, :, ::-1].copy(), width - 1 - column)):
            heat = flipping.forward(flipping.prepare(picture))[0, 5].numpy()
            centre = (heat.sum(0) * np.arange(heat.shape[1])).sum() / heat.sum()
            assert abs(centre - place / scale) < 0.02


def test_the_flip_test_exchanges_left_and_right(estimator, loaded):
    flipping = HRNetEstimator(
        load_spec(str(estimator)), estimator.with_suffix(".safetensors"), flip_test=True
    )
    inputs = loaded.prepare(np.random.default_rng(2).integers(0, 255, (2, 128, 64, 3), np.uint8))
    mirrored = geometry.shift_right(loaded.forward(inputs.flip(-1)).flip(-1)[:, MIRRORED], 0.75)
    assert torch.allclose(flipping.forward(inputs), (loaded.forward(inputs) + mirrored) / 2, atol=1e-5)
    assert [MIRRORED[j] for j in MIRRORED] == list(range(17)) and MIRRORED[5] == 6


@pytest.mark.parametrize(
    "model",
    [
        {"type": "subprocess.Popen", "args": ["touch", "ran"]},
        {"backbone": {"type": "os.system"}},
        {"head": {"type": "HeatmapHead", "loss": {"type": {"a": 1}}}},
        {"metainfo": {"from_file": "evil.py"}},
        {"backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": "evil.pth"}}},
        {"_scope_": "evil", "type": "X"},
        {"neck": [{"custom_imports": ["evil"]}]},
    ],
)
def test_an_estimator_file_can_run_nothing(tmp_path, model):
    (tmp_path / "e.yaml").write_text(json.dumps({"model": model, "weights": {"file": "w.pth"}}))
    with pytest.raises(KeyReIDError, match=r"e.yaml: model: .*model\."):
        load_spec(str(tmp_path / "e.yaml"))


@pytest.mark.parametrize("config", ["../evil.py", "/tmp/evil.py", "a/../../evil.py", "evil", "a.yaml"])
def test_only_config_files_of_mmpose_are_run(tmp_path, config):
    (tmp_path / "e.yaml").write_text(json.dumps({"mmpose_config": config, "weights": {"file": "w.pth"}}))
    with pytest.raises(KeyReIDError, match=r"e.yaml: mmpose_config: "):
        load_spec(str(tmp_path / "e.yaml"))


@pytest.mark.parametrize("file", ["../w.pth", "/tmp/w.pth", "..", ".", "", "a/b.pth", "a\\b.pth"])
def test_weights_stay_in_their_folder(tmp_path, file):
    (tmp_path / "e.yaml").write_text(json.dumps({"model": {}, "weights": {"file": file}}))
    with pytest.raises(KeyReIDError, match=r"e.yaml: weights.file: "):
        load_spec(str(tmp_path / "e.yaml"))


def test_keypoints_are_the_codecs_mapped_to_the_frame(loaded):
    maps = np.zeros((1, 17, 32, 16), np.float32)
    maps[0, :, 10, 6] = 0.7
    affine = loaded.affine((128, 256))
    found = loaded.keypoints(maps, [affine])[0]
    # Twice the input's size: heat of cell 6 is at input pixel 24, which is frame pixel 48.5.
    assert np.allclose(found, np.tile([48.5, 80.5, 0.7], (17, 1)), atol=1e-4)


class Forgetful(dict):
    """As if another thread emptied it after every write."""

    def __setitem__(self, key, value):
        pass


def test_grids_and_affines_may_vanish_while_they_are_used(loaded, monkeypatch):
    monkeypatch.setattr(loaded, "_grids", Forgetful())
    monkeypatch.setattr(loaded, "_affines", Forgetful())
    maps = torch.rand(1, 17, 32, 16)
    assert loaded.heat(maps, [loaded.affine((64, 128))], [(64, 128)]).shape == (1, 17, 64, 32)


def test_heat_is_quantised_on_the_device_as_the_cache_quantises_it():
    edges = np.arange(-10, 270, 0.25, dtype=np.float32) / np.float32(255)
    heat = np.concatenate([edges, np.random.default_rng(0).random(100_000, np.float32)]).reshape(1, 1, 1, -1)
    assert np.array_equal(quantised(torch.tensor(heat)).numpy(), quantise(heat))


def test_missing_weights_say_where_to_get_them_and_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("KEYREID_WEIGHTS", str(tmp_path / "weights"))
    spec = load_spec("hrnet-w32-256x192")
    broken = spec.weights.model_copy(update={"url": (tmp_path / "nowhere.pth").as_uri()})
    with pytest.raises(KeyReIDError) as error:
        find_weights(spec.model_copy(update={"weights": broken}))
    assert "nowhere.pth" in str(error.value) and str(tmp_path / "weights" / spec.weights.file) in str(
        error.value
    )
    assert not list((tmp_path / "weights").glob("*"))


def test_fetched_weights_are_checked_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("KEYREID_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "there.pth").write_bytes(b"weights")
    digest = sha256_of(tmp_path / "there.pth")
    weights = {"file": "w.pth", "url": (tmp_path / "there.pth").as_uri(), "sha256": digest[:8]}
    spec = EstimatorSpec(name="x", folder=tmp_path, model={}, weights=weights)
    assert find_weights(spec) == (tmp_path / "weights" / "w.pth", digest)
    (tmp_path / "weights" / "w.pth").write_bytes(b"other")
    with pytest.raises(KeyReIDError, match="is not the file that x names"):
        find_weights(spec)
    (tmp_path / "weights" / "w.pth").unlink()
    (tmp_path / "there.pth").write_bytes(b"changed on the server")
    with pytest.raises(KeyReIDError, match="cannot be fetched"):
        find_weights(spec)
    assert not (tmp_path / "weights" / "w.pth").exists()


def test_a_checkpoint_with_numpy_in_its_meta_is_read(tmp_path):
    meta = {"sigmas": np.linspace(0, 1, 17), "ids": np.arange(3), "one": np.float32(2), "names": ["a"]}
    torch.save({"meta": meta, "state_dict": {"w": torch.ones(2)}}, tmp_path / "official.pth")
    assert torch.equal(read_state_dict(tmp_path / "official.pth")["w"], torch.ones(2))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_names_of_older_mmpose_and_of_dataparallel_are_read(tmp_path, prefix):
    state = {"backbone.conv1.weight": torch.ones(2), "keypoint_head.final_layer.bias": torch.zeros(3)}
    torch.save({"state_dict": {prefix + name: v for name, v in state.items()}}, tmp_path / "old.pth")
    assert list(read_state_dict(tmp_path / "old.pth")) == ["backbone.conv1.weight", "head.final_layer.bias"]


class Bomb:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"meta": Bomb(), "state_dict": {"w": torch.ones(2)}}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bad.pth", "plain.pth"):
        with pytest.raises(
            KeyReIDError, match=r"holds \w+ beside its tensors|not a safetensors or plain torch file"
        ):
            read_state_dict(tmp_path / name)
    assert "never run" not in capsys.readouterr().out


def test_weights_of_another_network_are_refused_by_name(tmp_path, estimator):
    state = load_file(estimator.with_suffix(".safetensors"))
    state.pop("head.final_layer.bias")
    state["head.final_layer.weight"] = torch.ones(3)
    state["extra"] = torch.ones(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(KeyReIDError) as error:
        HRNetEstimator(load_spec(str(estimator)), tmp_path / "w.pth")
    for part in ("1 missing (first: head.final_layer.bias", "left over (first: extra", "of another shape"):
        assert part in str(error.value)


def test_mistakes_in_an_estimator_file_are_named(tmp_path):
    for text, words in (
        ("padding: 1\n", "weights"),
        ("model: {}\nweights: {file: x}\npading: 1\n", "pading"),
        ("weights: {file: x}\n", "mmpose_config"),
        ("- 1\n", "not a description of an estimator"),
        ("model: {type: Nothing}\nweights: {file: x}\n", "Nothing"),
    ):
        path = tmp_path / f"{abs(hash(text))}.yaml"
        path.write_text(text)
        with pytest.raises(KeyReIDError, match=words):
            build_network(load_spec(str(path)))


def test_tiny_heat_is_uneven(finished, frames):
    """The other tests compare caches: they need content that differs from frame to frame."""
    from cache import PoseCache

    heat = PoseCache.open(finished).read_heatmaps(frames.frames())
    assert heat.std() > 10 and len({frame.tobytes() for frame in heat}) == len(heat)
    assert tiny.config("x").batch_size == 4
