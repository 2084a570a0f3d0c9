"""Weights files of others: any wrapping is opened, and what no network can use is refused by name."""

import argparse

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.model import load_published
from stages.reid.model.vit_weights import grouped, load_vit
from stages.weights_file import PREFIXES, VIT_PREFIXES, read_tensors, unwrapped
from tests.stages.reid.model.test_published import hollow_state
from tests.stages.reid.model.test_vit_weights import vit


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


WRAPPINGS = {
    "model": lambda s: {"model": s},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_ema": lambda s: {"model_ema": s, "model": prefixed(s, "other.")},
    "state_dict_ema": lambda s: {"state_dict_ema": s, "state_dict": prefixed(s, "other.")},
    "DataParallel": lambda s: prefixed(s, "module."),
    "DataParallel in model": lambda s: {"model": prefixed(s, "module."), "epoch": 3},
    "DataParallel in state_dict": lambda s: {"state_dict": prefixed(s, "module.")},
    "teacher": lambda s: {
        "student": prefixed(s, "module.backbone."),
        "teacher": prefixed(s, "backbone.") | {"head.mlp.0.weight": torch.zeros(4, 4)},
    },
    "backbone": lambda s: prefixed(s, "backbone."),
    "encoder": lambda s: prefixed(s, "encoder."),
    "TransReID": lambda s: prefixed(s, "base.") | {"classifier.weight": torch.zeros(3, 32)},
    "TransReID in DataParallel": lambda s: prefixed(s, "module.base."),
    "module and backbone": lambda s: {"state_dict": prefixed(s, "module.backbone.")},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_any_usual_wrapping_is_opened(tmp_path, wrap):
    original = vit((32, 32)).state_dict()
    torch.save(wrap(original), tmp_path / "wrapped.pth")
    network = vit()
    report = load_vit(network, tmp_path / "wrapped.pth")
    assert report.missing == [] and report.wrapping in str(report) and report.wrapping
    assert torch.equal(network.blocks[1].attn.qkv.weight, original["blocks.1.attn.qkv.weight"])


def test_what_was_opened_and_stripped_is_said():
    state = {"teacher": {"backbone.a": 1, "backbone.b.c": 2, "head": 3}, "epoch": 4}
    assert unwrapped(state, "x", VIT_PREFIXES) == (
        {"a": 1, "b.c": 2, "head": 3},
        "entries of 'teacher', without 'backbone.'",
    )
    assert unwrapped({"a": 1, "encoder.b": 2}, "x", VIT_PREFIXES) == ({"a": 1, "encoder.b": 2}, "")
    assert unwrapped(state["teacher"], "x", PREFIXES) == (state["teacher"], "")  # a pose network's own name


def test_a_vit_within_a_larger_network_is_found_though_it_is_the_smaller_part():
    state = {"image_encoder.cls_token": 1, "image_encoder.a": 2} | {f"text_encoder.{i}": i for i in range(9)}
    found, where = unwrapped(state, "x", VIT_PREFIXES)
    assert found["cls_token"] == 1 and found["text_encoder.0"] == 0 and where == "without 'image_encoder.'"


def namespace():
    return argparse.Namespace(lr=0.1, arch="vit_small", seeds=[1, 2])


@pytest.mark.parametrize("container", ["model", "teacher"])
def test_arguments_beside_the_tensors_are_no_obstacle(tmp_path, container):
    torch.save({container: {"a": torch.ones(2)}, "args": namespace()}, tmp_path / "dino.pth")
    assert torch.equal(read_tensors(tmp_path / "dino.pth")[container]["a"], torch.ones(2))


class History:
    """Stands for what mmengine keeps of its losses."""


def test_other_objects_are_named_with_a_way_out(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}, "message_hub": History()}, tmp_path / "epoch_210.pth")
    with pytest.raises(KeyReIDError, match=r"holds [\w.]*History beside .*weights_only=False") as error:
        read_tensors(tmp_path / "epoch_210.pth")
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_another_format_is_said_to_be_one(tmp_path):
    (tmp_path / "page.pth").write_bytes(b"garbage, or a page of a server")
    with pytest.raises(KeyReIDError, match=r"page\.pth: .*\(damaged, or of another format\)$"):
        read_tensors(tmp_path / "page.pth")


def test_wrappings_that_cannot_be_taken_off_are_named(tmp_path):
    endless = {"epoch": 1}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    with pytest.raises(KeyReIDError, match="its entry 'model' holds itself"):
        unwrapped(read_tensors(tmp_path / "endless.pth"), "x")
    with pytest.raises(KeyReIDError, match=r"with and without 'backbone\.' of the same name"):
        unwrapped({"backbone.a": 1, "backbone.b": 2, "a": 3}, "x", VIT_PREFIXES)


def test_what_was_loaded_is_listed_in_short(tmp_path):
    torch.save(vit((32, 32)).state_dict(), tmp_path / "square.pth")
    report = load_vit(vit(), tmp_path / "square.pth")
    assert "30 entries loaded: blocks.0-1 (24), cls_token, norm (2), patch_embed (2), pos_embed" in str(
        report
    )
    assert "1 resampled: pos_embed 4x4 -> 4x2" in str(report)
    assert grouped(["blocks.0.a", "blocks.2.a", "blocks.3.a", "x"]) == "blocks.0,2-3 (3), x"


