"""Which frames make a clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.reid.data.clips import consecutive_clips, spread_clips, test_clips, training_clips
from stages.reid.data.config import ClipConfig


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


@given(st.integers(1, 60), st.integers(1, 8))
def test_spread_clips_take_every_frame_once_and_span_the_tracklet(length, frames):
    clips = spread_clips(length, frames)
    assert clips.shape == (-(-length // frames), frames)
    own = [list(dict.fromkeys(clip)) for clip in clips.tolist()]
    assert sorted(place for clip in own for place in clip) == list(range(length))
    for clip, places in zip(clips, own, strict=True):
        np.testing.assert_array_equal(clip, np.resize(places, frames))  # repeats its own where it is short
        assert set(np.diff(places)) <= {len(clips)}


def test_a_config_decides_the_clips_of_a_tracklet():
    np.testing.assert_array_equal(test_clips(6, ClipConfig(), 4), consecutive_clips(6, 4))
    np.testing.assert_array_equal(test_clips(6, ClipConfig(clip_length=3, clip_cap=1), 4), [[0, 1, 2]])
    spread = ClipConfig(clip_order="spread", clip_length=3)
    np.testing.assert_array_equal(test_clips(6, spread, 4), [[0, 2, 4], [1, 3, 5]])
    with pytest.raises(ValidationError, match="clip_order is spread: leave out one"):
        ClipConfig(clip_order="spread", clip_stride=2)
