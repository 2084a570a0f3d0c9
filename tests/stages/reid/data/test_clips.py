"""Which frames make a clip."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.reid.data.clips import consecutive_clips, training_clips


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 2**31))
def test_a_training_clip_has_one_frame_from_each_segment_and_the_last_takes_the_remainder(
    length, frames, seed
):
    draws = np.random.default_rng(seed).random((5, frames))
    clips = training_clips(np.full(5, length), draws)
    assert clips.shape == (5, frames)
    assert (clips >= 0).all() and (clips < length).all() and (np.diff(clips, axis=1) >= 0).all()
    if length >= frames:
        size = length // frames
        starts = np.arange(frames) * size
        stops = np.append(starts[1:], length)
        assert (clips >= starts).all() and (clips < stops).all()
    else:
        assert set(clips[0]) == set(range(length)), "a short tracklet shows all its frames"


def test_every_frame_of_a_tracklet_can_be_drawn():
    draws = np.random.default_rng(0).random((3000, 4))
    assert set(training_clips(np.full(3000, 22), draws).ravel()) == set(range(22))


@given(st.integers(1, 60), st.integers(1, 8))
def test_consecutive_clips_cover_every_frame_once_and_the_last_repeats_its_own(length, frames):
    clips = consecutive_clips(length, frames)
    assert set(clips.ravel()) == set(range(length))
    assert len(clips) == -(-length // frames)
    full = length // frames
    np.testing.assert_array_equal(clips[:full].ravel(), np.arange(full * frames))
    if length % frames:
        last = np.arange(full * frames, length)
        np.testing.assert_array_equal(clips[-1], np.resize(last, frames))


def test_stride_overlaps_clips_and_cap_keeps_the_first():
    np.testing.assert_array_equal(consecutive_clips(6, 4, stride=2), [[0, 1, 2, 3], [2, 3, 4, 5]])
    np.testing.assert_array_equal(consecutive_clips(20, 4, cap=2), [[0, 1, 2, 3], [4, 5, 6, 7]])
