"""Precision: what auto chooses, what is converted, what results lose by it, where it is written down."""

import numpy as np
import pytest
import torch

from cache.errors import KeyReIDError
from cache.manifest import MANIFEST, PLAN, load_manifest
from stages import precision
from stages.pose.config import PoseConfig, load_spec
from stages.pose.estimator import HRNetEstimator
from stages.pose.extract import run as extract
from stages.pose.plan import precision_of
from stages.pose.plan import settings as settings_of
from tests.stages.pose import tiny
from tests.stages.reid.model.tiny import tiny_clips, tiny_model


@pytest.mark.parametrize(
    ("amx", "gain", "expected"), [(True, 4.0, "bf16"), (True, 0.5, "fp32"), (False, 4.0, "fp32")]
)
def test_auto_on_a_cpu_is_bf16_where_amx_is_and_works(monkeypatch, amx, gain, expected):
    monkeypatch.setattr(precision, "has_amx", lambda: amx)
    monkeypatch.setattr(precision, "measured_gain", lambda: gain)
    assert precision.choose("auto", "cpu") == expected
    assert precision.choose("fp32", "cpu") == "fp32" and precision.choose("bf16", "cpu") == "bf16"


def test_a_measurement_takes_half_a_second_and_gives_a_ratio(monkeypatch):
    monkeypatch.setattr(precision, "SECONDS", 0.05)
    assert 0.05 < precision.measured_gain.__wrapped__() < 50


VARIANTS = (
    {},
    {"guidance": "published"},
    {"part_specific": True, "part_depth": 1},
    {"tcss": "sequence", "part_width": 8},
    {"global_only": True},
    {"local_only": True, "keep": 1.0},
    {
        "backbone": "vit_small_patch16_rope_224",
        "backbone_args": {"patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2},
    },
)


@pytest.mark.parametrize("fields", VARIANTS, ids=str)
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_converted_network_embeds_as_the_network_does(fields, name):
    model = tiny_model(**fields).eval()
    half = precision.converted(model, name)
    clips = tiny_clips(model)
    exact, found = model.embed(*clips), half.embed(*clips)
    assert precision.name_of(model) == "fp32" and precision.name_of(half) == name
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(exact, found).min() > 0.995


def test_a_network_in_fp32_is_the_network_itself():
    model = tiny_model()
    assert precision.converted(model, "fp32") is model


def test_necks_and_the_released_arithmetic_keep_float32():
    half = precision.converted(tiny_model(guidance="published"), "bf16")
    kept = (half.global_neck, half.part_necks, half.local_branch)
    assert {p.dtype for part in kept for p in part.parameters()} == {torch.float32}


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return tiny.write_estimator(tmp_path_factory.mktemp("pose"))


def test_heat_of_a_pose_network_in_bf16_is_near_and_its_last_layer_is_float32(estimator):
    spec, weights = load_spec(str(estimator)), estimator.with_suffix(".safetensors")
    images = np.random.default_rng(0).integers(0, 255, (16, 128, 64, 3), np.uint8)
    exact, half = (HRNetEstimator(spec, weights, precision=name) for name in ("fp32", "bf16"))
    assert half.network.head.final_layer.weight.dtype == torch.float32
    assert half.network.backbone.conv1.weight.dtype == torch.bfloat16
    one, two = exact.forward(exact.prepare(images)), half.forward(half.prepare(images))
    assert two.dtype == torch.float32 and (one - two).abs().median() < 2 / 255


def test_heat_that_overflows_fp16_is_refused_by_name(tmp_path):
    from safetensors.torch import load_file, save_file

    estimator = tiny.write_estimator(tmp_path / "pose")
    weights = estimator.with_suffix(".safetensors")
    state = load_file(weights)
    save_file({k: v * (1e5 if k == "backbone.conv1.weight" else 1) for k, v in state.items()}, weights)
    dataset = tiny.write_frames(tmp_path / "data", tracklets=1)
    with pytest.raises(
        KeyReIDError, match=r"000F000\.jpg: the heat of tiny is not finite.*pose\.precision=fp32"
    ):
        extract(dataset, tiny.config(estimator, precision="fp16"), tmp_path / "poses")


def test_a_cache_says_its_precision_and_keeps_it(estimator, tmp_path):
    dataset = tiny.write_frames(tmp_path / "data", tracklets=1)
    folder = extract(dataset, tiny.config(estimator, precision="bf16"), tmp_path / "poses")
    before = load_manifest(folder / MANIFEST)
    assert precision_of(before.parts["settings"]) == "bf16"
    extract(dataset, tiny.config(estimator, precision="auto"), folder)
    assert load_manifest(folder / MANIFEST) == before
    with pytest.raises(KeyReIDError, match=r'settings\.precision: "bf16" -> "fp32"'):
        extract(dataset, tiny.config(estimator, precision="fp32"), folder)
    assert (folder / PLAN).is_file()


def test_caches_made_before_there_was_a_precision_go_on(estimator):
    spec = load_spec(str(estimator))
    for half, device, wanted, expected in (
        (False, "cpu", "auto", {"half": False}),
        (False, "cpu", "fp32", {"half": False}),
        (True, "cuda", "fp16", {"half": True}),
        (True, "cpu", "fp32", {"precision": "fp32"}),
    ):
        found = settings_of(PoseConfig(precision=wanted), spec, device, {"half": half})
        assert {k: v for k, v in found.items() if k in ("half", "precision")} == expected
    assert PoseConfig(half=None) == PoseConfig() and PoseConfig(half=False).precision == "fp32"
    with pytest.raises(ValueError, match="half is now precision"):
        PoseConfig(half=True)
