"""SplitMix64 in numpy and in torch."""

import numpy as np
import torch

from stages.splitmix import GAMMA, mix, signed

VECTOR = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]  # seed 1234567


def test_both_draw_the_published_numbers():
    counters = [signed(1234567 + GAMMA * number) for number in range(1, 5)]
    expected = [signed(value) for value in VECTOR]
    assert mix(np.array(counters)).tolist() == expected
    assert mix(torch.tensor(counters)).tolist() == expected
