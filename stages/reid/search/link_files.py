"""Constraints from the user: lists of tracklets that are one person or are not, and travel times.

must-link, cannot-link: a line per group of tracklets, names separated by commas, as in identities.csv;
    PART:NAME where several parts have the name. Lines that begin with # are comments.
travel times (YAML):
    travel:
      - {cameras: [door, yard], least: 20, greatest: 90}     # seconds from one to the other, both ways
    away: 600                    # who is not seen for so long may come back anywhere
"""

import csv
from itertools import combinations
from pathlib import Path

from pydantic import Field, model_validator

from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_text, load_yaml
from stages.config import StrictModel
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.constraints import Travel

_AWAY = 10.0
Pairs = list[tuple[int, int]]


class Way(StrictModel):
    """Between two cameras, in seconds."""

    cameras: tuple[str, str] = Field(description="names of two cameras")
    least: float = Field(0.0, ge=0, description="nobody is at the other sooner")
    greatest: float | None = Field(None, gt=0, description="who is next seen at the other is there by then")

    @model_validator(mode="after")
    def _ordered(self) -> "Way":
        if self.cameras[0] == self.cameras[1]:
            raise ValueError(f"{self.cameras[0]} and itself; expected two cameras")
        if self.greatest is not None and self.least > self.greatest:
            raise ValueError(f"least {self.least:g} is above greatest {self.greatest:g}")
        return self


class Ways(StrictModel):
    """The whole file."""

    travel: tuple[Way, ...] = Field(min_length=1, description="each with cameras, least, greatest")
    away: float | None = Field(
        None, gt=0, description="seconds; who is not seen for so long may come back anywhere"
    )


def read_travel(path: Path) -> tuple[Travel, ...]:
    """Travel times of a YAML file; away is by default ten times the longest of them.

    Raises KeyReIDError naming file, key and value.
    """
    remedy = "expected a list `travel` of entries like {cameras: [door, yard], least: 20, greatest: 90}"
    with reading(path, "a list of travel times", remedy):
        given = Ways(**load_yaml(path))
    seen = set()
    for way in given.travel:
        if frozenset(way.cameras) in seen:
            raise KeyReIDError(f"{path}: {' and '.join(way.cameras)} are listed twice; list them once")
        seen.add(frozenset(way.cameras))
    longest = max((way.greatest or 0.0 for way in given.travel), default=0.0)
    away = given.away or _AWAY * longest
    if away < longest:
        raise KeyReIDError(f"{path}: away = {away:g} is below greatest {longest:g}; give a longer time")
    return tuple(
        Travel(way.cameras, way.least, float("inf") if way.greatest is None else way.greatest, away)
        for way in given.travel
    )


def check_cameras(path: Path, travel: tuple[Travel, ...], gallery: Embeddings) -> None:
    """Raises KeyReIDError for a camera that the gallery does not have."""
    known = sorted(set(gallery.camera_names.tolist()))
    for name in (name for way in travel for name in way.cameras):
        if name not in known:
            raise KeyReIDError(
                f"{path}: no tracklet is of camera {name}; the gallery has {', '.join(known[:9])}"
            )


def read_groups(path: Path) -> list[tuple[int, list[str]]]:
    """(number of the line, names of tracklets) of each line. Raises KeyReIDError."""
    with reading(path, remedy="expected names of tracklets, separated by commas"):
        lines = load_text(path).splitlines()
    groups = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        names = [name.strip() for name in next(csv.reader([line], skipinitialspace=True))]
        if len(names) < 2 or not all(names):
            raise KeyReIDError(
                f"{path}, line {number}: {line.strip()[:80]!r}; expected names of two tracklets or more, "
                "separated by commas"
            )
        groups.append((number, names))
    return groups


def find_pairs(path: Path, groups: list[tuple[int, list[str]]], gallery: Embeddings) -> Pairs:
    """All pairs of rows of each group. Raises KeyReIDError for a name that no row has, or several."""
    rows: dict[str, list[int]] = {}
    for row, (part, name) in enumerate(zip(gallery.part.tolist(), gallery.names.tolist(), strict=True)):
        rows.setdefault(name, []).append(row)
        rows.setdefault(f"{part}:{name}", []).append(row)
    pairs = []
    for number, names in groups:
        group = []
        for name in names:
            own = rows.get(name, [])
            if len(own) != 1:
                what = "no tracklet has that name" if not own else f"{len(own)} tracklets have that name"
                way = "PART:NAME says which" if own else f"names are like {gallery.names[0]}"
                raise KeyReIDError(f"{path}, line {number}: {name}: {what}; {way}")
            group.append(own[0])
        if len(set(group)) < len(group):
            raise KeyReIDError(f"{path}, line {number}: a tracklet is listed twice; list each once")
        pairs += combinations(group, 2)
    return pairs
