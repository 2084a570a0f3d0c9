"""What heat does: with the prior it steers attention, with the released arithmetic it does not."""

import pytest
import torch

from stages.parts import PARTS
from stages.reid.data.part_maps import PartGroups
from stages.reid.model.backbone import pool_to_grid
from tests.stages.reid.model.tiny import relative, tiny_clips, tiny_model

SWAPPED = PartGroups.of(6).flip


@pytest.fixture
def tokens():
    return torch.randn(2, 4, 9, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def heat():
    return torch.rand(2, 4, 6, 8, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.25


def read(guidance, tokens, heat, **fields):
    branch = tiny_model(guidance=guidance, **fields).local_branch.eval()
    with torch.no_grad():
        if guidance == "published":
            return branch(tokens, heat, None)
        return branch(tokens[:, :, 1:], heat, None, 8, None)  # the class row is not read


def test_less_heat_on_some_patches_of_a_part_changes_its_feature_alone(tokens, heat):
    before, _ = read("prior", tokens, heat)
    scaled = heat.clone()
    scaled[:, :, 2] *= 0.3
    assert relative(read("prior", tokens, scaled)[0], before) < 1e-4  # all patches alike
    scaled[:, :, 2, :3] *= 0.3
    after, _ = read("prior", tokens, scaled)
    changed = [relative(after[:, k], before[:, k]) for k in range(6)]
    assert changed[2] > 0.01
    assert max(changed[:2] + changed[3:]) == 0


def test_heat_moved_to_other_patches_moves_the_attention_there(tokens):
    heat = torch.zeros(2, 4, 6, 8)
    heat[:, :, 0, 1] = heat[:, :, 1, 6] = 1.0  # part 0 on patch 1, part 1 on patch 6
    _, attention = read("prior", tokens, heat)
    assert (attention[:, 0].argmax(-1) == 1).all() and (attention[:, 1].argmax(-1) == 6).all()
    assert (attention[:, 0].sum((1, 2)) - attention[:, 0, :, 1].sum(1) < 1e-4).all()


def test_released_arithmetic_hardly_sees_the_size_of_a_weight(tokens, heat):
    factors = torch.rand(heat.shape[0], 1, *heat.shape[2:], generator=torch.Generator().manual_seed(4)) + 0.5
    published = relative(read("published", tokens, heat * factors)[0], read("published", tokens, heat)[0])
    prior = relative(read("prior", tokens, heat * factors)[0], read("prior", tokens, heat)[0])
    assert published < 1e-3 < 0.01 < prior


def test_released_arithmetic_sees_the_sign_of_a_weight(tokens, heat):
    assert relative(read("published", tokens, -heat)[0], read("published", tokens, heat)[0]) > 0.01


def test_released_weights_do_not_move_with_the_rows(tokens, heat):
    branch = tiny_model(guidance="published").local_branch
    rows, weights = branch.rows(tokens, heat)
    assert torch.equal(weights, heat.mean(dim=1))
    unmoved = tokens.reshape(2, 9, 4 * 32)
    assert torch.equal(rows[:, 0], unmoved[:, 0])
    # Rows from the fifth on, then the first four, dealt from two halves in turn.
    assert torch.equal(rows[:, 1:], unmoved[:, [5, 1, 6, 2, 7, 3, 8, 4]])


def test_switching_keypoints_off_makes_heat_irrelevant():
    model = tiny_model(kps=False).eval()
    images, maps, cameras = tiny_clips(model)
    assert torch.equal(model.heat(maps, images), torch.ones(3, 4, 6, 8))
    assert torch.equal(model.embed(images, maps, cameras), model.embed(images, maps.flip(-1), cameras))
    assert model(images, maps, cameras).kept is None


def test_without_keypoints_parts_read_every_frame():
    model = tiny_model(kps=False, part_depth=1).eval()
    images, maps, cameras = tiny_clips(model)
    out = model(images, maps, cameras)
    assert (out.part_attention.sum(dim=-1) > 0.01).all(), "no frame is left out"
    first, maps = images[:, :1], maps[:, :1]
    still = model.embed(first.expand_as(images), maps.expand(-1, 4, -1, -1, -1), cameras)
    assert relative(still, model.embed(first, maps, cameras)) < 1e-5


def test_flipping_frames_and_maps_swaps_left_and_right_part_inputs():
    names = list(PARTS[6])
    # Heat in steps of 1/256, so that means are exact in whatever order they are summed.
    maps = torch.randint(257, (2, 4, 6, 16, 8), generator=torch.Generator().manual_seed(6)) / 256
    grid = (4, 2)
    flipped = maps.flip(-1)[:, :, SWAPPED]
    mirror = torch.arange(8).view(grid).flip(-1).flatten()  # patch p lies where mirror[p] lay
    before, after = pool_to_grid(maps, grid), pool_to_grid(flipped, grid)
    for side, other in (("left arm", "right arm"), ("left leg", "right leg"), ("head", "head")):
        one, two = names.index(side), names.index(other)
        assert torch.equal(after[:, :, one], before[:, :, two][..., mirror])
        assert torch.equal(after[:, :, two], before[:, :, one][..., mirror])


def test_part_features_of_a_mirrored_clip_are_those_of_the_other_side(tokens, heat):
    mirror = torch.arange(8).view(4, 2).flip(-1).flatten()
    mirrored = torch.cat([tokens[:, :, :1], tokens[:, :, 1:][:, :, mirror]], dim=2)
    swapped = heat[..., mirror][:, :, SWAPPED]
    branch = tiny_model().local_branch.eval()
    with torch.no_grad():
        before, _ = branch(tokens[:, :, 1:], heat, None, 8, None)
        branch.query.copy_(branch.query[SWAPPED])
        after, _ = branch(mirrored[:, :, 1:], swapped, None, 8, None)
    assert relative(after, before[:, SWAPPED]) < 1e-5


def test_every_part_has_a_query_and_may_have_blocks_of_its_own(tokens):
    heat = torch.full((2, 4, 6, 8), 0.5)
    model = tiny_model().local_branch.eval()
    with torch.no_grad():
        assert relative(*model(tokens[:, :, 1:], heat, None, 8, None)[0][:, :2].unbind(1)) > 0.05
        model.query.copy_(model.query[:1].expand_as(model.query))
        same, _ = model(tokens[:, :, 1:], heat, None, 8, None)
        assert torch.equal(same[:, 0], same[:, 1])
        own = tiny_model(part_specific=True).local_branch.eval()
        own.query.copy_(own.query[:1].expand_as(own.query))
        assert relative(*own(tokens[:, :, 1:], heat, None, 8, None)[0][:, :2].unbind(1)) > 0.1
