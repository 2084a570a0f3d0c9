"""What parts have in common, and the weight of hidden frames."""

import numpy as np
import pytest

from stages.datasets.tracklet import Tracklet
from stages.datasets.walkers.record import FrameRecord
from stages.reid.data.config import ClipConfig
from stages.reid.probing.evidence import common_share, side_cosines, weights_of_hidden


def test_copies_share_everything_and_independent_parts_a_sixth():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(500, 1, 32))
    assert common_share(np.repeat(one, 6, axis=1) + rng.normal(size=(1, 6, 32))) == pytest.approx(1)
    assert common_share(rng.normal(size=(500, 6, 32))) == pytest.approx(1 / 6, abs=0.01)


def test_cosines_are_those_of_left_and_right():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(400, 6, 32))
    parts[:, 5] = 3 * parts[:, 4]  # the legs
    found = side_cosines(parts, 6)
    assert set(found) == {"left arm", "left leg"}
    assert found["left leg"] == pytest.approx(1) and found["left arm"] == pytest.approx(0, abs=0.03)


def test_frames_are_compared_with_the_others_of_their_clip():
    tracklets = [Tracklet(tuple(f"{name}{i}" for i in range(4)), 1, 1, name) for name in "abc"]
    seen, hidden, other = (
        FrameRecord((v,) * 6, v, other_person=o) for v, o in ((0, False), (0.7, False), (1, True))
    )
    records = dict.fromkeys((f for t in tracklets for f in t.frames), seen)
    records |= {"a0": hidden, "b3": other, "b2": hidden}
    weights = [np.array(w) for w in ([0.1, 0.3, 0.3, 0.3], [0.4, 0.4, 0.2, 0.0], [1.0, 0, 0, 0])]
    found = weights_of_hidden(weights, tracklets, records, ClipConfig(), 4)
    assert found["mostly hidden"].ratio == pytest.approx((0.1 + 0.2) / (0.3 + 0.4))
    assert found["another person"].ratio == 0 and found["another person"].clips == 1
    assert found["either"].clips == 2
