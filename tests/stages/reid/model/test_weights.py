"""A checkpoint gives back its network, or is refused with the list of differences."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from cache.errors import KeyReIDError
from stages.reid.model import load_model, save_model
from tests.stages.reid.model.tiny import keeping, tiny_clips, tiny_config, tiny_model


@pytest.fixture
def saved(tmp_path):
    model = tiny_model(parts=4)
    return model, save_model(model, tmp_path / "model.safetensors", epoch=3, dataset="walkers")


def rewrite(path, change):
    """Change the tensors of a checkpoint, keeping what its header says."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


def test_a_saved_network_returns_the_same_features(saved):
    model, path = saved
    loaded, extra = load_model(path)
    images, maps, cameras = tiny_clips(model)
    assert torch.equal(model.embed(images, maps, cameras), loaded.embed(images, maps, cameras))
    assert extra == {"epoch": 3, "dataset": "walkers"}
    assert loaded.config == model.config and not loaded.training
    assert loaded.pixel_mean == model.pixel_mean
    frozen = [name for name, p in loaded.named_parameters() if not p.requires_grad]
    assert frozen == [name for name, p in model.named_parameters() if not p.requires_grad]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_when_made_and_when_read(saved, value):
    model, path = saved
    name = sorted(model.state_dict())[0]

    def spoil(tensors):
        tensors[name].flatten()[0] = value

    before = path.read_bytes()
    rewrite(path, spoil)
    with pytest.raises(KeyReIDError, match="not finite in " + name):
        load_model(path)
    path.write_bytes(before)
    with torch.no_grad():
        model.state_dict()[name].flatten()[0] = value
    with pytest.raises(KeyReIDError, match="not finite in " + name):
        save_model(model, path)
    assert path.read_bytes() == before


def test_the_same_weights_are_the_same_bytes_whatever_is_kept_beside_them(saved, tmp_path):
    """Galleries and calibrations know a network by the digest of this file."""
    model, path = saved
    copies = [save_model(model, tmp_path / f"{i}.safetensors", epoch=i).read_bytes() for i in range(8)]
    assert set(copies) == {path.read_bytes()}
    loaded, _ = load_model(path)
    assert save_model(loaded, tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("backbone", ["eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_backbones_with_buffers_of_their_own_come_back_whole(tmp_path, backbone):
    model = tiny_model(backbone=backbone, **keeping(backbone))
    loaded, _ = load_model(save_model(model, tmp_path / "model.safetensors"))
    inputs = tiny_clips(model)
    assert torch.equal(model.embed(*inputs), loaded.embed(*inputs))


def test_nothing_half_written_is_left_behind(saved):
    _, path = saved
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_a_loaded_network_does_not_hold_its_file(saved):
    _, path = saved
    loaded, _ = load_model(path)
    before = loaded.backbone.camera.clone()
    path.write_bytes(b"")
    assert torch.equal(loaded.backbone.camera, before)


def test_start_weights_are_no_part_of_a_checkpoint(tmp_path):
    torch.save(tiny_model(seed=1).backbone.vit.state_dict(), tmp_path / "vit.pth")
    path = save_model(tiny_model(vit_path=tmp_path / "vit.pth"), tmp_path / "model.safetensors")
    (tmp_path / "vit.pth").unlink()
    model, _ = load_model(path, config=tiny_config(pretrained=True))
    assert model.config.vit_path is None


def test_missing_further_and_misshapen_entries_are_listed(saved):
    _, path = saved

    def change(tensors):
        del tensors["global_branch.norm.bias"]
        tensors["extra.weight"] = torch.zeros(2)
        tensors["backbone.camera"] = torch.zeros(7, 32)

    rewrite(path, change)
    with pytest.raises(KeyReIDError) as error:
        load_model(path)
    message = str(error.value)
    assert "global_branch.norm.bias is missing" in message
    assert "extra.weight is not part of the network" in message
    assert "backbone.camera is F32 [7, 32], expected F32 [3, 32]" in message


def test_another_config_is_refused_with_the_differences(saved):
    _, path = saved
    with pytest.raises(KeyReIDError) as error:
        load_model(path, config=tiny_config(parts=6, tcss="time"))
    assert "parts is 4, expected 6" in str(error.value) and "tcss" in str(error.value)


def test_weights_and_description_must_belong_together(saved):
    _, path = saved
    description = json.loads(path.with_suffix(".json").read_text())
    description["config"]["camera_scale"] = 1.0
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(KeyReIDError, match="camera_scale"):
        load_model(path)


@pytest.mark.parametrize("missing", [".json", ".safetensors"])
def test_a_missing_half_is_named(saved, missing):
    _, path = saved
    path.with_suffix(missing).unlink()
    with pytest.raises(KeyReIDError, match=f"model{missing}: no such file"):
        load_model(path)


@pytest.mark.parametrize("torn", [".json", ".safetensors"])
def test_a_torn_half_is_named(saved, torn):
    _, path = saved
    file = path.with_suffix(torn)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(KeyReIDError, match=f"model{torn}"):
        load_model(path)


def test_an_unknown_config_key_is_named(saved):
    _, path = saved
    description = json.loads(path.with_suffix(".json").read_text())
    description["config"]["colour"] = "red"
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(KeyReIDError, match="colour"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_persons": "x"}, "num_persons is 'x'"),
        ({"num_persons": 5.0}, "num_persons is 5.0"),
        ({"num_cameras": True}, "num_cameras is True"),
        ({"config": None}, "config"),
        ({"config": [1]}, "config"),
        ({"extra": [1]}, "extra: "),
        ({"extra": {"cameras": 5}}, "extra: cameras: "),
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_a_description_of_wrong_types_is_named(saved, change, words, header):
    _, path = saved
    if not header:
        save_file(load_file(path), path)
    description = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**description, **change}))
    with pytest.raises(KeyReIDError, match=words):
        load_model(path)


@pytest.mark.parametrize("header", ["[1]", "5", "null"])
def test_a_header_that_is_no_object_is_named(saved, header):
    _, path = saved
    save_file(load_file(path), path, metadata={"keyreid": header})
    with pytest.raises(KeyReIDError, match=r"model\.safetensors: .*its header is"):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(saved, value):
    _, path = saved
    rewrite(path, lambda tensors: tensors["global_neck.weight"][3].fill_(value))
    with pytest.raises(KeyReIDError, match=r"not finite in global_neck\.weight"):
        load_model(path)


def test_a_checkpoint_of_an_earlier_network_is_refused_with_what_to_do(saved):
    _, path = saved
    description = json.loads(path.with_suffix(".json").read_text())
    assert description["format"] == 2
    path.with_suffix(".json").write_text(json.dumps({**description, "format": 1}))
    with pytest.raises(KeyReIDError, match="trained by an earlier version of the network; train again"):
        load_model(path)


def test_a_later_format_is_refused(saved):
    _, path = saved
    description = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(KeyReIDError, match="99"):
        load_model(path)
