"""Market-1501, and CUHK03 in the same layout: single images of persons, named by person and camera.

Reference: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. Statistics: 1,501
identities, 6 cameras, frames of 64x128. Train: 751 identities, 12,936 images. Test: 750 identities, 3,368
query images; a gallery of 19,732 images, among them 3,819 of junk (-1) and 2,798 distractors (0000).

    <data root>/                                   (or Market-1501-v15.09.15/ in the root)
      bounding_box_train/0002_c1s1_000451_03.jpg   person 0002, camera 1, sequence 1, frame 451, box 3
      bounding_box_test/-1_c1s1_000401_03.jpg      junk; 0000 are distractors
      query/0001_c1s1_001051_00.jpg

CUHK03: Li et al., "DeepReID", CVPR 2014, in the split and the files of Zhong et al., "Re-ranking Person
Re-identification with k-reciprocal Encoding", CVPR 2017 (CUHK03-NP), two cameras, frames of many sizes. Boxes
drawn by hand (`labeled`) or by a detector (`detected`); train 767 identities, 7,368 (7,365) images; test 700
identities, 1,400 queries, 5,328 (5,332) images in the gallery.

    <data root>/labeled/bounding_box_train/0001_c1_1.png   (or cuhk03-np/, CUHK03-NP/ in the root)
    <data root>/detected/...                               likewise, and bounding_box_test/, query/

Two ways to make tracklets of the images:

image     the official protocol: every image is a tracklet of one frame, query/ against bounding_box_test/
sequence  the images of one person in one camera and sequence, samples of one walk, are a tracklet, in time
          order (CUHK03: of one person in one camera). Queries are chosen as in MARS: the first tracklet of
          each person in each camera; the gallery is all of bounding_box_test/, its junk and distractors
          image by image, as they are not walks of one person. query/ is not used.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import check_root, list_images, require
from stages.datasets.tracklet import DISTRACTOR, JUNK, Dataset, Tracklet

TRACKLETS = ("image", "sequence")
BOXES = ("labeled", "detected")
TRAIN, TEST, QUERY = "bounding_box_train", "bounding_box_test", "query"


@dataclass(frozen=True)
class Layout:
    """folders: where the images may lie under the root. name: of a file, with groups person, camera and,
    where there are any, sequence, frame and box. example: a name, for messages.
    """

    dataset: str
    folders: tuple[str, ...]
    name: re.Pattern[str]
    example: str
    frame_size: tuple[int, int] | None


MARKET = Layout(
    "market1501",
    ("", "Market-1501-v15.09.15", "Market-1501", "market1501"),
    # Some files of the official archive end in .jpg.jpg; made ones may be .png.
    re.compile(
        r"(?P<person>-1|\d{4})_c(?P<camera>[1-6])s(?P<sequence>\d)_(?P<frame>\d{6})_(?P<box>\d{2})"
        r"(?:(?:\.jpg){1,2}|\.png)",
        re.ASCII,
    ),
    "0002_c1s1_000451_03.jpg",
    (64, 128),
)
CUHK03 = Layout(
    "cuhk03",
    ("", "cuhk03-np", "CUHK03-NP", "cuhk03np"),
    re.compile(r"(?P<person>\d{4})_c(?P<camera>[12])_(?P<box>\d{1,4})\.(?:png|jpg)", re.ASCII),
    "0001_c1_1.png",
    None,
)


@dataclass(frozen=True, order=True)
class Image:
    """One file. Sorted: by person, camera, sequence and time. path: relative to the data root."""

    person: int
    camera: int
    sequence: int
    frame: int
    box: int
    path: str


def load_market1501(root: Path | str, tracklets: str | None = None) -> Dataset:
    """Read Market-1501. tracklets: one of TRACKLETS, the official protocol by default.

    Raises KeyReIDError naming what is missing, and files whose names are not the data set's.
    """
    return _load(check_root(root, MARKET.dataset), MARKET, tracklets)


def load_cuhk03(root: Path | str, tracklets: str | None = None, boxes: str | None = None) -> Dataset:
    """Read CUHK03-NP. boxes: one of BOXES, drawn by hand by default. Otherwise as `load_market1501`."""
    return _load(check_root(root, CUHK03.dataset), CUHK03, tracklets, _choice("boxes", boxes, BOXES))


def _load(root: Path, layout: Layout, tracklets: str | None, boxes: str = "") -> Dataset:
    mode = _choice("tracklets", tracklets, TRACKLETS)
    places = [f"{place}/{boxes}".strip("/") for place in layout.folders]
    base = next((p for p in places if (root / p / TRAIN).is_dir()), places[0])
    tree = "/".join(filter(None, (boxes, TRAIN, layout.example)))
    expected = f"{tree}, and {TEST}/ and {QUERY}/ beside {TRAIN}/"
    train, test = (_read(root, base, folder, layout, expected) for folder in (TRAIN, TEST))
    _refuse_strangers(root, train)
    if mode == "image":
        query = _read(root, base, QUERY, layout, expected)
        _refuse_strangers(root, query)
        groups = tuple(tuple(map(_single, images)) for images in (train, query, test))
    else:
        gallery = tuple(_sequences(test))
        groups = tuple(_sequences(train)), _first_of_each_camera(gallery), gallery
    return Dataset(
        layout.dataset,
        root,
        *groups,
        frame_size=layout.frame_size,
        variant="/".join(filter(None, (boxes, mode))),
        files=sha256(repr([*train, *test]).encode()).hexdigest(),
    )


def _choice(what: str, given: str | None, known: tuple[str, ...]) -> str:
    if given is not None and given not in known:
        raise KeyReIDError(f"{what} {given!r} is not known; expected {' or '.join(known)}")
    return given or known[0]


def _read(root: Path, base: str, folder: str, layout: Layout, expected: str) -> list[Image]:
    """The images of a folder, sorted."""
    place = f"{base}/{folder}".strip("/")
    require(root / place, expected, folder=True)
    images = []
    for name in list_images(root / place):
        match = layout.name.fullmatch(name)
        if match is None:
            raise KeyReIDError(
                f"{root / place / name}: no name of {layout.dataset}; expected one like {layout.example}"
            )
        number = {key: int(value) for key, value in match.groupdict(default="0").items()}
        order = (number.get(key, 0) for key in ("person", "camera", "sequence", "frame", "box"))
        images.append(Image(*order, f"{place}/{name}"))
    if not images:
        raise KeyReIDError(f"{root / place}: no image in it; expected layout: {expected}")
    return sorted(images)


def _refuse_strangers(root: Path, images: Iterable[Image]) -> None:
    for image in images:
        if image.person <= DISTRACTOR:
            raise KeyReIDError(
                f"{root / image.path}: junk or a distractor (person {image.person}); "
                f"expected it in {TEST}/ only"
            )


def _label(image: Image) -> str:
    """Folder and name without suffixes: unique, and the same wherever the data set lies."""
    folder, name = image.path.split("/")[-2:]
    return f"{folder}/{name.partition('.')[0]}"


def _single(image: Image) -> Tracklet:
    return Tracklet((image.path,), image.person, image.camera, _label(image))


def _sequences(images: Iterable[Image]) -> Iterator[Tracklet]:
    """Sorted images, as tracklets: junk and distractors one by one, the others by camera and sequence."""
    for (person, camera, _), group in groupby(images, key=attrgetter("person", "camera", "sequence")):
        walk = list(group)
        if person in (JUNK, DISTRACTOR):
            yield from map(_single, walk)
        else:
            yield Tracklet(tuple(image.path for image in walk), person, camera, _label(walk[0]))


def _first_of_each_camera(gallery: Iterable[Tracklet]) -> tuple[Tracklet, ...]:
    first: dict[tuple[int, int | None], Tracklet] = {}
    for tracklet in gallery:
        if tracklet.person > DISTRACTOR:
            first.setdefault((tracklet.person, tracklet.camera), tracklet)
    return tuple(first.values())
