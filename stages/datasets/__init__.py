"""Data sets: what a tracklet is, and one file per layout.

>>> dataset = load_dataset("mars", "/data/mars")       # Dataset(train, query, gallery, ...)

No torch here: metadata is read in a second by any process.
"""

from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.mars import load_mars
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

__all__ = ["DATASETS", "DISTRACTOR", "JUNK", "Dataset", "Tracklet", "load_dataset"]

MARS_LAYOUT = ("mars", "mini-mars", "walkers")
DATASETS = (*MARS_LAYOUT,)


def load_dataset(name: str, root: Path | str, split: int | None = None, check_files: bool = True) -> Dataset:
    """Read the data set `name` (one of DATASETS) under the folder `root`.

    split: 0-based division, for data sets that have several (None: the first).
    check_files: also check that every listed frame exists.
    Raises KeyReIDError naming file and row of the first thing that is wrong.
    """
    if name not in DATASETS:
        raise KeyReIDError(f"dataset {name!r} is not known; expected one of {', '.join(DATASETS)}")
    if split is not None:
        raise KeyReIDError(f"dataset {name} has one division; leave split out (it is {split})")
    return load_mars(root, name, check_files)
