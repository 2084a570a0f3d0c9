"""The whole network: shapes, switches, cameras, backbones and errors."""

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID
from stages.reid.model.keyreid import SEEN
from stages.reid.scoring.embed_set import block_lengths
from tests.stages.reid.model.tiny import CAMERAS, PERSONS, SIZES, tiny_clips, tiny_config, tiny_model, trained


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"clip_length": 1},
        {"clip_length": 5, "parts": 3},
        {"image_size": (48, 32)},
        {"parts": {"face": ["nose"], "feet": ["left_ankle", "right_ankle"]}},
        {"backbone": "vit_small_patch14_reg4_dinov2", "backbone_args": {**SIZES, "patch_size": 8}},
        {"backbone": "deit_tiny_distilled_patch16_224"},
        {"backbone": "deit3_small_patch16_224"},
        {"backbone": "eva02_tiny_patch14_224", "backbone_args": {**SIZES, "depth": 2}},
        {"backbone": "beit_base_patch16_224", "keep": 1.0},
        {"backbone": "vit_small_patch16_dinov3"},
        {"backbone": "vit_small_patch16_18x2_224", "guidance": "published"},
        {"backbone_args": {**SIZES, "qkv_bias": False, "init_values": 0.1}},
        {"guidance": "published", "parts": 3},
        {"part_width": 20, "part_depth": 1, "keep": 0.3},
    ],
    ids=lambda fields: "-".join(map(str, fields)) or "default",
)
def test_outputs_have_the_promised_shapes(fields):
    model = tiny_model(**fields)
    images, maps, cameras = tiny_clips(model)
    out = model(images, maps, cameras)
    frames, parts, patches = model.config.clip_length, model.num_parts, model.grid[0] * model.grid[1]
    published = model.config.guidance == "published"
    width = frames * 32 if published else model.config.part_width or 32
    rows = 1 if published else frames
    assert out.global_feature.shape == (3, 32)
    assert out.part_features.shape == (3, parts, width)
    assert out.global_logits.shape == (3, PERSONS)
    assert out.part_logits.shape == (3, parts, PERSONS)
    assert out.frame_scores.shape == out.frame_weights.shape == (3, frames)
    assert out.part_attention.shape == (3, parts, rows, patches)
    assert out.part_weights.shape == (3, frames, parts, patches)
    kept = model.config.kept_share
    assert out.kept is None if kept == 1 else out.kept.shape == (3, frames, max(1, round(kept * patches)))
    assert model.embed(images, maps, cameras).shape == (3, model.feature_width)
    assert model.block_widths == [32] + parts * [width] and model.feature_width == 32 + parts * width


def test_attentions_sum_to_one_over_the_kept_patches():
    model = tiny_model()
    out = model(*tiny_clips(model))
    assert torch.allclose(out.frame_weights.sum(1), torch.ones(3))
    assert torch.allclose(out.part_attention.sum((2, 3)), torch.ones(3, 6))
    seen = torch.zeros(3, 4, 8).scatter(2, out.kept, 1.0)[:, None].expand(-1, 6, -1, -1)
    assert ((out.part_attention > 0) == (seen > 0)).all()


@pytest.mark.parametrize(
    "fields",
    [{}, {"local_only": True}, {"local_only": True, "part_block": 1, "part_depth": 1}, {"global_only": True}],
)
def test_every_trained_weight_gets_a_gradient(fields):
    model = tiny_model(**fields)
    out = model(*tiny_clips(model))
    sum(t.square().sum() for t in trained(out)).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_positions_that_no_block_is_left_to_use_are_not_trained():
    model = tiny_model(backbone="vit_small_patch16_rope_mixed_224", local_only=True, part_block=0)
    out = model(*tiny_clips(model))
    sum(t.square().sum() for t in trained(out)).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_part_that_is_hardly_seen_weighs_less_in_an_embedding():
    model = tiny_model().eval()
    images, maps, cameras = tiny_clips(model)
    maps[:, :, 4], maps[:, :, 5] = 0, 0
    maps[:, :2, 5, 1] = SEEN  # in two of four frames
    lengths = block_lengths(model.embed(images, maps, cameras), model.block_widths)
    torch.testing.assert_close(lengths, torch.tensor([[1.0, 1, 1, 1, 1, 0, 0.5]] * 3))


