"""A list of frames: a CSV file with the columns frame, person, camera, tracklet, subset.

frame: path relative to the data root. camera may be empty: unknown. subset: train, test, query or gallery.
The rows of a tracklet are in time order; its name need only be unique within its subset. Other columns
are left alone.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import Line
from stages.datasets.files import check_relative, read_text

COLUMNS = ("frame", "person", "camera", "tracklet", "subset")
SUBSETS = ("train", "test", "query", "gallery")


@dataclass
class Draft:
    """A tracklet with its labels as they are written. where: its file and row, or its folder."""

    subset: str
    person: str
    camera: str
    name: str
    where: str
    frames: list[str] = field(default_factory=list)


def read_table(path: Path) -> list[Draft]:
    """The tracklets of a CSV list, in the order in which they begin."""
    text = read_text(path).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    drafts: dict[tuple[str, str], Draft] = {}
    seen: set[str] = set()
    with reading(Line(path, reader), remedy="write it again"):
        header = [c.strip() for c in next(reader, [])]
        for column in COLUMNS:
            if header.count(column) != 1:
                raise KeyReIDError(
                    f"{path}, line 1: needs one column {column!r}, has {header}; expected {','.join(COLUMNS)}"
                )
        columns = [header.index(c) for c in COLUMNS]
        for row in reader:
            if row:
                _add_row(row, len(header), columns, f"{path}, line {reader.line_num}", drafts, seen)
    if not drafts:
        raise KeyReIDError(f"{path}: lists no frame; expected a row per frame")
    return list(drafts.values())


def _add_row(
    row: list[str],
    width: int,
    columns: list[int],
    where: str,
    drafts: dict[tuple[str, str], Draft],
    seen: set[str],
) -> None:
    if len(row) != width:
        raise KeyReIDError(f"{where}: has {len(row)} values; expected {width} as in the header")
    frame, person, camera, name, subset = (row[c].strip() for c in columns)
    if subset not in SUBSETS:
        raise KeyReIDError(f"{where}: subset {subset!r} is not known; expected one of {', '.join(SUBSETS)}")
    for column, value in (("person", person), ("tracklet", name)):
        if not value:
            raise KeyReIDError(f"{where}: {column} is empty; expected a name or a number")
    frame = check_relative(frame, where)
    if frame in seen:
        raise KeyReIDError(f"{where}: frame {frame!r} is listed twice; a frame belongs to one tracklet")
    seen.add(frame)
    draft = drafts.setdefault((subset, name), Draft(subset, person, camera, f"{subset}/{name}", where))
    if (draft.person, draft.camera) != (person, camera):
        raise KeyReIDError(
            f"{where}: says person {person}, camera {camera or 'unknown'} for tracklet {name!r}, which is "
            f"person {draft.person}, camera {draft.camera or 'unknown'} in {draft.where.rpartition(', ')[2]}"
        )
    draft.frames.append(frame)
