"""What a network is given, and where a pixel of it lies in the image."""

import numpy as np

from stages.tracks.detect.input import network_input
from stages.tracks.detect.spec import load_detector_spec

SPEC = load_detector_spec("centernet-mobilenetv3")


def spec(**changes):
    return SPEC.model_copy(update=changes)


def image():
    made = np.zeros((90, 200, 3), np.uint8)
    made[..., 0], made[..., 2] = 10, 200  # blue, red
    return made


def test_shrink_keeps_the_shape_in_multiples_of_32():
    values, scale = network_input(image(), spec(size=(100, 100), fit="shrink"))
    assert values.shape == (1, 3, 64, 128) and scale == (0.5, 0.5)


def test_pad_fills_the_size_with_grey_below_and_right():
    values, scale = network_input(image(), spec(size=(100, 96), fit="pad"))
    assert values.shape == (1, 3, 96, 100) and scale == (0.5, 0.5)
    assert (values[0, :, 45:] == 114).all() and (values[0, 0, :45] == 200).all()


def test_stretch_has_a_scale_of_its_own_in_each_direction():
    values, scale = network_input(image(), spec(size=(100, 90), fit="stretch"))
    assert values.shape == (1, 3, 90, 100) and scale == (0.5, 1.0)


def test_channels_come_in_the_order_that_mean_and_deviation_are_of():
    values, _ = network_input(image(), spec(channels="bgr", mean=(10, 0, 100), deviation=(1, 1, 50)))
    assert values[0, :, 0, 0].tolist() == [0, 0, 2]
