"""How long ways take is learned where people keep to it, and nothing is where they do not."""

from dataclasses import replace

import numpy as np
import pytest

from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search import neighbours, similarity
from stages.reid.search.agglomerate import agglomerate
from stages.reid.search.agreement import agreement
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.learned_ways import learn_ways, on_ways
from stages.reid.search.similarity import compare
from tests.stages.reid.own import made_gallery

PERSONS, CONFIG = 60, LinkConfig(neighbours=4, shared=1)


def gallery(seed: int = 0, together: bool = True) -> Embeddings:
    """Persons hard to tell by their looks, each before two cameras, and together: 25 to 35 s apart."""
    rng = np.random.default_rng(seed)
    made = made_gallery(4 * PERSONS, seed=seed).taken(np.flatnonzero(np.arange(4 * PERSONS) % 4 < 2))
    looks = made.features + 0.9 * rng.normal(size=made.features.shape).astype(np.float32)
    came = rng.uniform(0, 3600, PERSONS)
    order = rng.permuted(np.tile([0, 1], (PERSONS, 1)), axis=1)  # which camera is first
    start = came[:, None] + order * rng.uniform(28, 38, (PERSONS, 1))
    if not together:
        start = rng.uniform(0, 3600, start.shape)
    return replace(
        made, features=looks, start=start.ravel(), end=start.ravel() + 3, zone=np.zeros(2 * PERSONS)
    )


def test_the_window_is_that_in_which_people_came():
    made = gallery()
    apart = Apart.of(made)
    (way,) = compare(made, CONFIG, apart).ways
    assert way.cameras == (0, 1) and 20 <= way.least <= 30 and 32 <= way.greatest <= 42 and way.sure > 6
    there = on_ways(apart, (way,))
    assert there.least[0, 1] == there.least[1, 0] == way.least and there.greatest[1, 0] == way.greatest
    assert not there.late(np.arange(20)) and not np.isfinite(apart.greatest).any()


def test_who_is_on_the_way_is_linked_better():
    made = gallery()
    scores = []
    for config in (CONFIG, CONFIG.model_copy(update={"no_ways": True})):
        apart = Apart.of(made)
        compared = compare(made, config, apart)
        assert bool(compared.ways) != config.no_ways
        labels = agglomerate(compared.similarity, apart, 0.3).labels(0.3)
        scores.append(agreement(labels, made.persons)["pairwise_f1"])
    assert scores[0] > scores[1] + 0.1


@pytest.mark.parametrize("seed", range(4))
def test_at_random_times_there_is_nothing_to_learn(seed):
    made = gallery(seed, together=False)
    assert compare(made, CONFIG, Apart.of(made)).ways == ()


def test_without_times_and_in_one_camera_there_is_nothing_to_learn():
    made = gallery()
    alike = compare(made, CONFIG, Apart.of(made)).similarity
    bare = replace(made, start=None, end=None, zone=None)
    alone = replace(
        made, cameras=np.ones_like(made.cameras), camera_names=np.ones(len(made), int).astype(str)
    )
    assert learn_ways(alike, Apart.of(bare)) == learn_ways(alike, Apart.of(alone)) == ()


def test_features_that_do_not_fit_are_mixed_as_they_are_read(monkeypatch):
    made = gallery()
    held = compare(made, CONFIG, Apart.of(made)).similarity
    monkeypatch.setattr(similarity, "_HELD", 0)
    monkeypatch.setattr(neighbours, "_MIXED", 7)
    assert (compare(made, CONFIG, Apart.of(made)).similarity != held).nnz == 0
