"""MEVID.

Reference: Davila et al., "MEVID: Multi-view Extended Videos with Identities for Video Person
Re-Identification", WACV 2023. Metadata: the authors' repository Kitware/MEVID.
The structure is that which public loaders read; the data set was not available, so counts are not checked.

    <data root>/
      train_name.txt, test_name.txt                    a frame name per line
      track_train_info.txt, track_test_info.txt        rows: first, last frame (0-based, both included),
                                                       person, outfit, camera
      query_IDX.txt                                    0-based rows of track_test_info.txt
      bbox_train/0201/0201O003C330T004F00001.jpg       the folder is the name's first four characters
      bbox_test/...

Public loaders leave the queries out of the gallery; here they are in it, and protocol queries-dropped is
theirs.
"""

from itertools import chain
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import check_frames, check_relative, check_root
from stages.datasets.listed import lines_of, whole
from stages.datasets.tracklet import JUNK, Dataset, Tracklet

INFO = "expected rows: first, last frame (0-based, both included), person, outfit, camera"


def load_mevid(root: Path | str, check_files: bool = True) -> Dataset:
    """Read MEVID. Raises KeyReIDError naming file and row of the first error."""
    root = check_root(root, "mevid")
    train, gallery = (_read(root, subset) for subset in ("train", "test"))
    query = tuple(gallery[row] for row in _queries(root, len(gallery)))
    if check_files:
        check_frames(root, chain.from_iterable(t.frames for t in (*train, *gallery)), "mevid")
    return Dataset("mevid", root, train, query, gallery)


def _read(root: Path, subset: str) -> tuple[Tracklet, ...]:
    names = [word for _, (word,) in lines_of(root / f"{subset}_name.txt", "a frame name per line", 1)]
    path = root / f"track_{subset}_info.txt"
    tracklets = []
    for where, words in lines_of(path, INFO, columns=5):
        first, last, person, _, camera = (whole(_plain(word), where, "a value") for word in words)
        if not 0 <= first <= last < len(names):
            raise KeyReIDError(f"{where}: frames {first} to {last} of {len(names)} names; {INFO}")
        if person < JUNK or camera < 0:
            raise KeyReIDError(f"{where}: person {person}, camera {camera}; {INFO}")
        chosen = names[first : last + 1]
        frames = tuple(check_relative(f"bbox_{subset}/{n[:4]}/{n}", where) for n in chosen)
        tracklets.append(Tracklet(frames, person, camera, f"{subset}/{frames[0].rpartition('/')[2]}"))
    if not tracklets:
        raise KeyReIDError(f"{path}: lists no tracklet; {INFO}")
    return tuple(tracklets)


def _queries(root: Path, count: int) -> list[int]:
    path, rows = root / "query_IDX.txt", []
    for where, (word,) in lines_of(path, "a 0-based row of track_test_info.txt per line", 1):
        rows.append(whole(_plain(word), where, "the row"))
        if not 0 <= rows[-1] < count:
            raise KeyReIDError(f"{where}: row {rows[-1]} is none of the {count} test tracklets")
    if not rows or len(set(rows)) != len(rows):
        raise KeyReIDError(f"{path}: no query, or one listed twice; every row may be named once")
    return rows


def _plain(word: str) -> str:
    """A whole number that NumPy wrote as 1.000000000000000000e+00."""
    try:
        value = float(word)
    except ValueError:
        return word
    return str(int(value)) if value.is_integer() and abs(value) < 1e9 else word
