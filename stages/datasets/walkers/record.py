"""The generator's record of every frame: what is hidden, how wrong the box is."""

import json
from dataclasses import dataclass
from pathlib import Path

from cache.border import reading
from cache.text_files import load_json
from stages.datasets.walkers.hidden import PART_NAMES

RECORD = "walkers.json"
HIDDEN = 0.5  # share of the body above which a frame counts as mostly hidden
COLUMNS = (
    *PART_NAMES, "body", "shift_x", "shift_y", "zoom", "other_person", "blurred", "repeated", "lost_before",
)  # fmt: skip


@dataclass(frozen=True)
class FrameRecord:
    """One frame.

    hidden: share of each of the six parts of the named person that lies behind something or somebody, or
    outside the frame, 0 to 1; all 1 where another person is in the frame instead. body: of all parts.
    shift: pixels by which a wrong box moves the person, right and down. zoom: size of the person in the
    frame over that in a right box. lost_before: frames of the film that are missing before this one.
    """

    hidden: tuple[float, ...]
    body: float
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    other_person: bool = False
    blurred: bool = False
    repeated: bool = False
    lost_before: int = 0

    @property
    def mostly_hidden(self) -> bool:
        """Whether more than half of the named person cannot be seen, as in a frame of another person."""
        return self.body > HIDDEN

    def row(self) -> list[float]:
        """The values in the order of `COLUMNS`."""
        numbers = [round(v, 3) for v in (*self.hidden, self.body, *self.shift, self.zoom)]
        return [*numbers, *map(int, (self.other_person, self.blurred, self.repeated, self.lost_before))]

    @classmethod
    def of_row(cls, row: list[float]) -> "FrameRecord":
        hidden, (body, x, y, zoom, other, blurred, repeated, lost) = row[:6], row[6:]
        flags = bool(other), bool(blurred), bool(repeated), int(lost)
        return cls(tuple(hidden), body, (x, y), zoom, *flags)


def read_frame_records(root: Path) -> dict[str, FrameRecord]:
    """Frame path -> record of a walkers data set. Raises KeyReIDError where `root` has none."""
    path = root / RECORD
    remedy = "this needs walkers, made by this version of keyreid synthesize"
    with reading(path, "a record of every frame", remedy):
        frames = load_json(path)["per_frame"]["frames"]
        return {frame: FrameRecord.of_row(row) for frame, row in frames.items()}


def has_frame_records(root: Path) -> bool:
    """Whether a data set is of walkers with a record of every frame; earlier versions wrote none.

    Raises KeyReIDError for a file that cannot be read.
    """
    path = root / RECORD
    if not path.is_file():
        return False
    with reading(path, "the record of walkers"):
        return "per_frame" in load_json(path)


def record_text(record: dict, frames: list[str], rows: list[FrameRecord]) -> str:
    """The text of walkers.json: `record`, and `per_frame` with a line for each frame."""
    head = json.dumps(record, indent=1, sort_keys=True).rstrip().removesuffix("}").rstrip()
    lines = ",\n".join(
        f"   {json.dumps(f)}: {json.dumps(r.row())}" for f, r in zip(frames, rows, strict=True)
    )
    columns = json.dumps(COLUMNS)
    return f'{head},\n "per_frame": {{\n  "columns": {columns},\n  "frames": {{\n{lines}\n  }}\n }}\n}}\n'
