"""When each tracklet was filmed: tables `*times.tsv` in a data root, a row per tracklet.

tracklet    person/camera/tracklet, relative to the root
camera      its name
first, last frames of the video, as its tracks number them
start, end  clock time (ISO 8601 with its offset from UTC), or seconds where no clock time is known
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cache.errors import KeyReIDError

TIMES = "times.tsv"
COLUMNS = ("tracklet", "camera", "first", "last", "start", "end")


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, as the table has it: clock times or seconds of the video."""

    start: str
    end: str


def written(start: datetime | None, seconds: float) -> str:
    """The moment `seconds` after `start`: ISO 8601, or the seconds alone without a start."""
    if start is None:
        return f"{seconds:.3f}"
    return (start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def moment(text: str) -> tuple[bool, float]:
    """(whether it is a clock time, seconds since 1970 or since the beginning of the video).

    Raises ValueError for anything but an ISO 8601 time with its offset from UTC, or a finite number.
    """
    try:
        seconds = float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise ValueError(f"{text!r} has no offset from UTC, such as +01:00") from None
        return True, when.timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is not finite")
    return False, seconds


def write_times(path: Path, rows: Iterable[tuple]) -> None:
    """Write a table; rows in the order of COLUMNS."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)


def read_times(root: Path) -> dict[str, Span]:
    """The spans of all tables in `root`, by tracklet. Raises KeyReIDError naming file and line."""
    spans: dict[str, Span] = {}
    for path in sorted(root.glob(f"*{TIMES}")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file, delimiter="\t")
                for row in reader:
                    span = Span(row["start"], row["end"])
                    if moment(span.start) > moment(span.end):
                        raise ValueError(f"start {span.start} is after end {span.end}")
                    spans[row["tracklet"]] = span
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise KeyReIDError(
                f"{path}, line {reader.line_num}: {error}; expected the columns "
                f"{', '.join(COLUMNS)}, start and end as 2026-11-26T08:00:00+01:00 or in seconds"
            ) from error
        except OSError as error:
            raise KeyReIDError(f"{path}: cannot be read: {error.strerror or error}") from error
    return spans
