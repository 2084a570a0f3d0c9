"""Tracklets from clips: blocks of length 1, and parts that nobody sees."""

import numpy as np
import pytest
import torch

from stages.reid.scoring.embed import block_lengths, embed_tracklets
from tests.stages.reid.model.tiny import tiny_clips, tiny_model


@pytest.mark.parametrize("fields", [{}, {"part_width": 20}, {"global_only": True}])
def test_every_block_of_a_tracklet_is_the_mean_of_its_clips_at_length_one(fields):
    model = tiny_model(**fields)
    images, maps, cameras = tiny_clips(model, batch=5)
    whose = torch.tensor([0, 0, 1, 0, 1])
    batch = {"images": images, "part_maps": maps, "cameras": cameras, "tracklet": whose}
    features, _ = embed_tracklets(model, [batch], 2)
    clips = model.embed(images, maps, cameras).numpy()
    means = np.stack([clips[[0, 1, 3]].mean(0), clips[[2, 4]].mean(0)])
    edges = np.cumsum(model.block_widths)[:-1]
    for found, mean in zip(np.split(features, edges, 1), np.split(means, edges, 1), strict=True):
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        assert (length < 0.9999).any(), "clips of a tracklet differ"
        np.testing.assert_allclose(found, mean / length, atol=1e-5)


def test_a_part_without_heat_in_the_whole_tracklet_has_visibility_zero_and_a_feature_of_zeros():
    model = tiny_model()
    images, maps, cameras = tiny_clips(model)
    maps[:, :, 4] = 0
    maps[0, :, 1] = 0  # of one of its clips
    batch = {"images": images, "part_maps": maps, "cameras": cameras, "tracklet": torch.tensor([0, 0, 1])}
    features, visibility = embed_tracklets(model, [batch], 2)
    blocks = block_lengths(torch.from_numpy(features), model.block_widths)
    expected = torch.ones(2, 7)
    expected[:, 5], expected[0, 2] = 0, 0.5  # seen in one of two clips
    torch.testing.assert_close(blocks, expected)
    assert (visibility[:, 4] == 0).all() and (visibility[:, [0, 1, 2, 3, 5]] > 0.2).all()
    assert visibility[0, 1] < 0.6 < visibility[1, 1]
