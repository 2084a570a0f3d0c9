"""Walkers with exact heat, and a browser, for the stages that write pages."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cache import PoseCache
from cache.writer import write_cache
from stages.datasets import load_dataset
from stages.datasets.tracklet import Dataset
from tests.stages.browser import Page, find_browser, open_browser


def gaussian_heat(root: Path, frames: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Heat uint8 [F, 17, 64, 32] at the true keypoints that can be seen, and the keypoints."""
    with np.load(root / "keypoints.npz") as made:
        row = {str(frame): i for i, frame in enumerate(made["frames"])}
        keypoints = made["keypoints"][[row[frame] for frame in frames]]
    y, x = np.mgrid[0:64, 0:32]
    centre = keypoints[..., :2, None, None] / 4 - 0.5
    heat = np.exp(-((x - centre[:, :, 0]) ** 2 + (y - centre[:, :, 1]) ** 2) / 8)
    seen = keypoints[..., 2] > 1.5
    keypoints[..., 2] = seen
    return np.rint(heat * seen[..., None, None] * 255).astype(np.uint8), keypoints


@pytest.fixture(scope="session")
def walkers(walkers_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, PoseCache]:
    dataset = load_dataset("walkers", walkers_tiny)
    frames = dataset.frames()
    heat, keypoints = gaussian_heat(walkers_tiny, frames)
    folder = tmp_path_factory.mktemp("poses") / "walkers"
    write_cache(folder, frames, heat, keypoints.astype(np.float32), np.tile([[256, 128]], (len(frames), 1)))
    return dataset, PoseCache.open(folder)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    binary = find_browser()
    if binary is None:
        pytest.skip("no Chromium here (apt-get install chromium): the page is not tried in a browser")
    with open_browser(binary, tmp_path_factory.mktemp("profile")) as browser:
        yield browser
