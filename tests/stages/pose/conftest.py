"""One tiny estimator and one tiny data set for all tests of stage one."""

from pathlib import Path

import pytest

from stages.datasets.tracklet import Dataset
from tests.stages.pose import tiny


@pytest.fixture(scope="session")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_estimator(tmp_path_factory.mktemp("estimator"))


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six tracklets of five frames, 64x128. Do not write to it."""
    return tiny.write_frames(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="session")
def finished(estimator, frames, tmp_path_factory) -> Path:
    """A finished cache of `frames`. Do not write to it."""
    from stages.pose.extract import run

    return run(frames, tiny.config(estimator), tmp_path_factory.mktemp("cache") / "poses")
