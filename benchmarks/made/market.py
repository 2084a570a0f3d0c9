"""Market-1501 with fewer identities, as a folder of links."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from stages.datasets.market1501 import MARKET, QUERY, TEST, TRAIN

FOLDERS = (TRAIN, TEST, QUERY)
_NAME = re.compile(r"(-?\d+)_c(\d)s(\d)_\d+_\d+\.jpg")


def with_fewer(root: Path, count: int, folder: Path) -> Path:
    """`count` training and `count` test identities of the data set, drawn by a fixed seed; no distractors.

    Of those that at least two cameras filmed in a sequence of two images or more, without identity 1488,
    whose files end in .jpg.jpg and were not drawn from for the figures of docs/ablation.md. Returns `folder`.
    """
    root = next(root / base for base in MARKET.folders if (root / base / FOLDERS[0]).is_dir())
    draw = random.Random(1501)
    train, test = (set(draw.sample(_often_seen(root / name), count)) for name in FOLDERS[:2])
    for name, chosen in zip(FOLDERS, (train, test, test), strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for image, person, _, _ in _images(root / name):
            link = folder / name / image.name
            if person in chosen and not link.exists():
                link.symlink_to(image.resolve())
    return folder


def _often_seen(folder: Path) -> list[int]:
    images = defaultdict(Counter)  # of each sequence (camera, number), of each person
    for _, person, camera, sequence in _images(folder):
        if person > 0:
            images[person][camera, sequence] += 1
    return sorted(
        person
        for person, sequences in images.items()
        if len({camera for (camera, _), count in sequences.items() if count > 1}) > 1
    )


def _images(folder: Path) -> Iterator[tuple[Path, int, int, int]]:
    """Path, person, camera and sequence of each image."""
    for image in folder.iterdir():
        if named := _NAME.fullmatch(image.name):
            yield image, *map(int, named.groups())
