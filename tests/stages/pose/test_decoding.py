"""Decoding a batch at once gives what mmpose's codec gives frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpose.codecs import MSRAHeatmap

from stages.pose.estimator import decode


def by_frame(codec, maps):
    pairs = [codec.decode(frame) for frame in maps]
    return np.array([points[0] for points, _ in pairs]), np.array([scores[0] for _, scores in pairs])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "steps", "corner peaks", "no heat"]))
def test_every_peak_is_refined_as_mmpose_does(seed, kind):
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 1, (3, 17, 16, 8)).astype(np.float32)
    if kind == "steps":
        maps = np.round(maps)  # equal neighbours, several maxima
    elif kind == "corner peaks":
        rows, columns = rng.choice([0, 1, 14, 15], (3, 17)), rng.choice([0, 1, 6, 7], (3, 17))
        maps[np.arange(3)[:, None], np.arange(17), rows, columns] = 9
    elif kind == "no heat":
        maps[:, ::2] = -np.abs(maps[:, ::2])
    codec = MSRAHeatmap(input_size=(32, 64), heatmap_size=(8, 16), sigma=2)
    for ours, theirs in zip(decode(codec, maps), by_frame(codec, maps), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("unbiased", [False, True])
def test_other_codecs_decode_themselves(unbiased):
    maps = np.random.default_rng(0).random((2, 17, 16, 8)).astype(np.float32)
    codec = MSRAHeatmap(input_size=(32, 64), heatmap_size=(8, 16), sigma=2, unbiased=unbiased)
    for ours, theirs in zip(decode(codec, maps), by_frame(codec, maps), strict=True):
        assert np.array_equal(ours, theirs)
