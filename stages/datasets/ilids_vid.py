"""iLIDS-VID.

Reference: Wang et al., "Person Re-identification by Video Ranking", ECCV 2014.

Statistics: 300 persons, each filmed once by 2 cameras: 600 sequences of 23 to 192 frames of 64x128. Ten
official splits into 150 persons for training and 150 for testing; queries from camera 1, gallery from 2.

    <data root>/
      i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png      (or sequences/ in the root)
      i-LIDS-VID/sequences/cam2/person001/...
      splits.json                                            or
      train-test people splits/train_test_splits_ilidsvid.mat          (or the .mat in the root)

The matrix ls_set [10, 300] of the .mat holds 1-based positions in the sorted list of persons' folders; of
each row, the first 150 are the test persons. splits.json: [{"train": [folders], "test": [folders]}, ...].
"""

from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.files import check_root, list_folders, read_matrix
from stages.datasets.tracklet import Dataset
from stages.datasets.two_cameras import (
    Layout,
    Split,
    check_split,
    find,
    read_json_splits,
    read_two_cameras,
    sequences_folder,
)

LAYOUT = Layout(
    name="ilids-vid",
    folders=("i-LIDS-VID/sequences", "sequences"),
    cameras=("cam1", "cam2"),
    tree="i-LIDS-VID/sequences/cam1/person001/*.png, cam2 alike, and splits.json or "
    "train-test people splits/train_test_splits_ilidsvid.mat",
    frame_size=(64, 128),
)
_MAT = "train_test_splits_ilidsvid.mat"
_PEOPLE = "train-test people splits"
SPLIT_FILES = ("splits.json", _MAT, f"{_PEOPLE}/{_MAT}", f"i-LIDS-VID/{_MAT}", f"i-LIDS-VID/{_PEOPLE}/{_MAT}")


def load_ilids_vid(root: Path | str, split: int | None = None) -> Dataset:
    """One of the ten splits, the first by default. Raises KeyReIDError naming what is wrong."""
    root = check_root(root, LAYOUT.name)
    split_file = find(root, SPLIT_FILES)
    if split_file is None:
        raise KeyReIDError(f"{root}: neither splits.json nor {_MAT} is there; expected layout: {LAYOUT.tree}")
    path = root / split_file
    if path.suffix == ".json":
        splits = read_json_splits(path)
    else:
        camera = LAYOUT.cameras[0]
        splits = read_mat_splits(path, list_folders(root / sequences_folder(root, LAYOUT) / camera))
    return read_two_cameras(root, LAYOUT, splits, split, path)


def read_mat_splits(path: Path, folders: list[str]) -> list[Split]:
    """The splits of the official .mat. folders: names of all persons' folders."""
    folders = sorted(folders)
    table = read_matrix(path, "ls_set", columns=len(folders))
    splits = []
    for number, row in enumerate(table):
        if not np.array_equal(np.sort(row), np.arange(1, len(folders) + 1)):
            raise KeyReIDError(
                f"{path}, row {number + 1}: does not name each of the {len(folders)} persons' folders once; "
                "expected 1-based positions in their sorted list"
            )
        names = [folders[i - 1] for i in row]
        half = len(names) // 2
        splits.append(Split(train=tuple(names[half:]), test=tuple(names[:half])))
        check_split(splits[-1], f"{path}, row {number + 1}")
    return splits
