"""Reads what `keyreid link` wrote, see `stages.reid.search.people`."""

from dataclasses import dataclass
from pathlib import Path

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import sha256_of
from cache.text_files import load_json, load_table
from stages.reid.search.people import IDENTITIES, RECORD, SCHEMA

MOST = 2**29  # bytes of a file, of a million tracklets and more
AGAIN = "run keyreid link again"


@dataclass(frozen=True)
class Linked:
    """A row of identities.csv. confidence: in [0, 1]."""

    identity: int
    tracklet: str
    part: str
    confidence: float


@dataclass(frozen=True)
class People:
    """A folder of linked tracklets.

    rows: of identities.csv. nearest: by row, its nearest others as (row, distance). galleries: as they were
    given to keyreid link. notes: its notes for the user.
    """

    folder: Path
    rows: list[Linked]
    nearest: list[list[tuple[int, float]]]
    galleries: list[str]
    notes: list[str]


def read_people(folder: Path) -> People:
    """Read both files. Raises KeyReIDError naming file, row and value of what is missing or wrong."""
    table, path = folder / IDENTITIES, folder / RECORD
    missing = f"give a folder of keyreid link (its -o), or make one: keyreid link GALLERY -o {folder}"
    columns = ("identity", "tracklet", "part", "confidence")
    names = "surrogateescape"  # files of galleries may have names that are not UTF-8
    rows = load_table(table, _linked, columns, AGAIN, missing=missing, limit=MOST, errors=names)
    if not rows:
        raise KeyReIDError(f"{table}: no tracklet in it; {AGAIN}")
    with reading(path, "what keyreid link writes", AGAIN, missing):
        record = load_json(path, MOST)
        if record["schema"] != SCHEMA:
            raise ValueError(f"schema {record['schema']}, expected {SCHEMA}")
        if record["identities_sha256"] != sha256_of(table):
            raise ValueError(f"made for another {IDENTITIES} than the one beside it")
        galleries, notes = ([str(text) for text in record[key]] for key in ("galleries", "notes"))
        nearest = [[(int(row), float(distance)) for row, distance in near] for near in record["nearest"]]
        if len(nearest) != len(rows) or any(not 0 <= row < len(rows) for near in nearest for row, _ in near):
            raise ValueError(f"nearest: not rows of {IDENTITIES}")
        return People(folder, rows, nearest, galleries, notes)


def _linked(row: dict[str, str]) -> Linked:
    linked = Linked(int(row["identity"]), row["tracklet"], row["part"], float(row["confidence"]))
    if not 0 <= linked.confidence <= 1:
        raise ValueError(f"confidence {linked.confidence}; expected 0 to 1")
    return linked
