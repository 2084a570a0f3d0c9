"""P identities x K tracklets."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.reid.data.config import SamplerConfig
from stages.reid.data.sampler import BatchStream, IdentitySampler
from stages.reid.training.config import TrainConfig
from stages.reid.training.training_set import TrainingSet
from tests.stages.reid.driver import TRAIN, dataset, merged


def sampler_of(sizes, p=2, k=2, seed=0, cameras=3, **config):
    persons = [person for person, size in enumerate(sizes) for _ in range(size)]
    seen = [i % cameras for size in sizes for i in range(size)]
    return IdentitySampler(persons, seen, SamplerConfig(identities=p, tracklets=k, **config), seed), np.array(
        persons
    )


SIZES = st.lists(st.integers(1, 14), min_size=3, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    st.integers(1, 3),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["drop", "fill"]),
    st.integers(0, 99),
)
def test_every_batch_has_p_identities_with_k_tracklets_and_the_length_is_exact(
    sizes, p, k, spread, leftovers, epoch
):
    sampler, persons = sampler_of(sizes, p, k, spread_cameras=spread, leftovers=leftovers)
    order, keys = sampler.epoch(epoch)
    assert order.shape == keys.shape == (sampler.batches, p * k)
    for batch in order:
        groups = persons[batch].reshape(p, k)
        assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == p
        for group, person in zip(batch.reshape(p, k), groups[:, 0], strict=True):
            # repeats only where there is no other way
            assert len(set(group)) == k or sizes[person] < k or leftovers == "fill"
    assert len(np.unique(keys)) == keys.size
    used = Counter(order.ravel().tolist())
    full = [i for i in used if sizes[persons[i]] >= k]
    assert leftovers == "fill" or all(used[i] == 1 for i in full), "no tracklet twice in an epoch"


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(1, 3), st.integers(1, 4))
def test_an_epoch_is_as_long_as_it_can_be(sizes, p, k):
    sampler, _ = sampler_of(sizes, p, k)
    groups = np.maximum(np.array(sizes) // k, 1)
    longer = sampler.batches + 1
    assert np.minimum(groups, sampler.batches).sum() >= sampler.batches * p
    assert np.minimum(groups, longer).sum() < longer * p


def test_every_tracklet_of_every_identity_is_reached():
    for leftovers in ("drop", "fill"):
        sampler, persons = sampler_of([1, 2, 3, 5, 9, 30], p=2, k=4, leftovers=leftovers)
        seen = set()
        for epoch in range(60):
            seen |= set(sampler.epoch(epoch)[0].ravel().tolist())
        assert seen == set(range(len(persons)))


def test_an_epoch_depends_on_seed_and_number_alone():
    one, two = (sampler_of([4, 5, 6, 7], seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(one.epoch(5)[0], two.epoch(5)[0])
    assert not np.array_equal(one.epoch(5)[0], one.epoch(6)[0])
    assert not np.array_equal(one.epoch(5)[0], sampler_of([4, 5, 6, 7], seed=4)[0].epoch(5)[0])
    assert not set(one.epoch(5)[1].ravel()) & set(one.epoch(6)[1].ravel()), "keys are of one epoch"


def test_spread_cameras_gives_an_identity_as_many_cameras_as_k_allows():
    persons, cameras = np.repeat(np.arange(4), 12), np.tile([0] * 6 + [1, 1, 1, 2, 2, 3], 4)
    sampler = IdentitySampler(
        persons, cameras, SamplerConfig(identities=2, tracklets=4, spread_cameras=True), 0
    )
    groups = sampler.epoch(0)[0].reshape(-1, 4)
    several = [len(set(cameras[g])) for g in groups]
    assert max(several) == 4 and np.mean(several) > 2
    plain = IdentitySampler(persons, cameras, SamplerConfig(identities=2, tracklets=4), 0)
    firsts = [max(len(set(cameras[g])) for g in plain.epoch(e)[0].reshape(-1, 4)) for e in range(20)]
    assert np.mean(firsts) < 4


def test_small_identities_are_counted():
    sampler = IdentitySampler(
        [1, 1, 1, 2, 3, 3], [1, 2, 1, 1, 2, 2], SamplerConfig(identities=2, tracklets=3), 0
    )
    assert (sampler.counts.identities, sampler.counts.tracklets) == (3, 6)
    assert (sampler.counts.short, sampler.counts.single_camera) == (2, 2)


def test_the_log_tells_the_counts(tiny, caplog):
    """Of 5 persons with 4 tracklets each, two are held out, and one keeps only the 2 of its first camera."""
    whole = dataset(tiny)
    some = replace(whole, train=tuple(t for t in whole.train if (t.person, t.camera) != (3, 2)))
    config = TrainConfig(
        **merged(TRAIN, {"sampler": {"tracklets": 3}, "validation": {"share": 0.2}, "seed": 3})
    )
    data = TrainingSet.of(some, PoseCache.open(tiny / "cache"), config, processes=1)
    with caplog.at_level(logging.INFO):
        data.log()
    for words in (
        "training on 3 identities, 10 tracklets, 2 cameras; 2 identities held out for validation",
        f"{data.sampler.batches} batches of 2 x 3 clips an epoch; "
        "1 identities have under 3 tracklets, 1 one camera",
    ):
        assert words in caplog.text


def test_fewer_identities_than_a_batch_needs_is_an_error():
    with pytest.raises(KeyReIDError, match=r"identities = 4.*only 3"):
        sampler_of([4, 4, 4], p=4)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_every_batch_without_gap_or_overlap(world):
    sampler, _ = sampler_of([4, 5, 6, 7], p=2, k=2)
    whole = list(BatchStream(sampler, epochs=3))
    shares = [list(BatchStream(sampler, 3, rank=r, world=world)) for r in range(world)]
    assert [[s for part in parts for s in part] for parts in zip(*shares, strict=True)] == whole


def test_a_stream_continues_from_any_position():
    sampler, _ = sampler_of([4, 5, 6, 7], p=2, k=2)
    whole = list(BatchStream(sampler, epochs=3))
    for step in range(len(whole)):
        start = divmod(step, sampler.batches)
        stream = BatchStream(sampler, 3, start)
        assert list(stream) == whole[step:] and len(stream) == len(whole) - step


def test_a_batch_that_does_not_divide_among_processes_is_an_error():
    with pytest.raises(KeyReIDError, match="does not divide among 3 processes"):
        BatchStream(sampler_of([4, 4, 4])[0], epochs=1, world=3)


def test_all_625_identities_of_mars_are_reached_in_every_epoch(real_data: Path):
    train = load_dataset("mars", real_data / "mars", check_files=False).train
    persons, cameras = np.array([t.person for t in train]), [t.camera for t in train]
    sampler = IdentitySampler(persons, cameras, SamplerConfig(leftovers="fill", spread_cameras=True), seed=0)
    assert sampler.counts.identities == 625 and sampler.counts.tracklets == 8298
    seen = set()
    for epoch in range(3):
        order, _ = sampler.epoch(epoch)
        groups = persons[order].reshape(-1, 4, 4)
        assert (groups == groups[:, :, :1]).all() and all(len(set(g[:, 0])) == 4 for g in groups)
        assert len(set(persons[order.ravel()])) >= 625 - 3, "at most P - 1 groups wait for another epoch"
        seen |= set(order.ravel().tolist())
    assert len(set(persons[list(seen)])) == 625
    assert len(seen) > 0.99 * 8298
    published = IdentitySampler(persons, cameras, SamplerConfig(), seed=0)
    assert published.batches == np.maximum(np.unique(persons, return_counts=True)[1] // 4, 1).sum() // 4
