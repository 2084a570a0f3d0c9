"""CCVID: persons who change their clothes.

Reference: Gu et al., "Clothes-Changing Person Re-identification with RGB Modality Only", CVPR 2022.
The structure is that which public loaders read; the data set was not available, so counts are not checked.

    <data root>/
      train.txt, query.txt, gallery.txt      lines: folder of a tracklet, person, clothes
      session1/001_01/*.jpg                  person 001, camera 1; cameras of session3 count from 13

Clothes are not used: a gallery holds the query's person in all clothes (the standard setting of the paper).
"""

from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import check_root, list_images, natural, require
from stages.datasets.listed import inside, lines_of, whole
from stages.datasets.tracklet import Dataset, Tracklet

LAYOUT = "expected lines like `session1/001_01 001 u0_l0`: folder of a tracklet, person, clothes"
OTHER_CAMERAS = 12  # that the cameras of session3 come after


def load_ccvid(root: Path | str) -> Dataset:
    """Read CCVID. Raises KeyReIDError naming file and line of the first error."""
    root = check_root(root, "ccvid")
    train, query, gallery = (_read(root, f"{name}.txt") for name in ("train", "query", "gallery"))
    return Dataset("ccvid", root, train, query, gallery)


def _read(root: Path, name: str) -> tuple[Tracklet, ...]:
    tracklets = []
    for where, (place, person, _) in lines_of(root / name, LAYOUT, columns=3):
        folder = require(root / inside(place, where), f"{where}: {LAYOUT}", folder=True)
        frames = sorted(list_images(folder), key=natural)
        if not frames:
            raise KeyReIDError(
                f"{folder}: no frame in it, though {where} names it; unpack the data set again"
            )
        path = folder.relative_to(root).as_posix()
        camera = whole(path.rpartition("_")[2], where, "the camera at the end of the folder's name")
        if path.startswith("session3/"):
            camera += OTHER_CAMERAS
        number = whole(person, where, "the person")
        tracklets.append(Tracklet(tuple(f"{path}/{f}" for f in frames), number, camera, path))
    if not tracklets:
        raise KeyReIDError(f"{root / name}: lists no tracklet; {LAYOUT}")
    return tuple(tracklets)
