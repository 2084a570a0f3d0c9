"""How long ways take is learned where people keep to it, and nothing is where they do not."""

from dataclasses import replace

import numpy as np

from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search import neighbours, similarity
from stages.reid.search.agglomerate import agglomerate
from stages.reid.search.agreement import agreement
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart, Travel
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


def test_ways_are_found_where_people_keep_to_them_and_none_at_random_times():
    found = {}
    for together in (True, False):
        made = [gallery(seed, together) for seed in range(40)]
        found[together] = sum(bool(compare(some, CONFIG, Apart.of(some)).ways) for some in made)
    assert found == {True: 40, False: 0}


def test_who_is_seen_in_both_cameras_at_once_stays_alike():
    made, persons = gallery(), 2 * np.arange(PERSONS)
    start, end, overlapping = made.start.copy(), made.end.copy(), persons[::3]
    start[overlapping + 1], end[overlapping + 1] = start[overlapping] + 1, end[overlapping] + 1
    made = replace(made, start=start, end=end)
    plain = compare(made, CONFIG.model_copy(update={"no_ways": True}), Apart.of(made))
    learned = compare(made, CONFIG, Apart.of(made))
    assert learned.ways
    alike = [np.asarray(some.similarity[overlapping, overlapping + 1]) > 0 for some in (plain, learned)]
    assert alike[1].sum() >= alike[0].sum() > 0


def test_a_least_time_that_a_user_gave_stays_a_rule():
    made = gallery()
    rules = Apart.of(made, (Travel(("1", "2"), least=30),))
    compared = compare(made, CONFIG, rules)
    assert compared.ways[0].least < 30
    one, other = compared.similarity.nonzero()
    assert not rules.pairs(one, other).any() and Apart.of(made).least.max() == 0


def test_times_that_are_none_of_a_clock_teach_nothing():
    made = replace(gallery(), zone=np.full(2 * PERSONS, np.nan))
    assert compare(made, CONFIG, Apart.of(made)).ways == ()


def test_who_has_no_clock_is_on_no_way():
    made = gallery()
    (way,) = compare(made, CONFIG, Apart.of(made)).ways
    zone = made.zone.copy()
    zone[::4] = np.nan
    there = on_ways(Apart.of(replace(made, zone=zone)), (way,))
    assert np.isnan(there.start[::4]).all() and np.isfinite(there.start[1::2]).all()


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
