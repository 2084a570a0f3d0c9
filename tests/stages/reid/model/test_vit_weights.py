"""Start weights from a file: what fits is loaded, the rest is listed, nothing at all is an error."""

import stages.compat  # noqa: F401  isort: skip  (before timm)
import pytest
import timm
import torch
from safetensors.torch import save_file

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID
from stages.reid.model.vit_weights import load_vit
from stages.weights_file import read_tensors
from tests.stages.reid.model.test_patch_grid import learnt
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


# ---- networks for persons, and CLIP ----

CLIP_NAMES = {
    "patch_embed.proj": "conv1",
    "pos_embed": "positional_embedding",
    "cls_token": "class_embedding",
    "blocks.": "transformer.resblocks.",
    "norm_pre": "ln_pre",
    ".norm1": ".ln_1",
    ".norm2": ".ln_2",
    "attn.qkv.": "attn.in_proj_",
    "attn.proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def clip_names(state, prefix):
    """timm's names of a ViT as OpenAI's CLIP has them, under a prefix."""
    found = {}
    for name, value in state.items():
        for ours, theirs in CLIP_NAMES.items():
            name = name.replace(ours, theirs)
        if name.startswith("norm."):
            name = name.replace("norm.", "ln_post.")
        flat = {"class_embedding": value.reshape(-1), "positional_embedding": value.reshape(-1, 32)}
        found[prefix + name] = flat.get(name, value)
    return found


def positions_of(high, wide, width=32):
    """A smooth position embedding with a class token, [1, 1 + h*w, width]."""
    smooth = learnt(high, wide, width)
    return torch.cat([torch.randn(1, width), smooth])[None]


@pytest.mark.parametrize(
    ("theirs", "image_size", "grid"),
    [((4, 4), (64, 16), (8, 2)), ((8, 4), (96, 32), (12, 4)), ((16, 16), (256, 64), (32, 8))],
    ids=["4x4 to 8x2", "8x4 to 12x4", "16x16 to 32x8, as many"],
)
def test_grids_decide_how_positions_are_resampled(tmp_path, theirs, image_size, grid):
    network = vit(image_size)
    assert tuple(network.patch_embed.grid_size) == grid
    state = vit(image_size).state_dict()
    state["pos_embed"] = positions_of(*theirs)
    torch.save(state, tmp_path / "person.pth")
    report = load_vit(network, tmp_path / "person.pth")
    assert report.resampled == [f"pos_embed {theirs[0]}x{theirs[1]} -> {grid[0]}x{grid[1]}"]
    expected = torch.nn.functional.interpolate(
        state["pos_embed"][0, 1:].unflatten(0, theirs).permute(2, 0, 1)[None],
        grid,
        mode="bicubic",
        antialias=True,
    )
    assert torch.allclose(network.pos_embed[0, 1:], expected[0].flatten(1).T, atol=1e-6)
    assert torch.equal(network.pos_embed[0, 0], state["pos_embed"][0, 0])


def test_positions_of_no_grid_are_an_error(tmp_path):
    torch.save(vit().state_dict() | {"pos_embed": torch.randn(1, 14, 32)}, tmp_path / "odd.pth")
    with pytest.raises(KeyReIDError, match="13 positions of patches, which make no upright grid"):
        load_vit(vit(), tmp_path / "odd.pth")


def test_a_stem_of_convolutions_is_refused_with_the_way_out(tmp_path):
    state = vit().state_dict() | {"patch_embed.proj.weight": torch.zeros(32, 64, 4, 4)}
    stem = state | {"patch_embed.conv.0.weight": torch.zeros(64, 3, 7, 7)}
    torch.save({"teacher": stem}, tmp_path / "ics.pth")
    with pytest.raises(KeyReIDError, match=r"ics\.pth: .*stem of convolutions .*without ICS"):
        load_vit(vit(), tmp_path / "ics.pth")


@pytest.mark.parametrize(
    "change",
    [
        {"patch_embed.proj.weight": torch.zeros(32, 1, 8, 8)},
        {"patch_embed.proj.weight": torch.zeros(48, 3, 8, 8), "patch_embed.proj.bias": torch.zeros(48)},
        {"patch_embed.proj.weight": None},
    ],
    ids=["grey", "wide", "none"],
)
def test_a_patch_embedding_that_does_not_fit_is_an_error(tmp_path, change):
    state = {name: value for name, value in (vit().state_dict() | change).items() if value is not None}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(KeyReIDError, match=r"patch embedding does not fit .*patch_embed\.proj\.weight"):
        load_vit(vit(), tmp_path / "other.pth")


@pytest.mark.parametrize("prefix", ["visual.", "image_encoder.", "module.image_encoder.", ""])
def test_clip_starts_a_network_of_clip(tmp_path, prefix):
    original = vit(pre_norm=True).state_dict()
    words = {f"{prefix.partition('image')[0]}text_encoder.{i}.weight": torch.zeros(2) for i in range(90)}
    torch.save(clip_names(original, prefix) | (words if "image" in prefix else {}), tmp_path / "clip.pth")
    network = vit(pre_norm=True)
    report = load_vit(network, tmp_path / "clip.pth")
    assert not report.missing
    assert all(torch.equal(value, original[name]) for name, value in network.state_dict().items())


def test_clip_in_another_network_is_refused(tmp_path):
    torch.save(clip_names(vit(pre_norm=True).state_dict(), "visual."), tmp_path / "clip.pth")
    with pytest.raises(KeyReIDError, match=r"clip\.pth: are CLIP's, whose tokens are normalised before"):
        load_vit(vit(), tmp_path / "clip.pth")
