"""Small data sets written to disk for the tests."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

TRAIN = [("0001", 1), ("0001", 2), ("0003", 1), ("0003", 3)]
TEST = [("00-1", 1), ("0000", 2), ("0002", 1), ("0002", 2), ("0004", 1), ("0004", 2), ("0004", 2)]
FRAMES = 3


def write_mars(root: Path, frames: bool = True, end: str = "\r\n") -> Path:
    """A data set in MARS layout; frames are empty files."""
    info = root / "info"
    info.mkdir(parents=True)
    for subset, tracks in (("train", TRAIN), ("test", TEST)):
        names, rows = [], []
        for number, (person, camera) in enumerate(tracks, start=1):
            first = len(names) + 1
            names += [f"{person}C{camera}T{number:04d}F{f:03d}.jpg" for f in range(1, FRAMES + 1)]
            rows.append([first, len(names), -1 if person == "00-1" else int(person), camera])
        (info / f"{subset}_name.txt").write_bytes("".join(n + end for n in names).encode())
        savemat(info / f"tracks_{subset}_info.mat", {f"track_{subset}_info": np.array(rows, np.int32)})
        for name in names if frames else ():
            folder = root / f"bbox_{subset}" / name[:4]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    savemat(info / "query_IDX.mat", {"query_IDX": np.array([[3, 4, 5, 6]], np.uint16)})
    return root


def change(root: Path, file: str, key: str, edit) -> None:
    """Rewrite one matrix of a data set in MARS layout."""
    from scipy.io import loadmat

    path = root / "info" / file
    values = loadmat(path)[key].astype(np.int64)
    savemat(path, {key: edit(values)})


def write_two_cameras(root: Path, names: list[str], cameras=("cam1", "cam2"), suffix: str = ".png") -> Path:
    """Two frames per person and camera, created in an order that sorting has to correct."""
    for camera in cameras:
        for name in reversed(names):
            folder = root / camera / name
            folder.mkdir(parents=True)
            for frame in ("00002", "00001"):
                (folder / f"{camera}_{name}_{frame}{suffix}").touch()
    return root


def write_tree(root: Path, places: list[str], frames=("f10.jpg", "f2.JPG")) -> Path:
    """Folders with empty frames."""
    for place in places:
        (root / place).mkdir(parents=True)
        for frame in frames:
            (root / place / frame).touch()
    return root


MARKET = {
    "bounding_box_train": [
        "0002_c1s1_000451_03",
        "0002_c1s1_000351_01",
        "0002_c1s2_000001_00",
        "0007_c3s3_000001_00",
    ],
    "bounding_box_test": [
        "-1_c1s1_000401_03",
        "-1_c1s1_000402_01",
        "0000_c2s1_000151_01",
        "0000_c2s1_000152_01",
        "0001_c1s1_001051_03",
        "0001_c1s1_001051_01",
        "0001_c1s2_000002_01",
        "0001_c2s1_000900_02",
    ],
    "query": ["0001_c2s1_000900_00", "0001_c1s1_001051_00"],
}
CUHK03 = {
    "bounding_box_train": ["0001_c1_1", "0001_c2_10", "0001_c2_6"],
    "bounding_box_test": ["0004_c1_2", "0004_c1_3", "0004_c2_6"],
    "query": ["0004_c1_1", "0004_c2_5"],
}


def write_images(root: Path, folders: dict[str, list[str]], suffix: str = ".jpg") -> Path:
    """Folders of empty images, beside a file of another kind, as the official archive has it."""
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "Thumbs.db").touch()
        for name in names:
            (root / folder / f"{name}{suffix}").touch()
    return root
