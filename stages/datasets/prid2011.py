"""PRID2011, multi-shot.

Reference: Hirzer et al., "Person Re-Identification by Descriptive and Discriminative Classification",
SCIA 2011.

Statistics: camera a shows 385 persons, camera b 749, the first 200 are the same. Of these, the 178 with more
than 21 frames in both cameras are used. Frames of 64x128. Ten splits into 89 persons for training and 89
for testing (splits_prid2011.json); queries from camera a, gallery from camera b.

    <data root>/
      prid_2011/multi_shot/cam_a/person_0001/0001.png       (or multi_shot/ in the root)
      prid_2011/multi_shot/cam_b/person_0001/0001.png
      splits_prid2011.json                                  [{"train": [folders], "test": [folders]}, ...]
"""

from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import check_root
from stages.datasets.tracklet import Dataset
from stages.datasets.two_cameras import Layout, find, read_json_splits, read_two_cameras

LAYOUT = Layout(
    name="prid2011",
    folders=("prid_2011/multi_shot", "multi_shot", "prid2011/multi_shot"),
    cameras=("cam_a", "cam_b"),
    tree="prid_2011/multi_shot/cam_a/person_0001/*.png, cam_b alike, and splits_prid2011.json",
    frame_size=(64, 128),
)
SPLIT_FILES = ("splits_prid2011.json", "splits.json", "prid_2011/splits_prid2011.json")


def load_prid2011(root: Path | str, split: int | None = None) -> Dataset:
    """One of the ten splits, the first by default. Raises KeyReIDError naming what is wrong."""
    root = check_root(root, LAYOUT.name)
    split_file = find(root, SPLIT_FILES)
    if split_file is None:
        raise KeyReIDError(f"{root}: splits_prid2011.json is not there; expected layout: {LAYOUT.tree}")
    return read_two_cameras(root, LAYOUT, read_json_splits(root / split_file), split, root / split_file)
