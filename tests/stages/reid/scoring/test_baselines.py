"""Stripe histograms tell colours apart, stripe by stripe."""

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.baselines import stripe_histograms


def draw(path, top, bottom):
    image = np.zeros((60, 30, 3), np.uint8)
    image[:30], image[30:] = top, bottom
    cv2.imwrite(str(path), image)
    return path.name


def test_histograms_differ_by_place_and_colour_and_have_unit_length_per_stripe(tmp_path):
    red, blue = (0, 0, 200), (200, 0, 0)
    frames = [
        draw(tmp_path / "a.png", red, blue),
        draw(tmp_path / "b.png", red, blue),
        draw(tmp_path / "c.png", blue, red),
    ]
    features = stripe_histograms(tmp_path, [Tracklet((f,), 1, 1, f) for f in frames], stripes=6)
    assert features.shape == (3, 6 * 128)
    np.testing.assert_allclose((features.reshape(3, 6, -1) ** 2).sum(2), 1, rtol=1e-5)
    assert ((features[0] - features[1]) ** 2).sum() == 0
    assert ((features[0] - features[2]) ** 2).sum() > 1


def test_an_unreadable_frame_is_named(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(KeyReIDError, match=r"a\.png"):
        stripe_histograms(tmp_path, [Tracklet(("a.png",), 1, 1, "t")])
