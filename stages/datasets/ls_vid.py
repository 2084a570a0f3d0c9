"""LS-VID.

Reference: Li et al., "Global-Local Temporal Representations For Video Person Re-Identification", ICCV 2019.
The structure is that which public loaders read; the data set was not available, so counts are not checked.

    <data root>/
      list_sequence/list_seq_train.txt, list_seq_test.txt    lines: beginning of the frames' path, person
      tracklet_train/..., tracklet_test/...                  <beginning>_*.jpg; the third of the parts between
                                                             underscores in a frame's name is the camera
      test/data/info_test.mat                                (HDF5) query: 1-based rows of list_seq_test.txt
      (or info/list_sequence/ and info/data/info_test.mat)

The gallery holds all test tracklets. Public loaders differ in whether the queries stay in it: protocols
queries-kept and queries-dropped are both scored.
"""

from math import prod
from pathlib import Path

import h5py
import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from stages.datasets.files import check_root, list_images, natural, require
from stages.datasets.listed import inside, lines_of, whole
from stages.datasets.tracklet import Dataset, Tracklet

LAYOUT = "expected lines like `tracklet_train/0001/0001_0001_01 1`: beginning of the frames' path, person"
LISTS = ("list_sequence", "info/list_sequence")
QUERIES = ("test/data/info_test.mat", "info/data/info_test.mat")
MOST = 10**6  # queries


def load_ls_vid(root: Path | str) -> Dataset:
    """Read LS-VID. Raises KeyReIDError naming file and line of the first error."""
    root = check_root(root, "ls-vid")
    lists = next((root / place for place in LISTS if (root / place).is_dir()), root / LISTS[0])
    listings: dict[Path, list[str]] = {}
    train, gallery = (_read(root, lists / f"list_seq_{part}.txt", listings) for part in ("train", "test"))
    path = next((root / place for place in QUERIES if (root / place).is_file()), root / QUERIES[0])
    rows = _query_rows(require(path, "test/data/info_test.mat with the rows of the queries"))
    if not len(rows) or rows.min() < 1 or rows.max() > len(gallery) or len(np.unique(rows)) < len(rows):
        raise KeyReIDError(
            f"{path}: query is not a list of distinct 1-based rows of the {len(gallery)} test tracklets"
        )
    return Dataset("ls-vid", root, train, tuple(gallery[row - 1] for row in rows), gallery)


def _read(root: Path, path: Path, listings: dict[Path, list[str]]) -> tuple[Tracklet, ...]:
    tracklets = []
    for where, (start, person) in lines_of(path, LAYOUT, columns=2):
        folder, _, begin = inside(start, where).rpartition("/")
        place = require(root / folder, f"{where}: {LAYOUT}", folder=True)
        if place not in listings:
            listings[place] = sorted(list_images(place), key=natural)
        frames = [name for name in listings[place] if name.startswith(f"{begin}_")]
        if not frames:
            raise KeyReIDError(
                f"{place}: no frame of {begin!r}, which {where} names; unpack the data set again"
            )
        parts = frames[0].split("_")
        camera = whole(parts[2] if len(parts) > 2 else "", where, f"the camera in {frames[0]!r}")
        paths = tuple(f"{folder}/{name}" for name in frames)
        tracklets.append(Tracklet(paths, whole(person, where, "the person"), camera, f"{folder}/{begin}"))
    if not tracklets:
        raise KeyReIDError(f"{path}: lists no tracklet; {LAYOUT}")
    return tuple(tracklets)


def _query_rows(path: Path) -> np.ndarray:
    """The matrix `query` of a MATLAB 7.3 file, int64 [n]."""
    remedy = "expected LS-VID's own file"
    with reading(path, "a MATLAB 7.3 file", remedy), h5py.File(path, "r") as file:
        values = file["query"] if isinstance(file.get("query", getlink=True), h5py.HardLink) else None
        sound = isinstance(values, h5py.Dataset) and not values.external and not values.is_virtual
        # a chunk is inflated whole, and may be far larger than the matrix
        if not sound or values.dtype.kind not in "fiu" or max(values.size, prod(values.chunks or ())) > MOST:
            raise KeyReIDError(f"{path}: no matrix of numbers named query in it; {remedy}")
        rows = np.asarray(values).reshape(-1)
    if not np.isfinite(rows).all() or not np.array_equal(rows, np.round(rows)):
        raise KeyReIDError(f"{path}: query holds numbers that are not whole; expected rows")
    return rows.astype(np.int64)
