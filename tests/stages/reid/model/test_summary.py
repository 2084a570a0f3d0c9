"""Counted costs of the network."""

import pytest

from stages.reid.model import ModelConfig
from stages.reid.model.summary import model_costs
from tests.stages.reid.model.tiny import tiny_config, tiny_model


@pytest.mark.parametrize("fields", [{}, {"part_specific": True}, {"global_only": True}, {"local_only": True}])
def test_parameters_are_those_of_the_network(fields):
    costs = model_costs(tiny_config(**fields), 5, 3)
    expected = sum(p.numel() for p in tiny_model(**fields).parameters())
    assert sum(cost.parameters for cost in costs.values()) == expected


@pytest.mark.parametrize("guidance", ["prior", "published"])
def test_vit_base_counts_agree_with_counting_by_hand(guidance):
    costs = model_costs(ModelConfig(guidance=guidance), 625, 6)
    d, wide, n, heads, parts, frames = 768, 3072, 129, 12, 6, 4
    block = 2 * (n * d * 3 * d + 2 * n * n * d + n * d * d + 2 * n * d * 4 * d)
    assert costs["trunk"].operations == frames * (11 * block + 2 * 128 * d * 768)
    # query, query through the keys, logits, mixing, values, projection and MLP of the rows that are read
    local = 2 * wide**2 + heads * n * wide * (1 + parts) + parts * (2 + 8) * wide**2
    assert costs["local branch"].operations == 2 * local
    assert costs["classifiers"].operations == 2 * 625 * (d + parts * wide)
    assert costs["trunk"].parameters + costs["global branch"].parameters == pytest.approx(85.9e6, rel=0.01)
    assert costs["local branch"].parameters == pytest.approx(113.3e6, rel=0.001)
