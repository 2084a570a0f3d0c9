"""Data sets: what a tracklet is, and one file per layout.

>>> dataset = load_dataset("mars", "/data/mars")       # Dataset(train, query, gallery, ...)

No torch here: metadata is read in a second by any process.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.ccvid import load_ccvid
from stages.datasets.folder import load_folder
from stages.datasets.ilids_vid import load_ilids_vid
from stages.datasets.ls_vid import load_ls_vid
from stages.datasets.market1501 import load_cuhk03, load_market1501
from stages.datasets.mars import load_mars
from stages.datasets.mevid import load_mevid
from stages.datasets.prid2011 import load_prid2011
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

__all__ = ["CHOICES", "DATASETS", "DISTRACTOR", "JUNK", "Dataset", "Tracklet", "load_dataset"]

_ONE: dict[str, Callable[[Path | str, bool], Dataset]] = {
    "mars": lambda root, check: load_mars(root, "mars", check),
    "mini-mars": lambda root, check: load_mars(root, "mini-mars", check),
    "walkers": lambda root, check: load_mars(root, "walkers", check),
    "mevid": load_mevid,
    "ls-vid": lambda root, _: load_ls_vid(root),
    "ccvid": lambda root, _: load_ccvid(root),
}
_SEVERAL: dict[str, Callable[[Path | str, int | None], Dataset]] = {
    "ilids-vid": load_ilids_vid,
    "prid2011": load_prid2011,
}
# Data sets whose files can be read in several ways, and by what that is chosen.
_CHOICES: dict[str, tuple[Callable[..., Dataset], tuple[str, ...]]] = {
    "market1501": (load_market1501, ("tracklets",)),
    "cuhk03": (load_cuhk03, ("tracklets", "boxes")),
    "folder": (load_folder, ("frame_list",)),
}
CHOICES = ("tracklets", "boxes", "frame_list")
DATASETS = (*_ONE, *_SEVERAL, *_CHOICES)


def load_dataset(
    name: str,
    root: Path | str,
    split: int | None = None,
    check_files: bool = True,
    *,
    tracklets: str | None = None,
    boxes: str | None = None,
    frame_list: Path | None = None,
) -> Dataset:
    """Read the data set `name` (one of DATASETS) under the folder `root`.

    split: 0-based number of a split for a data set that has several (None: the first); `Dataset.splits` of
    them. check_files: also check that every listed frame exists. Where frames are found by listing folders
    (iLIDS-VID, PRID2011, Market-1501, LS-VID, CCVID, trees) they exist anyway. tracklets (market1501,
    cuhk03): image or sequence. boxes (cuhk03): labeled or detected. frame_list (folder): a CSV file.
    Raises KeyReIDError naming file and row of the first error.
    """
    if name not in DATASETS:
        raise KeyReIDError(f"dataset {name!r} is not known; expected one of {', '.join(DATASETS)}")
    load, choices = _CHOICES.get(name, (None, ()))
    given = dict(zip(CHOICES, (tracklets, boxes, frame_list), strict=True))
    for choice, value in given.items():
        if value is not None and choice not in choices:
            what = choice.removeprefix("frame_")  # as the option and the key of a recipe are called
            raise KeyReIDError(f"dataset {name} has one kind of {what}; leave it out (it is {value})")
    if name in _SEVERAL:
        return _SEVERAL[name](root, split)
    if split is not None:
        raise KeyReIDError(f"dataset {name} has one split; leave split out (it is {split})")
    if load is not None:
        more = {"check_files": check_files} if name == "folder" else {}
        found = load(root, **more, **{choice: given[choice] for choice in choices})
        return replace(found, reading={choice: str(value) for choice, value in given.items() if value})
    return _ONE[name](root, check_files)
