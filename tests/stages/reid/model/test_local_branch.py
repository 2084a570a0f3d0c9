"""What a part reads: the patches with its heat, in all frames, and nothing else."""

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.model import KeyReID
from stages.reid.model.backbone import build_vit
from tests.stages.reid.model.tiny import relative, tiny_clips, tiny_config, tiny_model

FRAMES, PATCHES, WIDTH = 4, 8, 32


@pytest.fixture
def tokens():
    return torch.randn(2, FRAMES, PATCHES, WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def heat():
    """Part k on patch k and, less, on the one after it; part 5 nowhere."""
    heat = torch.zeros(2, FRAMES, 6, PATCHES)
    for k in range(5):
        heat[:, :, k, k], heat[:, :, k, k + 1] = 0.9, 0.3
    return heat


FORMS = {
    "rows": {},
    "own-blocks": {"part_depth": 2, "part_share": 0.25},
    "part-specific": {"part_specific": True, "part_depth": 1, "part_share": 0.5},
    "narrow": {"part_width": 5},
}


def read(tokens, heat, **fields):
    with torch.no_grad():
        return tiny_model(**fields).local_branch.eval()(tokens, heat, None, PATCHES, None)


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)
def test_attention_sums_to_one_over_all_patches_of_all_frames(tokens, heat, fields):
    features, attention = read(tokens, heat, **fields)
    assert features.shape == (2, 6, fields.get("part_width", WIDTH))
    assert attention.shape == (2, 6, FRAMES, PATCHES)
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(2, 6))


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)
def test_a_part_does_not_change_with_tokens_that_hold_none_of_its_heat(tokens, heat, fields):
    cold = heat.amax(dim=2) == 0
    cold |= (heat[:, :, 2:5].amax(dim=2) > 0) & (heat[:, :, :2].amax(dim=2) == 0)  # others' patches alone
    assert cold.any()
    other = torch.where(cold[..., None], torch.randn(tokens.shape), tokens)
    before, after = (read(x, heat, **fields)[0] for x in (tokens, other))
    for k in range(2):
        assert relative(after[:, k], before[:, k]) < 1e-3
        assert relative(after[:, 3], before[:, 3]) > 0.05


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)
def test_a_frame_in_which_a_part_is_hidden_drops_out(tokens, heat, fields):
    heat[:, 2, 0] = 0
    other = tokens.clone()
    other[:, 2] = torch.randn(2, PATCHES, WIDTH)
    (before, attention), (after, _) = (read(x, heat, **fields) for x in (tokens, other))
    assert (attention[:, 0, 2].sum(1) < 1e-4).all() and (attention[:, 1, 2].sum(1) > 1e-2).all()
    assert relative(after[:, 0], before[:, 0]) < 1e-3 < 0.05 < relative(after[:, 1], before[:, 1])


def test_a_part_without_any_heat_is_finite_and_reads_all_alike(tokens, heat):
    features, attention = read(tokens, heat)
    assert features.isfinite().all()
    ones = heat.clone()
    ones[:, :, 5] = 1.0
    even = read(tokens, ones)[1]
    torch.testing.assert_close(attention[:, 5], even[:, 5], rtol=1e-4, atol=1e-6)


def test_the_order_of_frames_does_not_matter(tokens, heat):
    heat[:, 1] = heat[:, 1].flip(-1)
    order = torch.tensor([2, 0, 3, 1])
    (before, attention), (after, moved) = read(tokens, heat), read(tokens[:, order], heat[:, order])
    assert relative(after, before) < 1e-5
    torch.testing.assert_close(moved, attention[:, :, order])


def test_parts_may_follow_the_weights_of_frames(tokens, heat):
    bias = torch.tensor([[0.0, -20.0, 0.0, 0.0]]).expand(2, -1)
    with torch.no_grad():
        _, attention = tiny_model().local_branch.eval()(tokens, heat, None, PATCHES, None, bias)
    assert (attention[:, :5, 1].sum(2) < 1e-6).all() and (attention[:, :5, 0].sum(2) > 1e-2).all()
    model = tiny_model(frame_prior=True).eval()
    images, maps, cameras = tiny_clips(model)
    before = model(images, maps, cameras)
    with torch.no_grad():
        model.global_branch.pool.score.weight.mul_(3)
    after = model(images, maps, cameras)
    assert relative(after.frame_weights, before.frame_weights) > 0.05
    assert relative(after.part_features, before.part_features) > 1e-3


def test_blocks_of_parts_start_as_the_blocks_of_the_trunk_that_follow():
    args = {"patch_size": 8, "depth": 4, "embed_dim": 32, "num_heads": 2}
    for fields in ({}, {"local_only": True}):
        config = tiny_config(backbone_args=args, part_block=1, part_depth=2, part_specific=True, **fields)
        torch.manual_seed(3)
        vit, _ = build_vit(config)
        torch.manual_seed(3)
        model = KeyReID(config, 5, 3)
        for blocks in model.local_branch.blocks:
            for number in range(2):
                source = vit.blocks[1 + number].state_dict()
                assert all(torch.equal(v, source[k]) for k, v in blocks[number].state_dict().items())


def test_own_rows_are_those_with_the_most_heat_ascending(heat):
    branch = tiny_model(part_depth=1, part_share=2 / PATCHES).local_branch
    rows = heat.transpose(1, 2).flatten(2)  # [B, K, T*n]
    chosen = branch.most_heat(rows)
    for k in range(5):
        expected = [PATCHES * t + p for t in range(FRAMES) for p in (k, k + 1)]
        assert chosen[:, k].tolist() == [expected] * 2
    assert chosen.shape == (2, 6, 2 * FRAMES)


def test_with_parts_read_before_the_blocks_a_part_does_not_see_other_pixels():
    model = tiny_model(keep=1.0, frame_prior=False).eval()
    images, _, cameras = tiny_clips(model)
    maps = torch.zeros(3, 4, 6, 4, 2)
    maps[:, :, 0, 0], maps[:, :, 1, 3] = 1.0, 1.0  # the top and the bottom row of patches
    other = images.clone()
    other[..., 24:, :] = torch.randn(3, 4, 3, 8, 16)  # pixels of the bottom row
    with torch.no_grad():
        before, after = (model(x, maps, cameras) for x in (images, other))
    assert relative(after.part_features[:, 0], before.part_features[:, 0]) < 1e-3
    assert relative(after.part_features[:, 1], before.part_features[:, 1]) > 0.05
    later = tiny_model(keep=1.0, part_block=1, frame_prior=False).eval()
    with torch.no_grad():
        mixed = [later(x, maps, cameras).part_features[:, 0] for x in (images, other)]
    assert relative(*mixed) > 1e-3


def test_parts_may_be_read_after_all_blocks_of_the_trunk_and_no_later():
    model = tiny_model(part_block=1)
    assert model.part_level == len(model.backbone.vit.blocks) == 1
    with pytest.raises(KeyReIDError, match=r"model.part_block = 2: .* has 1 blocks before its last"):
        tiny_model(part_block=2)
