"""The shortened arithmetic equals the plain formulation, forward and backward."""

import pytest
import torch

from tests.stages.reid.model.plain import plain
from tests.stages.reid.model.tiny import SIZES, relative, tiny_clips, tiny_model, trained

CASES = [
    {},
    {"tcss": "sequence"},
    {"tcss": "off", "clip_length": 3},
    {"keep": 1.0, "part_block": 1},
    {"part_width": 24, "frame_prior": True},
    {"part_specific": True},
    {"part_depth": 2, "part_share": 0.5},
    {"part_depth": 1, "part_specific": True, "keep": 1.0},
    {"parts": 4, "kps": False},
    {"local_only": True},
    {"global_only": True},
    {"guidance": "published"},
    {"guidance": "published", "part_specific": True, "tcss": "off"},
]
KEYS = torch.tensor([11, 12, 13])


def run(network, inputs, training):
    """Outputs and gradients of a fixed random projection of them."""
    network.train(training)
    network.zero_grad()
    out = network(*inputs, keys=KEYS)
    tensors = trained(out)
    draw = torch.Generator().manual_seed(3)
    sum((t * torch.randn(t.shape, generator=draw)).sum() for t in tensors).backward()
    return tensors


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("zeros", [False, True], ids=["heat", "zero-heat"])
@pytest.mark.parametrize("fields", CASES, ids=lambda fields: "-".join(map(str, fields.values())) or "default")
def test_outputs_and_gradients_equal_the_plain_formulation(fields, zeros, training):
    model = tiny_model(drop_path=0.5, **fields)
    images, maps, cameras = tiny_clips(model)
    if zeros:
        maps = torch.where(torch.rand(maps.shape, generator=torch.Generator().manual_seed(5)) < 0.6, 0, maps)
        maps[:, :, 1] = 0  # a part without any heat
    found = run(model, (images, maps, cameras), training)
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    expected = run(plain(model), (images, maps, cameras), training)
    assert all(relative(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert relative(gradients[name], parameter.grad) < 1e-4, name


@pytest.mark.parametrize("guidance", ["prior", "published"])
def test_gradients_reach_the_tokens_as_in_the_plain_formulation(guidance):
    # In float64: LN(w x) hardly depends on w, so in float32 the plain gradient of w is rounding noise.
    model = tiny_model(guidance=guidance).double()
    found, expected = [], []
    for network, gradients in ((model, found), (plain(model), expected)):
        draw = torch.Generator().manual_seed(7)
        rows = 9 if guidance == "published" else 8  # with the class token, or patches alone
        tokens = torch.randn(2, 4, rows, 32, generator=draw, dtype=torch.float64).requires_grad_()
        heat = torch.rand(2, 4, 6, 8, generator=draw, dtype=torch.float64).requires_grad_()
        features, _ = network.local_branch(tokens, heat, KEYS[:2], *([8, None] if rows == 8 else []))
        (features * torch.randn(features.shape, generator=draw, dtype=torch.float64)).sum().backward()
        gradients += [tokens.grad, heat.grad]
    assert all(relative(a, b) < 1e-9 for a, b in zip(found, expected, strict=True))


def test_a_block_of_another_kind_still_gives_its_class_row():
    model = tiny_model(global_only=True, backbone_args={**SIZES, "qk_norm": True}).eval()
    images, maps, cameras = tiny_clips(model)
    expected = plain(model)(images, maps, cameras).global_feature
    assert relative(model(images, maps, cameras).global_feature, expected) < 1e-6
