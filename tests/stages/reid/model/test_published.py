"""The released weights give the released numbers; anything else is refused."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.model import load_published
from stages.reid.model.published_weights import released_name


def released_shapes(persons: int = 625, cameras: int = 6) -> dict[str, list[int]]:
    """Names and shapes of a released state dict, spelled out."""
    shapes = {"base.cls_token": [1, 1, 768], "base.pos_embed": [1, 129, 768], "base.Cam": [cameras, 1, 768]}
    shapes |= {"base.patch_embed.proj.weight": [768, 3, 16, 16], "base.patch_embed.proj.bias": [768]}
    for name, width in [*((f"base.blocks.{i}", 768) for i in range(12)), ("b1.0", 768), ("b2.0", 3072)]:
        for layer, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            shapes |= {f"{name}.{layer}.weight": [rows, columns], f"{name}.{layer}.bias": [rows]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{name}.{norm}.weight": [width], f"{name}.{norm}.bias": [width]}
    for name, width in (("base.norm", 768), ("b1.1", 768), ("b2.1", 3072)):
        shapes |= {f"{name}.weight": [width], f"{name}.bias": [width]}
    shapes |= {"base.fc.weight": [1000, 768], "base.fc.bias": [1000]}
    shapes |= {"attention_conv.weight": [256, 768, 1, 1], "attention_conv.bias": [256]}
    shapes |= {"attention_tconv.weight": [1, 256, 3], "attention_tconv.bias": [1]}
    for suffix in ("", *(f"_{k}" for k in range(1, 7))):
        width = 3072 if suffix else 768
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"bottleneck{suffix}.{entry}"] = [width]
        shapes[f"bottleneck{suffix}.num_batches_tracked"] = []
        shapes[f"classifier{suffix}.weight"] = [persons, width]
    return shapes


def hollow_state(**sizes) -> dict[str, torch.Tensor]:
    """A released state dict that takes no memory: every tensor repeats one number."""
    state = {name: torch.tensor(0.5).expand(shape) for name, shape in released_shapes(**sizes).items()}
    state |= {f"block1.{name[5:]}": value for name, value in state.items() if name.startswith("b2.0.")}
    return state


@pytest.fixture(scope="module")
def fill(real_data):
    """The module that draws the known weights and inputs."""
    spec = importlib.util.spec_from_file_location("fill", real_data / "published" / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_embed_returns_the_released_features(real_data, fill):
    folder = real_data / "published"
    shapes = json.loads((folder / "state_dict_shapes.json").read_text())
    state = {
        name: torch.from_numpy(fill.weight(name, tuple(shape)))
        for name, shape in shapes.items()
        if not name.startswith("block1.")
    }
    state |= {name: state["b2.0." + name[7:]] for name in shapes if name.startswith("block1.")}
    model = load_published(state)
    del state
    images, maps, cameras = (torch.from_numpy(array) for array in fill.inputs())
    reference = np.load(folder / "forward.npz")
    assert np.array_equal(cameras, reference["cameras"])
    assert np.allclose(images.flatten()[:8], reference["images_head"])
    found, expected = model.embed(images, maps, cameras).numpy(), reference["features"]
    assert found.shape == (2, 19200)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


def test_the_spelled_out_shapes_are_those_of_the_released_file(real_data):
    released = json.loads((real_data / "published" / "state_dict_shapes.json").read_text())
    own = released_shapes()
    own |= {"block1." + name[5:]: shape for name, shape in own.items() if name.startswith("b2.0.")}
    assert own == released


def test_numbers_of_identities_and_cameras_come_from_the_shapes(tmp_path):
    file = tmp_path / "released.pth"
    torch.save(hollow_state(persons=150, cameras=2), file)  # as small as it is hollow
    model = load_published(file)
    assert (model.num_persons, model.num_cameras) == (150, 2)
    assert model.config.guidance == "published"
    assert not model.training


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b1.1.weight": None}, ["b1.1.weight is missing"]),
        ({"classifier_4.weight": None, "base.Cam": None}, ["classifier_4.weight is missing", "base.Cam"]),
        ({"base.pos_embed": torch.zeros(1, 197, 768)}, ["base.pos_embed", "[1, 197, 768]", "[1, 129, 768]"]),
        ({"classifier_2.weight": torch.zeros(9, 3072)}, ["classifier_2.weight", "[9, 3072]", "[625, 3072]"]),
        ({"base.blocks.12.norm1.weight": torch.zeros(768)}, ["base.blocks.12.norm1.weight is unknown"]),
        ({"block1.norm1.bias": torch.ones(3072)}, ["block1.norm1.bias", "b2.0.norm1.bias", "differ"]),
        ({"epoch": 7}, ["'epoch'", "int"]),
    ],
)
def test_another_network_is_refused_with_the_differences(change, words):
    state = hollow_state() | {name: value for name, value in change.items() if value is not None}
    state = {name: value for name, value in state.items() if change.get(name, 0) is not None}
    with pytest.raises(KeyReIDError) as error:
        load_published(state)
    assert all(word in str(error.value) for word in words)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    file = tmp_path / "released.pth"
    torch.save({"base.Cam": print}, file)
    with pytest.raises(KeyReIDError, match=r"released\.pth"):
        load_published(file)


def test_names_of_part_necks_count_from_one_in_the_released_file():
    assert released_name("part_necks.0.weight") == "bottleneck_1.weight"
    assert released_name("part_classifiers.5.weight") == "classifier_6.weight"
