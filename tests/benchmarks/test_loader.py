"""The benchmark of reading, on a few frames."""

import re

import cv2
import pytest
import torch


@pytest.fixture
def threads():
    """The benchmark sets numbers of threads; other tests are to find theirs again."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_both_readers_the_workers_and_the_network_are_measured(threads, capsys):
    from benchmarks.loader import main

    main(["--clips", "8", "--rounds", "1", "--tracklets", "2"])
    text = capsys.readouterr().out
    for size in ("256x128", "128x64"):
        table = text.split(f"frames read at {size}")[1]
        for line in (r"ours", r"plain reader", r"1 worker", r"2 workers"):
            assert float(re.search(rf"^ +{line} +([\d.]+) clips/s", table, re.MULTILINE)[1]) > 0
        assert float(re.search(r"^ +ratio +([\d.]+)$", table, re.MULTILINE)[1]) > 0
        for decoder in ("OpenCV", "ours"):
            assert float(re.search(rf"floor: ([\d.]+) times decoding alone by {decoder}", table)[1]) > 1
    assert "peak memory" in text.splitlines()[-1]
    last = text.splitlines()[-2]
    network, one, two = map(float, re.findall(r"([\d.]+) (?:clips/s|times)", last))
    enough = int(re.search(r"with (\d+) ", last)[1])
    assert network > 0 and last.endswith("reading is never slower than the network")
    assert (enough == 1) == (one >= 1) and (enough <= 2) == (max(one, two) >= 1)