UNUSABLE = {
    "a name that is not a string": ({1: torch.zeros(3)}, "entry 1 is named by a int"),
    "a number for a tensor": ({"cls_token": 3}, "cls_token is a int, expected a tensor"),
    "nothing for a tensor": ({"pos_embed": None}, "pos_embed is a NoneType"),
    "integers": (
        {"cls_token": torch.zeros(1, 1, 32, dtype=torch.int8)},
        "cls_token is int8, expected float32",
    ),
    "complex numbers": (
        {"cls_token": torch.zeros(1, 1, 32, dtype=torch.complex64)},
        "cls_token is complex64",
    ),
    "complex positions": ({"pos_embed": torch.zeros(1, 17, 32, dtype=torch.complex64)}, r"odd\.pth"),
    "a sparse tensor": ({"cls_token": torch.zeros(1, 1, 32).to_sparse()}, "cls_token is sparse"),
    "sparse positions": ({"pos_embed": torch.zeros(1, 17, 32).to_sparse()}, r"odd\.pth"),
    "NaN": ({"norm.bias": torch.full((32,), float("nan"))}, "norm.bias has values that are not finite"),
    "infinity": ({"norm.bias": torch.full((32,), float("inf")).half()}, "norm.bias has values that are not"),
    "NaN in positions": ({"pos_embed": torch.full((1, 17, 32), float("nan"))}, "pos_embed has values"),
}


@pytest.mark.parametrize(("change", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_values_that_no_network_can_use_are_named(tmp_path, change, words):
    torch.save({**vit((32, 32)).state_dict(), **change}, tmp_path / "odd.pth")
    with pytest.raises(KeyReIDError, match=words) as error:
        load_vit(vit(), tmp_path / "odd.pth")
    assert "odd.pth" in str(error.value) and "\n" not in str(error.value)


def test_half_precision_and_further_values_are_no_fault(tmp_path):
    state = {name: value.half() for name, value in vit((32, 32)).state_dict().items()}
    torch.save({**state, "epoch": 3, "mask": torch.tensor(float("-inf"))}, tmp_path / "half.pth")
    report = load_vit(vit(), tmp_path / "half.pth")
    assert report.missing == [] and set(report.unused) == {"epoch (no tensor)", "mask"}


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_pickle_is_named_whichever_byte_it_is(tmp_path, step):
    torch.save(vit().state_dict(), tmp_path / "good.pth")
    good, path = (tmp_path / "good.pth").read_bytes(), tmp_path / "bad.pth"
    start, refused = good.find(b"data.pkl") + 64, 0
    for place in range(start, start + 600, step):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x15]) + good[place + 1 :])
        try:
            read_tensors(path)
        except KeyReIDError as error:
            refused += str(path) in str(error)
    assert refused > 300 // step


TOKENS = {
    "plain into distilled": ({}, {"name": "deit_tiny_distilled_patch16_224"}, "1 class and 0 .* 2 and 0"),
    "distilled into plain": ({"name": "deit_tiny_distilled_patch16_224"}, {}, "2 class and 0 .* 1 and 0"),
    "plain into registers": ({}, {"reg_tokens": 4, "no_embed_class": True}, "1 class and 0 .* 1 and 4"),
    "registers into plain": ({"reg_tokens": 4}, {}, "1 class and 4 register .* 1 and 0"),
}


@pytest.mark.parametrize(("theirs", "ours", "words"), TOKENS.values(), ids=TOKENS.keys())
def test_other_class_and_register_tokens_are_counted(tmp_path, theirs, ours, words):
    torch.save(vit((32, 32), **theirs).state_dict(), tmp_path / "tokens.pth")
    with pytest.raises(KeyReIDError, match=words):
        load_vit(vit(**ours), tmp_path / "tokens.pth")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({1: torch.zeros(2)}, "entry 1 is named by a int"),
        ({"base.cls_token": 3}, "base.cls_token' is a int"),
        ({"state_dict": {"module.base.Cam": torch.zeros(2, 1, 768)}}, "network: base.cls_token is missing"),
    ],
)
def test_a_released_file_is_checked_alike(tmp_path, state, words):
    torch.save(state, tmp_path / "released.pth")
    with pytest.raises(KeyReIDError, match=words) as error:
        load_published(tmp_path / "released.pth")
    assert "released.pth" in str(error.value) and "base.Cam" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.full((1, 1, 768), float("nan")), "base.cls_token has values that are not finite"),
        (torch.zeros(1, 1, 768, dtype=torch.int64), "base.cls_token is int64, expected float32"),
        (torch.zeros(1, 1, 768).to_sparse(), "base.cls_token is sparse"),
    ],
)
def test_released_values_that_no_network_can_use_are_named(value, words):
    with pytest.raises(KeyReIDError, match=words):
        load_published({**hollow_state(persons=2, cameras=2), "base.cls_token": value})
