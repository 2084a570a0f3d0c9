"""Start weights from a file: what fits is loaded, the rest is listed, nothing at all is an error."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import pytest
import timm
import torch
from safetensors.torch import save_file

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID
from stages.reid.model.vit_weights import load_vit
from stages.reid.model.weights_file import read_tensors
from tests.stages.reid.model.tiny import SIZES, tiny_config


def vit(image_size=(32, 16), classes=0, name="vit_tiny_patch16_224", **sizes):
    return timm.create_model(name, img_size=image_size, num_classes=classes, **{**SIZES, **sizes})


@pytest.fixture
def original():
    """An ImageNet-like ViT: square frames, a classifier of a thousand classes."""
    torch.manual_seed(8)
    return vit((32, 32), classes=1000).state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_network_starts_from_the_file(tmp_path, original, suffix):
    path = tmp_path / f"jx_vit{suffix}"
    save_file(original, path) if suffix == ".safetensors" else torch.save(original, path)
    model = KeyReID(tiny_config(vit_path=path), 5, 3)
    trunk = model.backbone.vit.state_dict()
    assert torch.equal(trunk["blocks.0.attn.qkv.weight"], original["blocks.0.attn.qkv.weight"])
    last = model.global_branch.state_dict()
    assert torch.equal(last["block.mlp.fc1.weight"], original["blocks.1.mlp.fc1.weight"])
    assert torch.equal(last["norm.weight"], original["norm.weight"])
    assert "head.weight" in str(model.load_report)
    assert len(model.load_report.loaded) == len(original) - 2 and not model.load_report.missing


def test_positions_are_resampled_to_the_grid(tmp_path, original):
    torch.save(original, tmp_path / "square.pth")
    network = vit()
    load_vit(network, tmp_path / "square.pth")
    assert network.pos_embed.shape == (1, 1 + 4 * 2, 32)
    assert torch.equal(network.pos_embed[:, 0], original["pos_embed"][:, 0])
    grid = original["pos_embed"][:, 1:].view(1, 4, 4, 32).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, (4, 2), mode="bicubic", antialias=True)
    assert torch.allclose(network.pos_embed[:, 1:], expected.flatten(2).transpose(1, 2))


def test_positions_are_resampled_bilinearly_for_guidance_published(tmp_path, original):
    torch.save(original, tmp_path / "square.pth")
    network = vit()
    load_vit(network, tmp_path / "square.pth", guidance="published")
    grid = original["pos_embed"][:, 1:].view(1, 4, 4, 32).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, (4, 2), mode="bilinear", align_corners=False)
    assert torch.allclose(network.pos_embed[:, 1:], expected.flatten(2).transpose(1, 2))


def test_what_is_not_loaded_is_listed(tmp_path, original):
    del original["blocks.1.norm2.bias"]
    original["blocks.0.mlp.fc1.bias"] = torch.zeros(3)
    torch.save(original, tmp_path / "partial.pth")
    report = load_vit(vit(), tmp_path / "partial.pth")
    assert report.missing == ["blocks.0.mlp.fc1.bias", "blocks.1.norm2.bias"]
    assert "blocks.0.mlp.fc1.bias [3] (expected [128])" in report.unused
    assert "head.weight" in report.unused


def test_loading_nothing_is_an_error(tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(KeyReIDError, match="not one entry fits"):
        load_vit(vit(), tmp_path / "resnet.pth")


def test_a_vit_of_another_width_is_an_error(tmp_path):
    torch.save(vit((32, 32), embed_dim=64).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(KeyReIDError, match="not one entry fits"):
        load_vit(vit(), tmp_path / "wide.pth")


@pytest.mark.parametrize("name", ["torn.pth", "torn.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(KeyReIDError, match=name):
        read_tensors(tmp_path / name)


def test_a_pickle_with_code_is_refused(tmp_path):
    torch.save({"pos_embed": print}, tmp_path / "code.pth")
    with pytest.raises(KeyReIDError, match=r"code\.pth"):
        read_tensors(tmp_path / "code.pth")


def test_mean_and_deviation_come_from_the_backbone():
    half = KeyReID(tiny_config(), 5, 3)
    assert half.pixel_mean == (0.5, 0.5, 0.5) and half.pixel_std == (0.5, 0.5, 0.5)
    imagenet = KeyReID(tiny_config(backbone="deit_tiny_patch16_224"), 5, 3)
    assert imagenet.pixel_mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("guidance", ["prior", "published"])
@pytest.mark.parametrize("name", ["vit_relpos_base_patch16_cls_224", "vit_small_patch16_rope_mixed_224"])
def test_families_with_other_positions_start_from_a_file(tmp_path, name, guidance):
    torch.manual_seed(8)
    original = timm.create_model(name, img_size=(32, 32), num_classes=1000, **SIZES).state_dict()
    torch.save(original, tmp_path / "square.pth")
    network = timm.create_model(name, img_size=(32, 16), num_classes=0, **SIZES)
    report = load_vit(network, tmp_path / "square.pth", guidance)
    assert not [entry for entry in report.missing if "relative_coords" not in entry]
    assert torch.equal(network.blocks[1].attn.qkv.weight, original["blocks.1.attn.qkv.weight"])
