"""Reads what `keyreid link` wrote, see `stages.reid.search.people`."""

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

from cache.errors import KeyReIDError
from cache.files import read_regular
from stages.reid.search.people import IDENTITIES, RECORD, SCHEMA

MOST = 2**29  # bytes of a file
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
    given to keyreid link. notes: what it had to say.
    """

    folder: Path
    rows: list[Linked]
    nearest: list[list[tuple[int, float]]]
    galleries: list[str]
    notes: list[str]


def read_people(folder: Path) -> People:
    """Read both files. Raises KeyReIDError naming file, row and value of what is missing or wrong."""
    table, path = folder / IDENTITIES, folder / RECORD
    content = _read(table)
    rows = _rows(table, content)
    try:
        record = json.loads(_read(path))
        if record["schema"] != SCHEMA:
            raise KeyReIDError(f"{path}: schema {record['schema']}, expected {SCHEMA}; {AGAIN}")
        if record["identities_sha256"] != hashlib.sha256(content).hexdigest():
            raise KeyReIDError(f"{path}: made for another {IDENTITIES} than the one beside it; {AGAIN}")
        galleries, notes = ([str(text) for text in record[key]] for key in ("galleries", "notes"))
        nearest = [[(int(row), float(distance)) for row, distance in near] for near in record["nearest"]]
        if len(nearest) != len(rows) or any(not 0 <= row < len(rows) for near in nearest for row, _ in near):
            raise ValueError(f"nearest: not rows of {IDENTITIES}")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise KeyReIDError(f"{path}: not what keyreid link writes ({reason}); {AGAIN}") from error
    return People(folder, rows, nearest, galleries, notes)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MOST)
    except FileNotFoundError:
        raise KeyReIDError(
            f"{path}: missing; give a folder of keyreid link (its -o), or make one: keyreid link GALLERY -o "
            f"{path.parent}"
        ) from None
    except OSError as error:
        raise KeyReIDError(f"{path}: cannot be read: {error.strerror or error}") from error


def _rows(path: Path, content: bytes) -> list[Linked]:
    rows = []
    reader = csv.DictReader(io.StringIO(content.decode("utf-8", "surrogateescape")))
    try:
        for row in reader:
            linked = Linked(
                int(row["identity"]), row["tracklet"], row["part"] or "", float(row["confidence"])
            )
            if linked.tracklet is None or not 0 <= linked.confidence <= 1:
                raise ValueError(f"confidence {linked.confidence}; expected 0 to 1")
            rows.append(linked)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else error
        raise KeyReIDError(f"{path}, line {reader.line_num}: {reason}; {AGAIN}") from error
    if not rows:
        raise KeyReIDError(f"{path}: no tracklet in it; {AGAIN}")
    return rows
