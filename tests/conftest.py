"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # `make test` has a process on every core
os.environ.setdefault("MPLBACKEND", "Agg")
# Results are compared to the last bits of float32: precision `auto` is that on every CPU, AMX or not.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS", "DATASET", "DATA", "RUN", "WORKERS", "NPROC"):
    os.environ.pop(name, None)  # what `make test` was given is not for the make that tests call


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many as cores that may be used, but four; each takes 2 GB at times."""
    return min(len(os.sched_getaffinity(0)), 4)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data (KEYREID_REAL_DATA), kept out of the project."""
    folder = os.environ.get("KEYREID_REAL_DATA")
    if not folder:
        pytest.skip("KEYREID_REAL_DATA is not set: no real data here")
    path = Path(folder)
    assert path.is_dir(), f"KEYREID_REAL_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def walkers_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a small walkers data set: 8 persons, half train, half test; 2 cameras, 4 to 6 frames."""
    from stages.datasets.walkers import make
    from stages.datasets.walkers.config import WalkersConfig

    config = WalkersConfig(
        seed=5, identities=8, cameras=2, tracklets=2, min_frames=4, max_frames=6, distractors=3, junk=2
    )
    return make.run(config, tmp_path_factory.mktemp("data") / "walkers")