def test_global_only_and_local_only_leave_the_other_branch_out():
    one, other = tiny_model(global_only=True), tiny_model(local_only=True)
    out = one(*tiny_clips(one))
    assert out.part_features is None and out.part_logits is None and one.feature_width == 32
    assert not any(name.startswith(("local", "part")) for name in one.state_dict())
    out = other(*tiny_clips(other))
    assert out.global_feature is None and out.frame_scores is None and other.feature_width == 6 * 32
    assert not any(name.startswith("global") for name in other.state_dict())


@pytest.mark.parametrize("fields", [{}, {"global_only": True}, {"local_only": True, "part_width": 5}])
def test_every_block_of_an_embedding_is_of_length_one(fields):
    """Of parts that are seen, which those of `tiny_clips` are."""
    model = tiny_model(**fields).eval()
    inputs = tiny_clips(model)
    blocks = model.embed(*inputs).split(model.block_widths, dim=1)
    for block in blocks:
        torch.testing.assert_close(block.norm(dim=1), torch.ones(3))
    if not fields:
        with torch.no_grad():
            expected = model.part_necks[2](model(*inputs).part_features[:, 2])
        torch.testing.assert_close(blocks[3], torch.nn.functional.normalize(expected))


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_network_embeds_clips_of_any_length(frames):
    model = tiny_model()
    longer = tiny_clips(tiny_model(clip_length=frames))
    assert model.embed(*longer).shape == (3, model.feature_width)
    out = model.eval()(*longer)
    assert out.frame_weights.shape == (3, frames) and out.part_attention.shape == (3, 6, frames, 8)


def test_a_clip_shown_twice_is_embedded_as_shown_once():
    model = tiny_model(tcss="off")
    images, maps, cameras = tiny_clips(model)
    with torch.no_grad():  # the agreement of a frame is with the others of its clip, more of them here
        model.global_branch.pool.evidence.weight[0, -1] = 0
    once, twice = (
        model.embed(images, maps, cameras),
        model.embed(images.tile(1, 2, 1, 1, 1), maps.tile(1, 2, 1, 1, 1), cameras),
    )
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-5)


def test_patches_given_are_kept_whatever_the_heat():
    model = tiny_model().eval()
    images, maps, cameras = tiny_clips(model)
    kept = torch.tensor([0, 3, 5]).expand(3, 4, 3)
    out = model(images, maps, cameras, kept=kept)
    assert torch.equal(out.kept, kept)
    assert (out.part_attention.sum((1, 2)) > 0).nonzero()[:, 1].unique().tolist() == [0, 3, 5]
    chosen = model(images, maps, cameras)
    assert torch.equal(
        model.embed(images, maps, cameras, kept=chosen.kept), model.embed(images, maps, cameras)
    )


def test_the_trunk_does_not_see_patches_that_are_not_kept():
    model = tiny_model(part_block=1, local_only=False).eval()
    images, _, cameras = tiny_clips(model)
    maps = torch.zeros(3, 4, 6, 4, 2)
    maps[..., :2, :] = 1.0  # the upper half
    other = images.clone()
    other[..., 16:, :] = torch.randn(3, 4, 3, 16, 16)
    assert torch.equal(model.embed(images, maps, cameras), model.embed(other, maps, cameras))
    every = tiny_model(part_block=1, keep=1.0)
    before, after = (every.embed(x, maps, cameras) for x in (images, other))
    assert (after - before).norm() > 0.05 * before.norm()


def test_released_part_features_are_divided_by_the_number_of_parts():
    model = tiny_model(guidance="published").eval()
    images, maps, cameras = tiny_clips(model)
    with torch.no_grad():
        out = model(images, maps, cameras)
        expected = model.part_necks[2](out.part_features[:, 2]) / 6
    assert torch.allclose(model.embed(images, maps, cameras)[:, 32 + 2 * 128 : 32 + 3 * 128], expected)


