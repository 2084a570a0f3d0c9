"""Lists of tracklets as small text files: what CCVID, LS-VID and MEVID share."""

import re
from collections.abc import Iterator
from pathlib import Path

from cache.errors import KeyReIDError
from stages.datasets.files import read_text, require


def lines_of(path: Path, layout: str, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Each line of a list as its place, for messages, and its words; blank lines are left out."""
    for number, line in enumerate(read_text(require(path, layout)).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != columns:
            raise KeyReIDError(f"{where}: has {len(words)} words, expected {columns}; {layout}")
        yield where, words


def whole(text: str, where: str, what: str) -> int:
    """A whole number in a list."""
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise KeyReIDError(f"{where}: {what} is {text!r}, expected a whole number")
    return int(text)


def inside(place: str, where: str) -> str:
    """A path inside the data root that a list names, as a clean POSIX path."""
    parts = place.replace("\\", "/").split("/")
    if not place or place.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in place:
        raise KeyReIDError(f"{where}: {place!r} is not a path inside the data root")
    return "/".join(part for part in parts if part not in ("", "."))
