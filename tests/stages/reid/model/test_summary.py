"""Counted costs of the network."""

import pytest
import torch

from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.summary import model_costs
from tests.stages.reid.model.tiny import tiny_config, tiny_model


@pytest.mark.parametrize(
    "fields", [{}, {"part_specific": True, "part_depth": 1}, {"global_only": True}, {"local_only": True}]
)
def test_parameters_are_those_of_the_network(fields):
    costs = model_costs(tiny_config(**fields), 5, 3)
    expected = sum(p.numel() for p in tiny_model(**fields).parameters())
    assert sum(cost.parameters for cost in costs.values()) == expected


D, HEADS, PARTS, FRAMES, PATCHES = 768, 12, 6, 4, 128


def trunk_operations(rows: int) -> int:
    """Of 11 blocks of ViT-B/16 over so many rows a frame, and the embedding of all patches."""
    block = 2 * (rows * D * 3 * D + 2 * rows * rows * D + rows * D * D + 2 * rows * D * 4 * D)
    return FRAMES * (11 * block + 2 * PATCHES * D * 768)


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_vit_base_counts_agree_with_counting_by_hand(keep):
    costs = model_costs(ModelConfig(keep=keep), 625, 6)
    kept = round(keep * PATCHES)
    assert costs["trunk"].operations == trunk_operations(1 + kept)
    # a block over the rows of each part; its query, carried through the keys; logits and mixing over those
    # rows; values, projection and MLP of what the six parts read
    own = round(0.25 * FRAMES * kept)
    block = 12 * own * D**2 + 2 * own**2 * D
    local = PARTS * (block + 2 * D**2 + 2 * HEADS * own * D + (2 + 8) * D**2)
    assert costs["local branch"].operations == 2 * local
    # the class row of each frame, too, and the attention over frames
    row = 2 * D**2 + 2 * HEADS * (1 + kept) * D + (2 + 8) * D**2
    scores = D * 256 + 256 + PARTS + 1
    assert costs["global branch"].operations == 2 * FRAMES * (row + scores)
    assert costs["classifiers"].operations == 2 * 625 * (D + PARTS * D)
    assert costs["trunk"].parameters + costs["global branch"].parameters == pytest.approx(85.9e6, rel=0.01)
    assert costs["local branch"].parameters == pytest.approx(14.2e6, rel=0.01)


def test_vit_base_counts_of_the_released_arithmetic_agree_with_counting_by_hand():
    costs = model_costs(ModelConfig(guidance="published"), 625, 6)
    wide = FRAMES * D
    assert costs["trunk"].operations == trunk_operations(1 + PATCHES)
    # query, query through the keys, logits, mixing, values, projection and MLP of the rows that are read
    local = 2 * wide**2 + HEADS * (1 + PATCHES) * wide * (1 + PARTS) + PARTS * (2 + 8) * wide**2
    assert costs["local branch"].operations == 2 * local
    assert costs["classifiers"].operations == 2 * 625 * (D + PARTS * wide)
    assert costs["trunk"].parameters + costs["global branch"].parameters == pytest.approx(85.9e6, rel=0.01)
    assert costs["local branch"].parameters == pytest.approx(113.3e6, rel=0.001)


def test_a_longer_clip_makes_neither_a_larger_network_nor_a_longer_feature():
    config = ModelConfig(clip_length=8)
    costs = model_costs(config, 625, 6)
    assert sum(cost.parameters for cost in costs.values()) <= 110e6
    with torch.device("meta"):
        assert KeyReID(config, 625, 6).feature_width == 7 * 768 == 5376