def test_embed_leaves_training_as_it_was():
    model = tiny_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    features = model.embed(*tiny_clips(model))
    assert model.training and not features.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_clip_is_embedded_alike_in_any_batch():
    model = tiny_model()
    images, maps, cameras = tiny_clips(model)
    together = model.embed(images, maps, cameras)
    alone = torch.cat([model.embed(images[i : i + 1], maps[i : i + 1], cameras[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_an_unknown_camera_is_the_mean_of_all_cameras():
    model = tiny_model()
    rows = model.backbone.camera_rows(torch.tensor([-1, 2]), 2)
    assert torch.allclose(rows[0], model.backbone.camera.mean(0))
    assert torch.equal(rows[1], model.backbone.camera[2])
    images, maps, _ = tiny_clips(model)
    unknown = model.embed(images, maps, torch.full((3,), -1))
    assert torch.allclose(model.embed(images, maps, None), unknown)
    assert not torch.allclose(model.embed(images, maps, torch.zeros(3, dtype=torch.long)), unknown)


def test_a_network_without_cameras_ignores_them():
    torch.manual_seed(0)
    model = KeyReID(tiny_config(), PERSONS, 0)
    images, maps, cameras = tiny_clips(model)
    assert torch.equal(model.embed(images, maps, cameras), model.embed(images, maps, None))


def test_the_camera_embedding_is_scaled():
    model = tiny_model().eval()
    images, maps, _ = tiny_clips(model)
    camera = torch.zeros(3, dtype=torch.long)
    before = model.embed(images, maps, camera)
    with torch.no_grad():
        model.backbone.camera.mul_(3)
    model.backbone.camera_scale = 1.0
    assert torch.allclose(model.embed(images, maps, camera), before, atol=1e-5)


def test_part_maps_of_any_multiple_of_the_grid_are_pooled():
    model = tiny_model()
    images, maps, cameras = tiny_clips(model)
    fine = maps.repeat_interleave(4, dim=-2).repeat_interleave(8, dim=-1)
    assert torch.allclose(model.embed(images, fine, cameras), model.embed(images, maps, cameras), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, m, c: (x[:, :0], m[:, :0], c), r"\[3, 0, 3, 32, 16\]: expected \[B, T, 3, 32, 16\]"),
        (lambda x, m, c: (x[:, 0], m, c), r"\[3, 3, 32, 16\]: expected \[B, T, 3, 32, 16\]"),
        (lambda x, m, c: (x, m[:, :3], c), r"part maps \[3, 3, 6, 4, 2\]: expected \[3, 4, 6, h, w\]"),
        (lambda x, m, c: (x[..., :8], m, c), "images"),
        (lambda x, m, c: (x, m[:, :, :5], c), "part maps"),
        (lambda x, m, c: (x, m[:2], c), "part maps"),
        (lambda x, m, c: (x, m[..., :3, :], c), "multiple of the patch grid 4x2"),
        (lambda x, m, c: (x, m, c + CAMERAS), "camera"),
        (lambda x, m, c: (x, m, c[:2]), r"cameras int64 \[2\]: expected int64 \[3\]"),
        (lambda x, m, c: (x, m, c[:1]), r"cameras int64 \[1\]: expected int64 \[3\]"),
        (lambda x, m, c: (x, m, torch.tensor(1)), r"cameras int64 \[\]"),
        (lambda x, m, c: (x, m, c.float()), r"cameras float32 \[3\]"),
    ],
)
def test_inputs_that_do_not_belong_to_the_config_are_named(change, words):
    model = tiny_model()
    with pytest.raises(KeyReIDError, match=words):
        model.embed(*change(*tiny_clips(model)))


def test_the_released_arithmetic_takes_clips_of_its_own_length_alone():
    model = tiny_model(guidance="published")
    images, maps, cameras = tiny_clips(model)
    with pytest.raises(KeyReIDError, match=r"\[3, 3, 3, 32, 16\]: expected \[B, 4, 3, 32, 16\]"):
        model.embed(images[:, :3], maps[:, :3], cameras)


def test_a_training_step_is_one_graph_to_the_compiler():
    model = tiny_model(drop_path=0.5).train()
    inputs = (*tiny_clips(model), torch.arange(3))
    model.compile(backend="eager", fullgraph=True)
    model(*inputs)


def test_training_on_one_clip_is_refused():
    model = tiny_model().train()
    with pytest.raises(KeyReIDError, match="2 clips"):
        model(*tiny_clips(model, batch=1))


def test_bfloat16_autocast_trains_and_returns_float32():
    model = tiny_model()
    inputs = tiny_clips(model)
    exact = model(*inputs, keys=torch.arange(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(*inputs, keys=torch.arange(3))
    assert all(t.dtype == torch.float32 for t in out if t is not out.kept)
    sum(t.square().mean() for t in trained(out)).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert (out.part_features - exact.part_features).norm() < 0.05 * exact.part_features.norm()
