"""Walkers, linked as they are labelled, and the page about them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.made.people import link_made, made_gallery, timed
from stages.browse import build
from stages.browse.config import BrowseConfig
from stages.reid.scoring.embeddings import Embeddings

CONFIG = BrowseConfig(frames=3)


@dataclass
class Linked:
    """A folder of keyreid link, the gallery that it is of, and the page."""

    folder: Path
    gallery: Embeddings
    page: Path


@pytest.fixture(scope="session")
def linked(walkers, tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """Read only; `own` gives a copy to damage."""
    dataset, poses = walkers
    folder = tmp_path_factory.mktemp("linked")
    file = folder / "day.h5"
    gallery = made_gallery(file, dataset.root, timed(dataset.test_tracklets()), "walkers", poses)
    people = link_made(folder / "people", file, gallery)
    return Linked(people, gallery, build.run(CONFIG, people))


@pytest.fixture
def own(linked: Linked, tmp_path: Path) -> Linked:
    folder = tmp_path / "people"
    shutil.copytree(linked.folder, folder)
    return Linked(folder, linked.gallery, folder / "site/index.html")
