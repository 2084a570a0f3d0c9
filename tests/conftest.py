"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data (KEYREID_REAL_DATA), kept out of the project."""
    folder = os.environ.get("KEYREID_REAL_DATA")
    if not folder:
        pytest.skip("KEYREID_REAL_DATA is not set: no real data here")
    path = Path(folder)
    assert path.is_dir(), f"KEYREID_REAL_DATA={folder} is not a folder"
    return path
